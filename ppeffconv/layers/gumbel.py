"""GumbelSampler: from keep probabilities to sampling masks, and the temperature that goes with the training step."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn
from paddle.jit import not_to_static

from ..ops.precision import at_least_float32
from ..ops.primitives import shape_of
from ..utils.numbers import as_size, plain_arguments

EPS = 1e-8
SAMPLING = ("gumbel", "deterministic")
EVAL_MODES = ("reference", "hard", "deterministic")


def temperature_at(step: int, total_steps: float, start: float = 1.0, end: float = 0.03) -> float:
    """Sampling temperature after ``step`` of ``total_steps`` training steps: geometric from ``start`` to ``end``.

    The authors multiply by 0.99998 at every step and never floor; that is ``total_steps = log(0.03) / log(0.99998)``,
    about 175.3 thousand, the length of their schedule. Training of another length should keep the end, not the factor.
    """
    if total_steps <= 0 or step < 0:
        raise ValueError(f"need step >= 0 and total_steps > 0, got step={step}, total_steps={total_steps}")
    for name, value in (("start", start), ("end", end)):
        _check_temperature(value, name)
    return start * (end / start) ** (step / total_steps)


def set_temperature(net: nn.Layer, value: float) -> int:
    """Set the training temperature of every sampler in ``net``; returns how many there are (0: it does not sample)."""
    _check_temperature(value, "temperature")
    samplers = [layer for layer in net.sublayers(include_self=True) if isinstance(layer, GumbelSampler)]
    for sampler in samplers:
        sampler.cur_T.set_value(paddle.full_like(sampler.cur_T, value))
    return len(samplers)


def set_eval_mode(net: nn.Layer, mode: str) -> int:
    """Set how every sampler in ``net`` samples in evaluation (see `GumbelSampler`); returns how many there are."""
    _check_choice("eval_mode", mode, EVAL_MODES)
    samplers = [layer for layer in net.sublayers(include_self=True) if isinstance(layer, GumbelSampler)]
    for sampler in samplers:
        sampler.eval_mode = mode
    return len(samplers)


class GumbelSampler(nn.Layer):
    """Binary Gumbel-softmax per pixel: ``M = sigmoid((log p - log(1 - p) + G1 - G0) / T)``, G = -log(-log u).

    Training gives soft masks at temperature ``cur_T``, a buffer that only `set_temperature` changes. A regular grid of
    pixels is always sampled (the union of M and the grid prior; no gradient passes there).

    Args:
        temperature: training temperature at the start.
        eval_temperature: temperature in evaluation.
        sampling: "gumbel", or "deterministic" to leave the noise out (the paper's deterministic baseline).
        eval_mode: "reference": ``M * 1[M >= 0.5]`` with the noise on, as in the authors' code; "hard": its binary form;
            "deterministic": ``1[p >= 0.5]``, without noise.
        grid_stride: distance of the grid's pixels, from the top left one; 0 for no grid.

    Shapes:
        probabilities p: [N, 1, H, W] in [0, 1]; noise: two uniform draws u1, u0 of that shape (for p, then for 1 - p),
        by default drawn from Paddle's global generator. Returns the mask M, [N, 1, H, W], in float32 or wider.

    Raises:
        ValueError: an unknown mode, a temperature that is not positive, or noise of another shape.
    """

    @plain_arguments
    def __init__(
        self,
        temperature: float = 1.0,
        eval_temperature: float = 0.03,
        sampling: str = "gumbel",
        eval_mode: str = "reference",
        grid_stride: int = 11,
    ) -> None:
        super().__init__()
        _check_temperature(temperature, "temperature")
        _check_temperature(eval_temperature, "eval_temperature")
        _check_choice("sampling", sampling, SAMPLING)
        _check_choice("eval_mode", eval_mode, EVAL_MODES)
        as_size(grid_stride, "grid_stride", minimum=0, note=" (0: no grid)")
        self.eval_temperature = eval_temperature
        self.sampling = sampling
        self.eval_mode = eval_mode
        self.grid_stride = grid_stride
        self.register_buffer("cur_T", paddle.full([1], temperature, dtype="float32"))

    def forward(self, probabilities: Tensor, noise: Sequence[Tensor] | None = None) -> Tensor:
        p = at_least_float32(probabilities)  # 1e-8 vanishes in half precision, and log(0) would follow
        if not self.training and self.eval_mode == "deterministic":
            return self._with_grid((p >= 0.5).astype(p.dtype))
        temperature = self.cur_T if self.training else self.eval_temperature
        mask = self._with_grid(self._soft_mask(p, temperature, noise))
        if self.training:
            return mask
        kept = (mask >= 0.5).astype(mask.dtype)
        return kept if self.eval_mode == "hard" else mask * kept

    def _soft_mask(self, p: Tensor, temperature: Tensor | float, noise: Sequence[Tensor] | None) -> Tensor:
        logit = paddle.log(p + EPS) - paddle.log(1 - p + EPS)
        if self.sampling == "gumbel":
            u1, u0 = (_uniform(p), _uniform(p)) if noise is None else _check_noise(noise, p)
            logit = logit + (_gumbel(u1) - _gumbel(u0))
        return F.sigmoid(logit / (temperature + EPS))

    def _with_grid(self, mask: Tensor) -> Tensor:
        if self.grid_stride == 0:
            return mask
        rows, columns = (paddle.arange(size) % self.grid_stride == 0 for size in shape_of(mask)[2:])
        grid = paddle.logical_and(rows.unsqueeze(1), columns)
        return paddle.maximum(mask, grid.astype(mask.dtype))


def _uniform(like: Tensor) -> Tensor:
    # not rand_like: it forgets the shape while a graph is traced
    return paddle.uniform(shape_of(like), like.dtype, min=0.0, max=1.0)


def _gumbel(u: Tensor) -> Tensor:
    return -paddle.log(-paddle.log(u + EPS) + EPS)


@not_to_static
def _check_noise(noise: Sequence[Tensor], p: Tensor) -> Sequence[Tensor]:
    if len(noise) != 2 or any(list(u.shape) != list(p.shape) for u in noise):
        shapes = [list(u.shape) for u in noise]
        raise ValueError(f"noise must be two tensors (u1, u0) of shape {list(p.shape)}, got {shapes}")
    return noise


def _check_temperature(value: float, name: str) -> None:
    if not value > 0:
        raise ValueError(f"{name} must be positive, got {value!r}")


def _check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")
