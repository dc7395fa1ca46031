"""sample_interpolate: the published golden values, a naive loop, finite differences, and its errors."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from ppeffconv.ops import sample_interpolate
from ppeffconv.ops.sample_interpolate import kernel_interpolate


def gaussian(sigma: float, window: int) -> np.ndarray:
    """The kernel of the authors' code, tap by tap."""
    radius = window // 2
    offsets = np.arange(-radius, radius + 1)
    squared = offsets[:, None] ** 2 + offsets[None, :] ** 2
    return sigma**2 / (2 * np.pi) * np.exp(-(sigma**2) * squared / 2)


def naive(features: np.ndarray, mask: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Interpolation position by position."""
    radius = kernel.shape[0] // 2
    out = np.zeros_like(features)
    for n, c, y, x in np.ndindex(features.shape):
        total, weight = 0.0, 1e-5
        for dy in range(-radius, radius + 1):
            for dx in range(-radius, radius + 1):
                if 0 <= y + dy < features.shape[2] and 0 <= x + dx < features.shape[3]:
                    k = kernel[dy + radius, dx + radius] * mask[n, 0, y + dy, x + dx]
                    total += k * features[n, c, y + dy, x + dx]
                    weight += k
        m = mask[n, 0, y, x]
        out[n, c, y, x] = m * features[n, c, y, x] + (1 - m) * total / weight
    return out


def example(shape=(2, 3, 7, 10), seed=0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal(shape), rng.random((shape[0], 1, *shape[2:]))


def golden_input() -> tuple[paddle.Tensor, paddle.Tensor]:
    features = paddle.arange(1, 26, dtype="float64").reshape([1, 1, 5, 5])
    mask = np.zeros((1, 1, 5, 5))
    mask[0, 0, 0, 0] = mask[0, 0, 2, 3] = 1
    return features, paddle.to_tensor(mask)


def test_golden_values_of_the_reference_code():
    features, mask = golden_input()
    wide = sample_interpolate(features, mask, paddle.to_tensor([1.0])).numpy()[0, 0]
    narrow = sample_interpolate(features, mask, paddle.to_tensor([3.0])).numpy()[0, 0]
    np.testing.assert_allclose(narrow[0], [1, 0.999372, 0.002515, 0.030475, 0.000339], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(narrow[1], [0.999372, 0.946476, 13.250405, 13.991207, 13.250421], rtol=1e-6)
    np.testing.assert_allclose(wide[0], [1, 1.38092, 5.906322, 13.008262, 13.989292], rtol=1e-6)


@pytest.mark.parametrize("window", [1, 3, 7])
@pytest.mark.parametrize("shape", [(2, 3, 7, 10), (1, 1, 1, 5), (1, 2, 3, 3)])
def test_equals_the_naive_loop(window, shape):
    features, mask = example(shape)
    ours = sample_interpolate(paddle.to_tensor(features), paddle.to_tensor(mask), paddle.to_tensor([1.3]), window)
    np.testing.assert_allclose(ours.numpy(), naive(features, mask, gaussian(1.3, window)), atol=1e-6)


def test_sigma_may_be_zero_dimensional():
    features, mask = map(paddle.to_tensor, example())
    zero_d = sample_interpolate(features, mask, paddle.to_tensor(2.0))
    np.testing.assert_array_equal(zero_d.numpy(), sample_interpolate(features, mask, paddle.to_tensor([2.0])).numpy())


@pytest.mark.parametrize("learned", [True, False])
def test_other_kernels_equal_the_naive_loop(learned):
    features, mask = example()
    kernel = np.random.default_rng(1).standard_normal((5, 5))
    given = paddle.to_tensor(kernel) if learned else None
    ours = kernel_interpolate(paddle.to_tensor(features), paddle.to_tensor(mask), given, window=5)
    expected = naive(features, mask, np.abs(kernel) if learned else np.full((5, 5), 1 / 25))
    np.testing.assert_allclose(ours.numpy(), expected, atol=1e-10)


@pytest.mark.parametrize("which", ["gaussian", "learned"])
def test_gradients_equal_finite_differences(which):
    shape = (1, 2, 4, 5)
    features, mask = example(shape)
    width = np.array([1.3]) if which == "gaussian" else np.random.default_rng(1).standard_normal((3, 3))
    weights = np.random.default_rng(2).standard_normal(shape)
    op = sample_interpolate if which == "gaussian" else kernel_interpolate
    arrays = [features, mask, width]

    def loss(arrays) -> paddle.Tensor:
        return (op(*arrays, window=3) * paddle.to_tensor(weights)).sum()

    tensors = [paddle.to_tensor(a, stop_gradient=False) for a in arrays]
    loss(tensors).backward()
    step = 1e-6
    for i, (array, tensor) in enumerate(zip(arrays, tensors, strict=True)):
        for index in np.ndindex(array.shape):
            ends = []
            for sign in (1, -1):
                moved = [a.copy() for a in arrays]
                moved[i][index] += sign * step
                ends.append(float(loss([paddle.to_tensor(a) for a in moved])))
            assert abs((ends[0] - ends[1]) / (2 * step) - float(tensor.grad.numpy()[index])) < 1e-6


def test_full_mask_returns_the_features_bit_for_bit():
    features = paddle.to_tensor(example()[0].astype("float32"))
    mask = paddle.ones([2, 1, 7, 10])
    np.testing.assert_array_equal(sample_interpolate(features, mask, paddle.to_tensor([3.0])).numpy(), features.numpy())


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_uncovered_positions_are_zero_and_their_gradients_finite(dtype):
    features, mask = paddle.ones([1, 2, 9, 9]).astype(dtype), np.zeros((1, 1, 9, 9), "float32")
    mask[0, 0, 0, 0] = 1
    mask, sigma = paddle.to_tensor(mask), paddle.to_tensor([3.0])
    for tensor in (features, mask, sigma):
        tensor.stop_gradient = False
    y = sample_interpolate(features, mask, sigma)
    y.astype("float32").sum().backward()
    values = y.astype("float32").numpy()
    assert values[0, :, 0, 0].tolist() == [1, 1]
    assert not values[:, :, 4:].any()
    assert not values[:, :, :, 4:].any()
    assert y.dtype == features.dtype
    for tensor in (features, mask, sigma):
        assert np.isfinite(tensor.grad.astype("float32").numpy()).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": paddle.ones([2, 3, 4])}, r"features must be \[N, C, H, W\], got shape \[2, 3, 4\]"),
        ({"mask": paddle.ones([2, 3, 4, 5])}, r"mask must be \[2, 1, 4, 5\]"),
        ({"mask": paddle.ones([2, 1, 4])}, r"mask must be \[2, 1, 4, 5\]"),
        ({"mask": paddle.ones([2, 1, 4, 5], dtype="float64")}, "share one floating dtype"),
        ({"sigma": paddle.ones([2])}, r"sigma must hold one element, got shape \[2\]"),
        ({"window": 4}, "odd positive integer, got 4"),
        ({"window": 0}, "odd positive integer, got 0"),
        ({"backend": "gpu"}, "backend must be one of"),
    ],
)
def test_wrong_arguments_are_explained(change, message):
    arguments = {"features": paddle.ones([2, 3, 4, 5]), "mask": paddle.ones([2, 1, 4, 5]), "sigma": paddle.ones([1])}
    with pytest.raises(ValueError, match=message):
        sample_interpolate(**{**arguments, **change})


def test_learned_kernel_of_another_size_is_an_error():
    with pytest.raises(ValueError, match=r"kernel must be \[7, 7\], got \[3, 3\]"):
        kernel_interpolate(paddle.ones([1, 1, 4, 5]), paddle.ones([1, 1, 4, 5]), paddle.ones([3, 3]))
