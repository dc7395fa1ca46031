"""The training loss against NumPy."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

from ppeffconv.engine.losses import AuxiliaryLoss, build_loss


class Net(nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.weight = self.create_parameter([3])

    def auxiliary_losses(self) -> dict[str, paddle.Tensor]:
        return {"sparse": (self.weight**2).sum(), "orthogonality": self.weight.abs().sum()}


def smoothed_cross_entropy(logits: np.ndarray, labels: np.ndarray, smoothing: float) -> float:
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    target = np.eye(logits.shape[1])[labels] * (1 - smoothing) + smoothing / logits.shape[1]
    return float(-(target * log_p).sum(1).mean())


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [{}, {"sparse": 0.5}, {"sparse": 0.5, "orthogonality": 2.0}])
def test_equals_numpy(smoothing, weights):
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((5, 4)), rng.integers(0, 4, 5)
    net = Net()
    loss = build_loss({"label_smoothing": smoothing, "auxiliary": weights}, net)
    got = float(loss(paddle.to_tensor(logits.astype("float32")), paddle.to_tensor(labels)))
    own = {"sparse": float((net.weight**2).sum()), "orthogonality": float(net.weight.abs().sum())}
    expected = smoothed_cross_entropy(logits, labels, smoothing) + sum(w * own[name] for name, w in weights.items())
    assert got == pytest.approx(expected, rel=1e-5)


def test_auxiliary_loss_reaches_the_network():
    net = Net()
    loss = AuxiliaryLoss(nn.CrossEntropyLoss(), net, {"sparse": 0.5})
    loss(paddle.zeros([2, 3]), paddle.to_tensor([0, 1])).backward()
    np.testing.assert_allclose(net.weight.grad.numpy(), net.weight.numpy(), rtol=1e-6)
    assert loss.parameters() == []


def test_unknown_name_lists_what_there_is():
    loss = AuxiliaryLoss(nn.CrossEntropyLoss(), Net(), {"sparce": 1.0})
    with pytest.raises(ValueError, match=r"Did you mean 'sparse'\? It offers: orthogonality, sparse"):
        loss(paddle.zeros([2, 3]), paddle.to_tensor([0, 1]))
    loss = AuxiliaryLoss(nn.CrossEntropyLoss(), nn.Linear(1, 1), {"sparse": 1.0})
    with pytest.raises(ValueError, match="It offers: none"):
        loss(paddle.zeros([2, 3]), paddle.to_tensor([0, 1]))
