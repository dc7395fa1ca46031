"""The worker that runs a peer: ``python -m peers ENGINE THREADS``, in the peers' environment."""

from __future__ import annotations

import sys

from .serve import serve


def main(engine: str, threads: int) -> None:
    """Serve the jobs of one engine; no other one is imported, so that its memory and threads do not count."""
    if engine == "torch":
        import torch

        from . import infer, ops, train

        torch.set_num_threads(threads)
        torch.manual_seed(0)
        serve({"train": train.prepare, "infer": infer.prepare, **ops.JOBS})
    elif engine == "openvino":
        from . import openvino_runtime

        serve({"infer": openvino_runtime.preparing(threads)})
    else:
        from . import onnx_runtime

        serve({"infer": onnx_runtime.preparing(threads)})


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
