"""The parity cases: outputs and gradients of the authors' own code, and how our layers are built for them."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path

import numpy as np

import ppeffconv
from ppeffconv import layers

HERE = Path(__file__).parent
SHARED = Path(os.environ.get("PPEFFCONV_PARITY", HERE.parents[2] / "shared" / "parity"))
# all cases where the full set is at hand, the copies beside this file otherwise
FOLDER = SHARED if (SHARED / "manifest.json").is_file() else HERE / "data"
MANIFEST = json.loads((FOLDER / "manifest.json").read_text())
CASES = {case["name"]: case for case in MANIFEST["layers"] if (FOLDER / f"{case['name']}.npz").is_file()}
NETS = {case["name"]: case for case in MANIFEST["nets"] if (FOLDER / f"net_{case['name']}.npz").is_file()}


def tensor(name: str, shape: list[int], salt: int = 0) -> np.ndarray:
    """A reproducible input or output weight."""
    return np.random.default_rng([zlib.crc32(name.encode()), salt]).standard_normal(shape).astype("float32")


def value(key: str, shape: list[int], salt: int = 0) -> np.ndarray:
    """A reproducible array for a checkpoint's key."""
    z = np.random.default_rng([zlib.crc32(key.encode()), salt]).standard_normal(shape)
    last = key.split(".")[-1]
    if last == "running_var":
        z = 1 + 0.2 * np.abs(z)
    elif last in ("running_mean", "bias"):
        z = 0.1 * z
    elif last == "std":
        z = 0.4 * z
    elif len(shape) == 1:
        z = 1 + 0.1 * z
    else:
        z = z * np.sqrt(1.5 / np.prod(shape[1:]))
    return z.astype("float32")


def state_of(case: dict) -> dict[str, np.ndarray]:
    """The authors' checkpoint of a case, 0-d entries included."""
    state = {key: value(key, shape, case["salt"]) for key, shape in case["keys"]}
    if "sigma" in case:
        for conv in ("conv1", "conv2"):
            state[f"{conv}_sigma"] = np.array(case["sigma"], "float32")
            state[f"{conv}_gumbel.cur_T"] = np.array(case["temperature"], "float32")
    return state


def expected(name: str) -> dict[str, np.ndarray]:
    """The stored outputs and gradients of a case."""
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return dict(arrays)


def build(name: str, args: dict):
    """Our layer for the authors' constructor arguments, and the source of its checkpoint."""
    family = name.split("_")[0]
    if family == "octconv":
        return layers.OctConv2D(**args), "d-li14/octconv.pytorch"
    if family == "spconv":
        sp = layers.SPConv2D(args["inplanes"], args["outplanes"], args["stride"], args["ratio"])
        return sp, "qiulinzhang/SPConv.pytorch"
    if family == "versatile":
        return layers.VersatileConv2D(**args, channel_mode="reference"), "huawei-noah/Versatile-Filters"
    if family == "ddf":
        names = {"in_channels": "channels", "head": "heads", "kernel_combine": "mode"}
        return layers.DDF2D(**{names.get(key, key): arg for key, arg in args.items()}), "theFoxofSky/ddfnet"
    block = layers.SampledBottleneck(args["inplanes"], args["planes"], args["stride"])
    return block, "zdaxie/SpatiallyAdaptiveInference-Detection"


def build_net(name: str):
    """Our network of a whole-network case, and the source of its checkpoint."""
    return {
        "oct_resnet50": lambda: (ppeffconv.create_model("oct_resnet50"), "d-li14/octconv.pytorch"),
        "sp_resnet50_half": lambda: (ppeffconv.create_model("sp_resnet50", ratio=0.5), "qiulinzhang/SPConv.pytorch"),
        "ddf_mul_resnet50": lambda: (ppeffconv.create_model("ddf_resnet50", mode="mul"), "theFoxofSky/ddfnet"),
    }[name]()
