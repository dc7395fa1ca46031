"""The corrections: right where they are, and nowhere else."""

from __future__ import annotations

import sys

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from ppeffconv.integrations import ppseg
from ppeffconv.integrations.compat import ModuleProxy

PADDLES_OWN = (paddle.concat, paddle.flops, paddle.io.DataLoader, F.one_hot)


def test_the_users_paddle_stays_as_it_is():
    assert (paddle.concat, paddle.flops, paddle.io.DataLoader, F.one_hot) == PADDLES_OWN
    assert not isinstance(paddle, ModuleProxy)
    assert paddle.concat.__module__.startswith("paddle.")
    assert paddle.io.DataLoader.__module__.startswith("paddle.")
    with pytest.raises(Exception, match="rank|dims"):  # Paddle's own concat still refuses them
        paddle.concat([paddle.to_tensor(1.0), paddle.to_tensor([2.0])])


def test_twice_is_as_once():
    train = sys.modules["paddleseg.core.train"]
    before = train.loss_computation, train.paddle
    ppseg.register()
    assert (train.loss_computation, train.paddle) == before


def cross_entropy(logits: np.ndarray, labels: np.ndarray, weights: list[float] | None = None) -> float:
    """As PaddleSeg 2.8 defines it on Paddle 2.4, pixel by pixel: the mean over the weights of the labels."""
    total = norm = 0.0
    for n, y, x in np.ndindex(*labels.shape):
        label = labels[n, y, x]
        if label == 255:
            norm += 0 if weights is None else weights[0] * 0
            continue
        z = logits[n, :, y, x].astype(np.float64)
        weight = 1.0 if weights is None else weights[label]
        total += weight * (np.log(np.exp(z).sum()) - z[label])
        norm += weight
    return total / norm


@pytest.mark.parametrize("weights", [None, [0.5, 1.0, 3.0]])
def test_cross_entropy(weights):
    from paddleseg.models.losses import CrossEntropyLoss

    rng = np.random.RandomState(0)
    logits = rng.randn(2, 3, 5, 4).astype("float32")
    labels = rng.randint(0, 3, (2, 5, 4))
    labels[0, :2] = 255
    x = paddle.to_tensor(logits, stop_gradient=False)
    loss = CrossEntropyLoss(weight=weights)(x, paddle.to_tensor(labels))
    assert float(loss) == pytest.approx(cross_entropy(logits, labels, weights), rel=1e-5)
    loss.backward()
    assert float(x.grad[0, :, :2].abs().max()) == 0  # ignored pixels
    assert float(x.grad[1].abs().min()) > 0


def test_hard_pixels_only():
    from paddleseg.models.losses import CrossEntropyLoss

    rng = np.random.RandomState(0)
    logits, labels = rng.randn(1, 3, 4, 5).astype("float32"), rng.randint(0, 3, (1, 4, 5))
    got = CrossEntropyLoss(top_k_percent_pixels=0.25)(paddle.to_tensor(logits), paddle.to_tensor(labels))
    every = [
        cross_entropy(logits[:, :, y : y + 1, x : x + 1], labels[:, y : y + 1, x : x + 1])
        for y in range(4)
        for x in range(5)
    ]
    assert float(got) == pytest.approx(np.mean(sorted(every)[-5:]), rel=1e-5)


@pytest.mark.parametrize("name", ["DiceLoss", "OhemCrossEntropyLoss", "LovaszSoftmaxLoss", "BCELoss"])
def test_other_losses_have_gradients(name):
    from paddleseg.cvlibs import manager

    x = paddle.randn([2, 3, 6, 5])
    x.stop_gradient = False
    manager.LOSSES[name]()(x, paddle.randint(0, 3, [2, 6, 5])).sum().backward()
    assert bool(paddle.isfinite(x.grad).all())
    assert float(x.grad.abs().max()) > 0


def test_areas_and_mean_iou():
    from paddleseg.utils import metrics

    label = paddle.to_tensor([[[[0, 0, 1, 1], [2, 2, 255, 255]]]])
    pred = paddle.to_tensor([[[[0, 1, 1, 1], [2, 0, 0, 2]]]], dtype="int32")
    areas = metrics.calculate_area(pred, label, 3)
    assert [area.tolist() for area in areas] == [[1, 2, 1], [2, 3, 1], [2, 2, 2]]
    class_iou, miou = metrics.mean_iou(*areas)
    assert class_iou.tolist() == pytest.approx([1 / 3, 2 / 3, 1 / 2])
    assert miou == pytest.approx(0.5)


def test_the_count_at_the_end_is_ours(capsys):
    train = sys.modules["paddleseg.core.train"]
    net = paddle.nn.Sequential(paddle.nn.Conv2D(3, 4, 3, padding=1, bias_attr=False))
    assert train.paddle.flops(net, [1, 3, 7, 5], custom_ops={}) == 7 * 5 * 4 * 27
    assert "multiply-adds for an image of 3x7x5, 108 parameters" in capsys.readouterr().out
