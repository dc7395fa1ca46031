"""Work done ahead by other processes: results in order, and a process that dies ends it with one message.

Each worker has a pipe of its own and nothing else in common with the others: no lock that a killed one could hold, no
shared memory that could be full. Its death closes the pipe, and so does that of this process: neither waits for ever.
"""

from __future__ import annotations

import atexit
import errno
import os
import pickle
import random
import signal
import struct
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import cycle
from multiprocessing import connection, get_context
from typing import IO, Any

import numpy as np

IGNORED = ("SIGINT", "SIGTERM", "SIGHUP")  # the main process decides what they mean; a worker ends with its pipe
REMEDY = (
    "Use fewer workers (num_workers; 0 loads in the main process), smaller batches or more memory (of a container: "
    "--memory, and --shm-size for what its data set keeps in /dev/shm)"
)


class WorkerError(RuntimeError):
    """A worker process was killed, has crashed, or could not be started."""


@dataclass(frozen=True)
class _Failure:
    """An exception of a worker, as one that exists here."""

    kind: type[Exception]
    text: str


class _End:
    """A worker has no more items."""


def in_workers(
    function: Callable[[Any], Any], items: Iterable[Any], workers: int, seed: int | None = None
) -> Iterator[Any]:
    """Yield ``function(item)`` for each item in order, made by forked processes, each one result ahead.

    Args:
        function: need not be picklable, its results must be; arrays travel without being pickled.
        items: each process goes through them by itself and takes every ``workers``-th, so they must be the same each
            time.
        workers: number of processes.
        seed: if given, Python's and numpy's generators are seeded by it and the number of the item before each call.

    Raises:
        ValueError, OSError, FileNotFoundError: ``function`` has raised one.
        RuntimeError: it has raised something else.
        WorkerError: a process has died, whatever the cause.
    """
    pool = _Pool()
    atexit.register(pool.stop)  # an iterator that nobody has closed: multiprocessing would wait for its processes
    try:
        for rank in range(workers):
            pool.start(lambda pipe, rank=rank: _work(pipe, function, items, rank, workers, seed))
        for rank in cycle(range(workers)):
            result = pool.receive(rank)
            if isinstance(result, _End):
                return
            if isinstance(result, _Failure):
                raise result.kind(result.text)
            yield result
    finally:
        pool.stop()
        atexit.unregister(pool.stop)


class _Pool:
    """Forked processes, each with a pipe to this one."""

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._processes: list[Any] = []
        self._pipes: list[IO[bytes]] = []

    def start(self, work: Callable[[IO[bytes]], None]) -> None:
        """Fork a process that writes to its pipe what `receive` is to read."""
        reader, writer = (os.fdopen(end, mode) for end, mode in zip(os.pipe(), ("rb", "wb"), strict=True))
        self._pipes.append(reader)

        def main() -> None:
            for pipe in self._pipes:  # held open here, they would outlive the main process
                pipe.close()
            work(writer)

        process = get_context("fork").Process(target=main, daemon=True)
        try:
            process.start()
        except OSError as error:
            raise WorkerError(f"cannot start data-loading worker {len(self._pipes)}: {error}. {REMEDY}") from None
        finally:
            writer.close()
        self._processes.append(process)

    def receive(self, rank: int) -> Any:
        """Return the next result of a process, unless one of them dies before that."""
        pipe = self._pipes[rank]
        alive = {process.sentinel: process for process in self._processes if process.exitcode is None}
        while pipe not in (ready := connection.wait([pipe, *alive])):
            for sentinel in ready:
                self._check(alive.pop(sentinel))
        try:
            return _read(pipe)
        except EOFError:
            self._processes[rank].join()
            raise _death(self._processes[rank]) from None

    def stop(self) -> None:
        """End all processes, at once: nothing of theirs is needed any more."""
        if os.getpid() != self._owner:
            return
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join()

    @staticmethod
    def _check(process: Any) -> None:
        process.join()
        if process.exitcode:
            raise _death(process)


def _death(process: Any) -> WorkerError:
    code = process.exitcode
    if code >= 0:
        how = f"has left with exit status {code}"
    else:
        reason = {signal.SIGKILL: ", most likely because memory was short", signal.SIGBUS: ", as on a full /dev/shm"}
        how = f"was killed by {signal.Signals(-code).name}{reason.get(-code, '')}"
    return WorkerError(f"a data-loading worker (process {process.pid}) {how}. {REMEDY}")


def _work(
    pipe: IO[bytes], function: Callable[[Any], Any], items: Iterable[Any], rank: int, workers: int, seed: int | None
) -> None:
    """What a worker does."""
    for name in IGNORED:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    try:
        for number, item in enumerate(items):
            if number % workers == rank:
                if seed is not None:
                    random.seed(f"{seed} {number}")
                    np.random.seed(np.random.SeedSequence([seed, number]).generate_state(4))
                _write(pipe, _guarded(function, item))
        _write(pipe, _packed(_End()))
        pipe.close()
    except BrokenPipeError:  # the main process has enough, or is no more
        os._exit(0)


def _guarded(function: Callable[[Any], Any], item: Any) -> list[Any]:
    """Return the parts of ``function(item)``, or of how it failed."""
    try:
        return _packed(function(item))
    except Exception as error:  # noqa: BLE001 - whatever a data set raises is told where the batch is asked for
        return _packed(_described(error))


def _described(error: Exception) -> _Failure:
    text = str(error)
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOSPC:
        return _Failure(WorkerError, f"a data-loading worker has no room left ({text or 'memory'}). {REMEDY}")
    for kind in (FileNotFoundError, ValueError, OSError, RuntimeError):
        if isinstance(error, kind):
            return _Failure(kind, text)
    trace = "".join(traceback.format_exception(error))
    return _Failure(RuntimeError, f"a data-loading worker has failed: {type(error).__name__}: {text}\n{trace}")


def _packed(value: Any) -> list[Any]:
    """Return a value as its pickle and the buffers of its arrays, which are not copied."""
    buffers: list[pickle.PickleBuffer] = []
    body = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    return [body, *(buffer.raw() for buffer in buffers)]


def _write(pipe: IO[bytes], parts: list[Any]) -> None:
    pipe.write(struct.pack(f"<{1 + len(parts)}Q", len(parts), *map(len, parts)))
    for part in parts:
        pipe.write(part)
    pipe.flush()


def _read(pipe: IO[bytes]) -> Any:
    (count,) = struct.unpack("<Q", _exactly(pipe, 8))
    sizes = struct.unpack(f"<{count}Q", _exactly(pipe, 8 * count))
    body, *buffers = [_exactly(pipe, size) for size in sizes]
    return pickle.loads(body, buffers=buffers)


def _exactly(pipe: IO[bytes], size: int) -> memoryview:
    content = memoryview(np.empty(size, np.uint8))
    if pipe.readinto(content) != size:
        raise EOFError
    return content
