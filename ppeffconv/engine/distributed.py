"""The few collective operations that training on several processes needs; on one process they cost nothing."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.distributed as dist
from paddle import nn


def rank() -> int:
    """Return the number of this process, 0 for the one that writes."""
    return dist.get_rank()


def processes() -> int:
    """Return how many processes ``paddle.distributed.launch`` started; 1 without it."""
    return dist.get_world_size()


def join() -> None:
    """Connect to the other processes, if there are any."""
    if processes() > 1 and not dist.is_initialized():
        dist.init_parallel_env()


def sum_over_processes(values: Sequence[float]) -> list[float]:
    """Return, for each value, its sum over all processes."""
    if not _connected():
        return [float(value) for value in values]
    total = paddle.to_tensor(list(values), dtype="float64")
    dist.all_reduce(total)
    return total.tolist()


def any_process(flag: bool) -> bool:
    """Return True if ``flag`` is set on at least one process: what one decides, all must do at the same step."""
    if not _connected():
        return flag
    flags = paddle.to_tensor([int(flag)], dtype="int32")
    dist.all_reduce(flags, op=dist.ReduceOp.MAX)
    return bool(flags.item())


def share_statistics(net: nn.Layer) -> None:
    """Give every process what process 0 has of all that no gradient trains.

    DataParallel averages gradients, so parameters agree, but each process keeps batch-norm statistics of its own shard.
    A score belongs to the weights that are saved, and those are the ones of process 0.
    """
    if _connected():
        # Paddle keeps these statistics as parameters without gradient, not as buffers.
        for value in net.state_dict().values():
            if value.stop_gradient:
                dist.broadcast(value, src=0)


def _connected() -> bool:
    return processes() > 1 and dist.is_initialized()
