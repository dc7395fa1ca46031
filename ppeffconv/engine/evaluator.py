"""Loss and top-k accuracy of a network over a loader, exact on any number of processes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import paddle
from paddle import nn
from paddle.nn import functional as F

from ..data.datasets import MOST_BROKEN
from ..utils.logger import get_logger
from ..utils.modes import eval_mode
from ..utils.rng import fixed_seed
from .distributed import sum_over_processes
from .losses import Criterion

SEED = 0


def evaluate(
    net: nn.Layer,
    loader: Iterable,
    criterion: Criterion | None = None,
    topk: Sequence[int] = (1, 5),
) -> dict[str, float]:
    """Evaluate ``net`` in eval mode and leave its mode and the random generators as they were.

    paddle.Model.evaluate cannot stand in: it reports the loss of the last batch only, and on several processes it
    gathers equal shards, which counts padded samples.

    Args:
        net: images [N, C, H, W] -> logits [N, num_classes].
        loader: yields (images, labels [N]); on several processes, each yields its own samples, and none twice.
        criterion: (logits, labels) -> mean over the batch; default: cross entropy without label smoothing.
        topk: the k of each accuracy; those above the number of classes are left out.

    Returns:
        ``loss``, ``top1`` (for each k) as means over all samples of all processes, ``samples``, their number, and, if
        some could not be read, ``broken``, how many; they are in none of the others.

    Raises:
        ValueError: a label outside the classes of the network, no samples at all, or too many that cannot be read.
    """
    criterion = criterion or F.cross_entropy
    with eval_mode(net), paddle.no_grad(), fixed_seed(SEED):
        sums = _accumulate(net, loader, criterion, topk)
    counts, (loss, *correct) = count_samples(int(sums[0]), loader), sum_over_processes(sums[1:])
    samples = counts["samples"]
    accuracy = {f"top{k}": hits / samples for k, hits in zip(topk, correct, strict=True) if not math.isnan(hits)}
    return {"loss": loss / samples, **accuracy, **counts}


def count_samples(read: int, loader: Iterable) -> dict[str, int]:
    """Return the number of ``samples`` of an evaluation over all processes, and of ``broken`` ones if there are any.

    Args:
        read: by this process.
        loader: that of the evaluation, which has gone through the data.

    Raises:
        ValueError: there are none, or too many could not be read: the figures would be those of other data.
    """
    names = getattr(getattr(loader, "dataset", None), "broken", [])
    samples, broken = map(int, sum_over_processes([read, len(names)]))
    if samples + broken == 0:
        raise ValueError("nothing to evaluate: the loader yields no samples")
    if broken > MOST_BROKEN * (samples + broken):
        shown = f", such as {', '.join(names[:3])}" if names else ""
        raise ValueError(
            f"{broken} of the {samples + broken} evaluation samples cannot be read{shown}. More than "
            f"{100 * MOST_BROKEN:g} % would make the figures those of other data: repair the files or take them out"
        )
    return {"samples": samples, **({"broken": broken} if broken else {})}


def describe_result(result: Mapping[str, float]) -> str:
    """Return the figures of an evaluation as one line."""
    return " | ".join(f"{name} {value if isinstance(value, int) else f'{value:.4f}'}" for name, value in result.items())


def valid_topk(topk: Sequence[int], num_classes: int) -> list[int]:
    """Return the k of ``topk`` that ``num_classes`` allow, at least one; log what is dropped."""
    for k in (k for k in topk if k > num_classes):
        get_logger().info(f"top-{k} accuracy is left out: there are only {num_classes} classes")
    return [k for k in topk if k <= num_classes] or [1]


def _accumulate(net: nn.Layer, loader: Iterable, criterion: Criterion, topk: Sequence[int]) -> list[float]:
    """Return this process's sums: samples, loss, and for each k the correct ones, NaN if there are not k classes."""
    sums = [0.0] * (2 + len(topk))
    for images, labels in loader:
        labels = labels.flatten()
        logits = net(images).astype("float32")
        count, num_classes = logits.shape
        _check_labels(labels, num_classes)
        best = paddle.topk(logits, min(max(topk), num_classes), axis=1)[1]
        hit = (best == labels.unsqueeze(1)).astype("float32")
        sums[0] += count
        sums[1] += float(criterion(logits, labels)) * count
        for i, k in enumerate(topk):
            sums[2 + i] += float(hit[:, :k].sum()) if k <= num_classes else math.nan
    return sums


def _check_labels(labels: paddle.Tensor, num_classes: int) -> None:
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= num_classes:
        raise ValueError(
            f"label {low if low < 0 else high} is outside the network's classes 0..{num_classes - 1}: "
            "num_classes does not fit this data"
        )
