"""`convert`: the convolutions of any Paddle network replaced by those of a method."""

from __future__ import annotations

import copy
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import paddle
from paddle import nn

from ..models import count_parameters
from ..registry import check_names
from ..utils.messages import brief
from .counting import count, macs_of
from .dense import replaced_forward
from .methods import REWRITES
from .plan import Plan
from .report import Conversion
from .sites import Chosen

OWN = ("include", "exclude", "input_shape")


def convert(
    net: nn.Layer,
    method: str,
    *,
    include: str | Sequence[str] = "*",
    exclude: str | Sequence[str] = (),
    input_shape: Sequence[int] | None = None,
    **kwargs: Any,
) -> nn.Layer:
    """Copy a network with its convolutions replaced by those of a method, and carry over what the mathematics allows.

    ``print(new.conversion)`` shows what was replaced and what was not, why, how its weights were carried, and
    parameters and multiply-adds before and after.

    Args:
        net: any network; it stays as it is. Of a `paddle.DataParallel` the network in it is taken.
        method: "octconv" (alpha; pairs flow through a ResNet, other convolutions are replaced one by one;
            pointwise=True takes 1x1 convolutions too), "spconv" (ratio, groups), "versatile" (delta, g, channel_mode),
            "ddf" (mode, heads, se_ratio; separable) or "sampling" (window, grid_stride, kernel, ...; residual blocks).
        include, exclude: shell wildcards on the names in the report ("layer[34].*"), to choose among what fits.
        input_shape: (C, H, W) on which multiply-adds are counted; by default 224x224 is tried.
        kwargs: the method's own arguments, as in `ppeffconv.layers.build_conv`.

    Returns:
        A new network of the same inputs and outputs, with the attribute ``conversion``; convert first, then apply
        `paddle.jit.to_static` or `convert_sync_batchnorm`.

    Raises:
        ValueError: unknown method or argument, nothing that could be replaced (with the reasons), a network that cannot
            be copied or no longer runs with its new layers.
    """
    while isinstance(net, paddle.DataParallel):
        net = net._layers
    if not isinstance(net, nn.Layer):
        hint = "; give model.network" if isinstance(net, paddle.Model) else ""
        raise ValueError(f"convert: net must be a paddle.nn.Layer, got {type(net).__name__}{hint}")
    rewrite = REWRITES.get(method)
    check_names(kwargs, [*rewrite.arguments, *OWN], f"convert to '{method}'")
    _check_forwards(net)
    plan = Plan(net, Chosen(include, exclude))
    with paddle.no_grad():
        rewrite.plan(plan, **kwargs)
        if all(row.became is None for row in plan.rows()):
            raise ValueError(_nothing(plan, method))
        new = _copy(plan)
        new.conversion = _report(plan, new, method, rewrite.meaning, input_shape)
    return new


def _check_forwards(net: nn.Layer) -> None:
    name = replaced_forward(net)
    if name is not None:
        raise ValueError(
            f"convert: the forward of '{name}' was replaced on the object (by jit.to_static?), and in a copy it would "
            "still run the old layers; convert first"
        )


def _copy(plan: Plan) -> nn.Layer:
    try:
        new = copy.deepcopy(plan.net, plan.memo)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"convert works on a copy, and {type(plan.net).__name__} cannot be copied: {brief(error)}"
        ) from error
    for finish in plan.finish:
        finish(new)
    return new


def _nothing(plan: Plan, method: str) -> str:
    """Why nothing was replaced: each kind of reason, with the first layer and a count, and the plan's notes."""
    kinds = defaultdict(list)
    for row in plan.rows():
        kinds[re.sub(r"\d+", "0", row.reason)].append(row)
    said = "; ".join(
        f"{rows[0].name or 'it'}{f' and {len(rows) - 1} more' if rows[1:] else ''}: {rows[0].reason}"
        for rows in kinds.values()
    )
    reasons = ". ".join([said or "It has no paddle.nn.Conv2D", *plan.notes])
    return f"convert: '{method}' can replace nothing in {type(plan.net).__name__}. {reasons}"


def _report(
    plan: Plan, new: nn.Layer, method: str, meaning: dict[str, str], input_shape: Sequence[int] | None
) -> Conversion:
    counted, shape = count(plan, new, input_shape)
    rows = plan.rows()
    if counted is not None:
        rows = [replace(row, macs=tuple(macs_of(one, row.name) for one in counted)) for row in rows]
    if any(row.weights in ("approximate", "new") for row in rows):
        plan.notes.append(
            "fine-tune before use; the statistics of the norms are those of the given network until some batches have "
            "passed in training mode"
        )
    if plan.thawed:
        plan.notes.append(f"frozen before, and trained now because their weights are new: {', '.join(plan.thawed)}")
    params = count_parameters(plan.net), count_parameters(new)
    macs = None if counted is None else (counted[0].macs, counted[1].macs)
    return Conversion(method, rows, params, macs, shape, meaning, plan.notes)
