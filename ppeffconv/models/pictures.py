"""Pictures of what a network does to an image: sampling masks, octave groups, dynamic and nested filters."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from ..layers import DDF2D, LearnedVersatileConv2D, OctConvBNAct, VersatileConv2D
from ..layers.gumbel import GumbelSampler
from ..layers.norm import norm_act
from ..layers.sampling import SampledBlock
from ..utils.modes import eval_mode
from .depth_upsampler import JointUpNet

FILTERS = 64  # shown of a layer, at most
LAYERS = 3  # of each kind of picture, where there are too many: the first, the middle and the last one


def pictures(net: nn.Layer, images: Tensor) -> dict[str, np.ndarray]:
    """What a network does to the first image of a batch, in evaluation mode.

    Args:
        images: [N, C, H, W].

    Returns:
        Layer name and a label to a picture [h, w] in [0, 1]; {} for a network that has none of them.

        - "mask": of sampling.
        - "sampled", "interpolated": the channel mean of |x| behind the first convolution of a block that samples, at
          the positions that its mask keeps, and with the others filled in; both scaled to the maximum of the latter.
        - "high", "low": the channel mean of |x| of the octave groups, scaled to its maximum.
        - "spatial": the k x k numbers of DDF's spatial filter, a tile for each, over the image; 0.5 is zero.
        - "channel": DDF's channel filters, a tile for each channel; 0.5 is zero.
        - "filters": versatile filters, a tile for each, the root of the mean square over input channels; behind the
          stored ones those that are nested in them.
        - "kept": of learned masks, a tile for each, the share of input channels that they keep.
        - "depth", without a layer's name: of a `JointUpNet`, from the nearest to the farthest.
    """
    found: dict[str, np.ndarray] = {}

    def see(name: str, draw: Callable):
        def hook(layer, inputs, output):
            for label, picture in draw(layer, inputs[0], output).items():
                found[f"{name}/{label}" if name else label] = picture

        return hook

    hooks = [
        layer.register_forward_post_hook(see(name, draw))
        for name, layer in net.named_sublayers(include_self=True)
        for kind, draw in DRAWINGS.items()
        if isinstance(layer, kind)
    ]
    if not hooks:
        return {}
    try:
        with eval_mode(net), paddle.no_grad():
            net(images[:1])
    finally:
        for hook in hooks:
            hook.remove()
    return found


def choose(names: Sequence[str]) -> list[str]:
    """The first, the middle and the last of each kind, which stands behind the last "/"."""
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(name.rpartition("/")[2], []).append(name)
    chosen = []
    for of_kind in kinds.values():
        places = np.linspace(0, len(of_kind) - 1, min(LAYERS, len(of_kind)))
        chosen += [of_kind[int(place)] for place in places]
    return chosen


def _mask(layer: GumbelSampler, x: Tensor, output: Tensor) -> dict[str, np.ndarray]:
    return {"mask": output[0, 0].numpy()}


def _interpolation(layer: SampledBlock, x: Tensor, output: Tensor) -> dict[str, np.ndarray]:
    mask = layer.conv1_gumbel(F.sigmoid(layer.conv1_mask(x)))  # drawn anew, and its hook draws its picture anew
    features = norm_act(layer.bn1, layer.conv1(x))
    filled = layer._fill(features, mask, "conv1")[0].abs().mean(0).numpy()
    kept = mask[0, 0].numpy() >= 0.5
    return {"sampled": _of_maximum(filled) * kept, "interpolated": _of_maximum(filled)}


def _groups(layer: OctConvBNAct, x: object, output: tuple[Tensor | None, Tensor | None]) -> dict[str, np.ndarray]:
    if layer.bn_l is None:
        return {}
    energies = {label: group[0].abs().mean(0) for label, group in zip(("high", "low"), output) if group is not None}
    return {label: _of_maximum(energy.numpy()) for label, energy in energies.items()}


def _dynamic_filters(layer: DDF2D, x: Tensor, output: Tensor) -> dict[str, np.ndarray]:
    k = layer.kernel_size
    spatial = layer.spatial_branch(x)[0, : k * k].numpy()  # of the first head
    channel = layer.channel_branch(x)[0].reshape([-1, k, k])[:FILTERS].numpy()
    return {"spatial": _about_half(_tiles(spatial, k)), "channel": _about_half(_tiles(channel))}


def _nested_filters(layer: VersatileConv2D, x: Tensor, output: Tensor) -> dict[str, np.ndarray]:
    weight = layer.weight[:FILTERS].numpy()
    energy = np.sqrt(np.mean(weight * weight, axis=1))
    nested = [energy]
    for ring in range(1, layer.spatial_filters):
        inside = np.zeros_like(energy)
        inside[:, ring:-ring, ring:-ring] = energy[:, ring:-ring, ring:-ring]
        nested.append(inside)
    return {"filters": _of_maximum(_tiles(np.concatenate(nested)))}


def _learned_masks(layer: LearnedVersatileConv2D, x: Tensor, output: Tensor) -> dict[str, np.ndarray]:
    low, high = layer.mask_range
    kept = (layer.masks().numpy() - low) / (high - low)
    return {"kept": _tiles(kept.reshape([-1, *kept.shape[2:]]).mean(axis=1)[:FILTERS])}


def _depth(layer: JointUpNet, x: Tensor, output: Tensor) -> dict[str, np.ndarray]:
    depth = output[0, 0].numpy()
    return {"depth": _of_maximum(depth - depth.min())}


DRAWINGS: dict[type[nn.Layer], Callable[..., dict[str, np.ndarray]]] = {
    GumbelSampler: _mask,
    SampledBlock: _interpolation,
    OctConvBNAct: _groups,
    DDF2D: _dynamic_filters,
    VersatileConv2D: _nested_filters,
    LearnedVersatileConv2D: _learned_masks,
    JointUpNet: _depth,
}


def _tiles(maps: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Maps [n, h, w] side by side in so many columns, default: in a square of maps that are set apart by zeros."""
    if columns is None:
        maps = np.pad(maps, ((0, 0), (0, 1), (0, 1)))
        columns = math.ceil(math.sqrt(len(maps)))
    count, height, width = maps.shape
    rows = math.ceil(count / columns)
    sheet = np.zeros((rows * columns, height, width), maps.dtype)
    sheet[:count] = maps
    return sheet.reshape(rows, columns, height, width).transpose(0, 2, 1, 3).reshape(rows * height, columns * width)


def _of_maximum(values: np.ndarray) -> np.ndarray:
    return values / max(float(values.max()), 1e-12)


def _about_half(values: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * values / max(float(np.abs(values).max()), 1e-12)
