"""Weight decay, and the parameters that it must leave alone because they are no weights: masks, gates, widths.

A latent mask or a gate means something at every value, and 0 is none that it should be drawn to: decayed latents fall
under their threshold, and whole filters die. So the layers give such parameters a regularizer of their own, of strength
0, which Paddle's optimizers prefer to theirs. Decoupled decay (AdamW) and parameter groups do not ask for it:
`exempt_from_decay` tells them.
"""

from __future__ import annotations

from paddle import ParamAttr, Tensor, nn
from paddle.optimizer import Optimizer
from paddle.regularizer import L2Decay


def undecayed_attr(initializer: nn.initializer.Initializer) -> ParamAttr:
    """A parameter that no weight decay reaches."""
    return ParamAttr(initializer=initializer, regularizer=L2Decay(0.0))


def undecayed_parameters(net: nn.Layer) -> list[Tensor]:
    """The parameters of a network that its layers exempt from weight decay.

    A layer names them, as its `named_parameters` does, in an attribute ``undecayed``.
    """
    found = []
    for layer in net.sublayers(include_self=True):
        names = getattr(layer, "undecayed", ())
        found += [parameter for name, parameter in layer.named_parameters() if name in names]
    return found


def exempt_from_decay(optimizer: Optimizer, net: nn.Layer) -> Optimizer:
    """Let an optimizer spare what the layers of ``net`` exempt from weight decay.

    SGD, Momentum and Adam spare it anyway, unless they were given parameter groups, each of which sets the decay of its
    parameters. AdamW and its kin, whose decay is no part of the gradient, decay everything that they are not told of.

    Args:
        optimizer: changed in place, before its first step.

    Returns:
        ``optimizer``.
    """
    spared = undecayed_parameters(net)
    for parameter in spared:
        parameter.regularizer = L2Decay(0.0)
    if spared and hasattr(optimizer, "_apply_decay_param_fun"):
        names, given = {parameter.name for parameter in spared}, optimizer._apply_decay_param_fun
        optimizer._apply_decay_param_fun = lambda name: name not in names and (given is None or given(name))
    return optimizer
