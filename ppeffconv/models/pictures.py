"""Pictures of what a network does to an image: masks, gates, the parts of split convolutions, dynamic filters."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from ..layers import (
    DDF2D,
    CARAFEUpsample2D,
    DDFUpsample2D,
    GhostConv2D,
    HetConv2D,
    LearnedVersatileConv2D,
    OctConvBNAct,
    ReLUGatedConv2D,
    SPConv2D,
    VersatileConv2D,
)
from ..layers.gumbel import GumbelSampler
from ..layers.norm import norm_act
from ..layers.pointwise import window_centres
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
        - "representative", "redundant": of SPConv, the channel mean of |x| of its two normalised responses, each as
          much as its weights let through, on one scale; "weights": of the representative part, a square for each
          channel, 0.5 where both parts count alike.
        - "gate": of ReLU gating, the channel mean, scaled to its maximum; 0 is not computed.
        - "intrinsic", "ghosts"; "grouped", "pointwise": the channel mean of |x| of the two parts of GhostNet's module
          and of HetConv, on one scale.
        - "spatial": the k x k numbers of DDF's spatial filter, a tile for each, over the image; 0.5 is zero. Of
          DDF-Up and CARAFE those of the first of the pixels that replace one.
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
    return _forward(net, images, hooks, found)


def feature_maps(net: nn.Layer, images: Tensor) -> dict[str, np.ndarray]:
    """Features of any network: "features" behind each `nn.Conv2D`, the channel mean of |x| scaled to its maximum.

    Args and Returns:
        as of `pictures`; maps of a single position are left out.
    """
    found: dict[str, np.ndarray] = {}

    def see(name: str):
        def hook(layer, inputs, output):
            if output.shape[2] * output.shape[3] > 1:
                found[f"{name}/features"] = _of_maximum(_energy(output))

        return hook

    convolutions = [(name, layer) for name, layer in net.named_sublayers() if isinstance(layer, nn.Conv2D)]
    return _forward(net, images, [layer.register_forward_post_hook(see(name)) for name, layer in convolutions], found)


def _forward(net: nn.Layer, images: Tensor, hooks: list, found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Have hooks fill ``found`` in one evaluation of the first image, and remove them."""
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
    return {label: _of_maximum(_energy(group)) for label, group in zip(("high", "low"), output) if group is not None}


def _split_parts(layer: SPConv2D, x: Tensor, output: Tensor) -> dict[str, np.ndarray]:
    first, second = paddle.split(x, [layer.representative, layer.in_channels - layer.representative], axis=1)
    response = layer.gwc(first)
    if layer.stride == 2:
        first, second = (F.avg_pool2d(part, 2, 2, ceil_mode=True, exclusive=True) for part in (first, second))
    response, other = layer.bn1(response + layer.pwc(first)), layer.bn2(layer.conv1x1(second))
    weights = F.softmax(paddle.stack([part.mean([2, 3]) for part in (response, other)]), axis=0)[:, 0]
    parts = [part * weight[:, None, None] for part, weight in zip((response, other), weights)]
    shares = _tiles(weights[0].reshape([-1, 1, 1]).numpy(), math.ceil(math.sqrt(weights.shape[1])))
    return {**_side_by_side(("representative", "redundant"), parts), "weights": shares}


def _gate(layer: ReLUGatedConv2D, x: Tensor, output: Tensor) -> dict[str, np.ndarray]:
    gate = F.relu(layer.collaborative(window_centres(x, layer._margins)))
    return {"gate": _of_maximum(_energy(gate))}


def _ghosts(layer: GhostConv2D, x: Tensor, output: Tensor) -> dict[str, np.ndarray]:
    count = layer.primary_conv[0].weight.shape[0]
    return _side_by_side(("intrinsic", "ghosts"), [output[:, :count], output[:, count:]])


def _het_parts(layer: HetConv2D, x: Tensor, output: Tensor) -> dict[str, np.ndarray]:
    grouped = layer.gwc(x)
    return _side_by_side(("grouped", "pointwise"), [grouped, output - grouped])


def _dynamic_filters(layer: DDF2D, x: Tensor, output: Tensor) -> dict[str, np.ndarray]:
    k = layer.kernel_size
    spatial = layer.spatial_branch(x)[0, : k * k].numpy()  # of the first head
    channel = layer.channel_branch(x)[0].reshape([-1, k, k])[:FILTERS].numpy()
    return {"spatial": _about_half(_tiles(spatial, k)), "channel": _about_half(_tiles(channel))}


def _up_filters(layer: DDFUpsample2D, x: Tensor, output: Tensor) -> dict[str, np.ndarray]:
    if layer.guide_channels is not None:
        return {}  # the filters come from the guide, which a hook does not see
    k = layer.kernel_size
    return {"spatial": _about_half(_tiles(layer.spatial_branches[0](x)[0, : k * k].numpy(), k))}


def _carafe_filters(layer: CARAFEUpsample2D, x: Tensor, output: Tensor) -> dict[str, np.ndarray]:
    return {"spatial": _about_half(_tiles(layer._kernels(x)[0][0].numpy(), layer.kernel_size))}


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
    SPConv2D: _split_parts,
    ReLUGatedConv2D: _gate,
    GhostConv2D: _ghosts,
    HetConv2D: _het_parts,
    DDF2D: _dynamic_filters,
    DDFUpsample2D: _up_filters,
    CARAFEUpsample2D: _carafe_filters,
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


def _side_by_side(labels: Sequence[str], parts: Sequence[Tensor]) -> dict[str, np.ndarray]:
    """The channel means of |x| of several parts, on one scale."""
    energies = [_energy(part) for part in parts]
    largest = max(float(energy.max()) for energy in energies)
    return {label: energy / max(largest, 1e-12) for label, energy in zip(labels, energies)}


def _energy(features: Tensor) -> np.ndarray:
    """The channel mean of |x| of the first image."""
    return features[0].abs().mean(0).numpy()


def _of_maximum(values: np.ndarray) -> np.ndarray:
    return values / max(float(values.max()), 1e-12)


def _about_half(values: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * values / max(float(np.abs(values).max()), 1e-12)
