"""Configurations in PaddleDetection's own form, with overrides that are checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import paddle
import yaml
from ppdet.core import workspace
from ppdet.core.config.schema import SchemaDict

from ...config import parse_override
from ...registry import check_names, did_you_mean
from ...utils.files import replacing

# what PaddleDetection and the runner read and a file may leave out
OPTIONS = {
    "use_gpu": None,
    "use_npu": False,
    "use_mlu": False,
    "use_xpu": False,
    "use_vdl": True,
    "use_ema": False,
    "amp": False,
    "log_iter": 20,
    "snapshot_epoch": 1,
    "save_dir": "output",
    "worker_num": 0,
    "seed": 0,
    "accelerate": True,
    "deploy": False,
    "keep_checkpoints": None,
    "metric": "COCO",
    "classwise": False,
    "pretrain_weights": None,
    "vdl_log_dir": None,
    "output_eval": None,
}
_MODULES: dict[str, SchemaDict] = {}  # all that are registered, by name


def load(path: str | Path, overrides: Sequence[str] = ()) -> workspace.AttrDict:
    """Read a YAML file with its ``_BASE_`` files and apply ``KEY=VALUE`` overrides, such as ``epoch=2``.

    PaddleDetection keeps one configuration for the whole process, which this replaces.

    Raises:
        FileNotFoundError: no such file, or a base is missing.
        ValueError: malformed YAML, an unknown key of an override, or an unknown argument of a module.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no configuration file {path}")
    _forget()
    try:
        cfg = workspace.load_config(str(path))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: a file in its _BASE_ does not exist: {error.filename}") from None
    except (yaml.YAMLError, AssertionError) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from None
    for text in overrides:
        tree = parse_override(text)
        _check_key(tree, cfg, f"-o {text}")
        workspace.merge_config(tree)
    for key, value in OPTIONS.items():
        cfg.setdefault(key, value)
    _check_arguments(cfg, path)
    return _complete(cfg)


def save(cfg: Mapping[str, Any], path: Path) -> None:
    """Write what was set, bases and overrides merged, to a file that `load` reads."""
    plain = {key: dict(value) if isinstance(value, SchemaDict) else value for key, value in cfg.items()}
    plain = {key: value for key, value in plain.items() if key != "filename" and not (key in _MODULES and not value)}
    with replacing(path) as temporary:
        temporary.write_text(yaml.dump(plain, sort_keys=False), encoding="utf-8")


def run_dir(cfg: Mapping[str, Any]) -> Path:
    """The folder of a run: save_dir / name of the configuration file, where PaddleDetection writes its checkpoints."""
    return Path(cfg["save_dir"]) / cfg["filename"]


def _forget() -> None:
    """Empty PaddleDetection's configuration but for the modules that are registered."""
    registered = {name: entry for name, entry in workspace.global_config.items() if isinstance(entry, SchemaDict)}
    _MODULES.update(registered)  # a configuration may have put a data set in a module's place
    workspace.global_config.clear()
    for name, module in _MODULES.items():
        module.clear()
        workspace.global_config[name] = module


def _check_key(tree: Mapping[str, Any], cfg: Mapping[str, Any], text: str) -> None:
    (name,) = tree
    known = [*OPTIONS, *cfg]
    if name not in known:
        raise ValueError(f"{text}: unknown key '{name}'.{did_you_mean(name, known)}")


def _check_arguments(cfg: Mapping[str, Any], path: Path) -> None:
    for name, entry in cfg.items():
        if isinstance(entry, SchemaDict) and entry.strict:
            check_names(entry.keys(), entry.schema, f"{path}: {name}")


def _complete(cfg: workspace.AttrDict) -> workspace.AttrDict:
    """Put what depends on the machine and the run in place of None."""
    if "architecture" not in cfg:
        raise ValueError(f"{cfg['filename']}: no architecture; is it a configuration of PaddleDetection?")
    if cfg["use_gpu"] is None:
        cfg["use_gpu"] = paddle.is_compiled_with_cuda()
    elif cfg["use_gpu"] and not paddle.is_compiled_with_cuda():
        raise ValueError(
            "use_gpu=true, but the Paddle installed is for CPU; -o use_gpu=false, or install Paddle for GPU"
        )
    folder = run_dir(cfg)
    cfg["vdl_log_dir"] = cfg["vdl_log_dir"] or str(folder / "vdl")
    cfg["output_eval"] = cfg["output_eval"] or str(folder / "eval")
    return cfg
