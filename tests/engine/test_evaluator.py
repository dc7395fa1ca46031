"""Evaluation against NumPy."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

from ppeffconv.engine.evaluator import evaluate, valid_topk


class Table(nn.Layer):
    """Looks its logits up: image [N, 1, 1, C] -> [N, C], with dropout that eval mode must switch off."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.9)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.drop(x).flatten(1)


def loader(logits: np.ndarray, labels: np.ndarray, batch: int):
    images = logits.astype("float32")[:, None, None, :]
    for i in range(0, len(labels), batch):
        yield [paddle.to_tensor(images[i : i + batch]), paddle.to_tensor(labels[i : i + batch])]


def data(samples: int = 23, classes: int = 7):
    rng = np.random.default_rng(3)
    return rng.standard_normal((samples, classes)), rng.integers(0, classes, samples)


@pytest.mark.parametrize("batch", [1, 5, 23, 100])
def test_equals_numpy(batch):
    logits, labels = data()
    net = Table()
    net.train()
    result = evaluate(net, loader(logits, labels, batch), topk=(1, 3, 5))
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    order = np.argsort(-logits, axis=1)
    assert result["samples"] == 23
    assert result["loss"] == pytest.approx(-log_p[np.arange(23), labels].mean(), rel=1e-5)
    for k in (1, 3, 5):
        assert result[f"top{k}"] == np.mean([label in row[:k] for row, label in zip(order, labels, strict=True)])
    assert net.training
    assert net.drop.training


def test_own_criterion_and_eval_mode_kept():
    net = Table()
    net.eval()
    logits, labels = data()
    result = evaluate(net, loader(logits, labels, 8), criterion=lambda x, y: x.mean(), topk=(1,))
    assert result["loss"] == pytest.approx(logits.mean(), rel=1e-4)
    assert not net.training


def test_constant_logits_are_not_all_correct():
    labels = np.arange(6) % 3
    result = evaluate(Table(), loader(np.zeros((6, 3)), labels, 4), topk=(1,))
    assert result["top1"] == pytest.approx(1 / 3)


def test_topk_above_the_classes_is_left_out():
    logits, labels = data(classes=3)
    assert set(evaluate(Table(), loader(logits, labels, 4))) == {"loss", "top1", "samples"}
    assert valid_topk([1, 5], 3) == [1]
    assert valid_topk([5], 3) == [1]
    assert valid_topk([1, 5], 10) == [1, 5]


def test_noise_in_eval_mode_does_not_touch_the_training_that_follows():
    class Noisy(Table):
        def forward(self, x):
            return x.flatten(1) + paddle.randn([x.shape[0], x.shape[3]])

    logits, labels = data()
    paddle.seed(1)
    np.random.seed(1)
    expected = paddle.randn([3]).numpy(), np.random.rand(3)
    paddle.seed(1)
    np.random.seed(1)
    results = [evaluate(Noisy(), loader(logits, labels, 8)) for _ in range(2)]
    assert results[0] == results[1]
    np.testing.assert_array_equal(paddle.randn([3]).numpy(), expected[0])
    np.testing.assert_array_equal(np.random.rand(3), expected[1])


@pytest.mark.parametrize("label", [-1, 7])
def test_label_outside_the_classes(label):
    logits, labels = data()
    labels[11] = label
    with pytest.raises(ValueError, match=f"label {label} is outside the network's classes 0..6"):
        evaluate(Table(), loader(logits, labels, 8))


def test_no_samples():
    with pytest.raises(ValueError, match="nothing to evaluate"):
        evaluate(Table(), [])
