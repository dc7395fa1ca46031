"""Pictures of what a network does to an image: sampling masks, and octave groups."""

from __future__ import annotations

import numpy as np
import paddle
from paddle import Tensor, nn

from ..layers import OctConvBNAct
from ..layers.gumbel import GumbelSampler
from .depth_upsampler import JointUpNet


def pictures(net: nn.Layer, images: Tensor) -> dict[str, np.ndarray]:
    """Masks and octave groups of the first image of a batch, in evaluation mode.

    Args:
        images: [N, C, H, W].

    Returns:
        Layer name to a picture [h, w] in [0, 1]: the sampling mask, or the channel mean of |x| of the high and the low
        group, scaled to its maximum; of a `JointUpNet` "depth", from the nearest to the farthest. {} for a network that
        has none of them.
    """
    found: dict[str, np.ndarray] = {}

    def see_mask(name: str):
        def hook(layer, inputs, output):
            found[f"{name}/mask"] = output[0, 0].numpy()

        return hook

    def see_depth(layer, inputs, output):
        depth = output[0, 0].numpy()
        found["depth"] = (depth - depth.min()) / max(float(np.ptp(depth)), 1e-12)

    def see_groups(name: str):
        def hook(layer, inputs, output):
            for group, label in zip(output, ("high", "low")):
                if group is not None and layer.bn_l is not None:
                    energy = group[0].abs().mean(0).numpy()
                    found[f"{name}/{label}"] = energy / max(float(energy.max()), 1e-12)

        return hook

    hooks = []
    if isinstance(net, JointUpNet):
        hooks.append(net.register_forward_post_hook(see_depth))
    for name, layer in net.named_sublayers():
        if isinstance(layer, GumbelSampler):
            hooks.append(layer.register_forward_post_hook(see_mask(name)))
        elif isinstance(layer, OctConvBNAct):
            hooks.append(layer.register_forward_post_hook(see_groups(name)))
    if not hooks:
        return {}
    modes = [(layer, layer.training) for layer in net.sublayers(include_self=True)]
    net.eval()
    try:
        with paddle.no_grad():
            net(images[:1])
    finally:
        for hook in hooks:
            hook.remove()
        for layer, training in modes:
            layer.training = training
    return found
