"""Configurations in PaddleDetection's own form, with overrides that are checked."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import paddle
import yaml
from ppdet.core import workspace
from ppdet.core.config.schema import SchemaDict, SharedConfig

from ...config import merge, parse_override
from ...config_check import Tree
from ...config_schema import NOT_NEGATIVE, POSITIVE, Field
from ...config_yaml import SCALARS, TAG, Loader, parse_yaml
from ...registry import check_names, did_you_mean
from ...utils.files import replacing
from ...utils.logger import get_logger
from ..places import find_data
from ..strict import check_like_defaults, check_values, read_with_bases

# what PaddleDetection and the runner read and a file may leave out
OPTIONS = {
    "use_gpu": Field(bool, None),
    "use_npu": Field(bool, False),
    "use_mlu": Field(bool, False),
    "use_xpu": Field(bool, False),
    "use_vdl": Field(bool, True),
    "use_ema": Field(bool, False),
    "amp": Field(bool, False),
    "log_iter": Field(int, 20, POSITIVE),
    "snapshot_epoch": Field(int, 1, POSITIVE),
    "save_dir": Field(str, "output", path=True),
    "worker_num": Field(int, 0, NOT_NEGATIVE),
    "seed": Field(int, 0, NOT_NEGATIVE),
    "accelerate": Field(bool, True),
    "deploy": Field(bool, False),
    "keep_checkpoints": Field(int, None, POSITIVE),
    "metric": Field(str, "COCO"),
    "classwise": Field(bool, False),
    "pretrain_weights": Field(str, None, path=True),
    "vdl_log_dir": Field(str, None, path=True),
    "output_eval": Field(str, None, path=True),
    "find_unused_parameters": Field(bool, False),
}
# what has no default
FIELDS = {"architecture": Field(str), "epoch": Field(int, rule=POSITIVE), "num_classes": Field(int, rule=POSITIVE)}
# arguments of PaddleDetection's classes that their defaults do not tell enough about
# what a run may be continued with other values of: places, and what does not shape its course
FREE = {
    *("save_dir", "vdl_log_dir", "output_eval", "dataset_dir", "image_dir", "anno_path", "pretrain_weights"),
    *("epoch", "snapshot_epoch", "log_iter", "worker_num", "keep_checkpoints", "use_vdl", "classwise"),
    *("accelerate", "deploy", "use_gpu", "EffConvResNet.pretrained", "EvalDataset", "EvalReader"),
    *("TestDataset", "TestReader", "find_unused_parameters"),
}
DATASETS = ("TrainDataset", "EvalDataset", "TestDataset")
_READER = {"batch_size": Field(int, rule=POSITIVE)}
_DATA = {"dataset_dir": Field(str, None, path=True), "image_dir": Field(str, None), "anno_path": Field(str, None)}
ARGUMENTS = {
    **dict.fromkeys(("TrainReader", "EvalReader", "TestReader"), _READER),
    **dict.fromkeys(DATASETS, _DATA),
    "LearningRate": {"base_lr": Field(float, rule=POSITIVE), "schedulers": Field(list)},
    "OptimizerBuilder": {
        "clip_grad_by_norm": Field(float, None, POSITIVE),
        "clip_grad_by_value": Field(float, None, POSITIVE),
        "optimizer": Field(dict),
    },
    "EffConvResNet": {
        "name": Field(str),
        "kwargs": Field(dict, None),
        "auxiliary": Field(dict, None),
        "pretrained": Field(str, None, path=True),
        "return_idx": Field(list, item=int),
        "lr_mult_list": Field(list, item=float),
        "freeze_at": Field(int),
    },
    "EffConvFPN": {
        "out_channel": Field(int, rule=POSITIVE),
        "conv": Field(str),
        "conv_kwargs": Field(dict, None),
        "upsample": Field(str),
        "upsample_kwargs": Field(dict, None),
        "extra_stage": Field(int, rule=NOT_NEGATIVE),
    },
}
HISTORY = "history.jsonl"  # in a run's folder: what each epoch gave
_MODULES: dict[str, SchemaDict] = {}  # all that are registered, by name


def load(path: str | Path, overrides: Sequence[str] = ()) -> workspace.AttrDict:
    """Read a YAML file with its ``_BASE_`` files and apply ``KEY=VALUE`` overrides, such as ``epoch=2``.

    PaddleDetection keeps one configuration for the whole process, which this replaces.

    Raises:
        FileNotFoundError: no such file, or a base is missing.
        ValueError: malformed YAML, an unknown key or argument of a module, or a value of the wrong type or out of
            bounds. The message names the file (or the override) and the key.
    """
    path = Path(path)
    _forget()
    _merge(read_with_bases(path, workspace.BASE_KEY, _combine, _loader()), str(path), overridden=False)
    workspace.global_config["filename"] = path.stem
    for text in overrides:
        _merge(parse_override(text), f"-o {text}", overridden=True)
    cfg = workspace.global_config
    for key, field in OPTIONS.items():
        cfg.setdefault(key, field.default)
    if not any(text.partition("=")[0].strip() == "save_dir" for text in overrides):
        _stay_beside(cfg, path.absolute())
    return _complete(cfg, path)


def dump(cfg: Mapping[str, Any]) -> str:
    """Return what was set, bases and overrides merged, as YAML that `load` reads."""
    plain = {key: dict(value) if isinstance(value, SchemaDict) else value for key, value in cfg.items()}
    plain = {key: value for key, value in plain.items() if key != "filename" and not (key in _MODULES and not value)}
    return yaml.dump(copy.deepcopy(plain), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def parse(text: str) -> Tree:
    """Read what `dump` gave."""
    return parse_yaml(text, "the configuration", loader=_loader())


def write(text: str, path: Path) -> None:
    """Write what `dump` gave."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


class _Dumper(yaml.Dumper):
    """PaddleDetection's dumper, with quotes around a text that `load` would take for something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _tag, _pattern, _first in SCALARS:
    _Dumper.add_implicit_resolver(TAG + _tag, re.compile(rf"(?:{_pattern})$"), list(_first))


def run_dir(cfg: Mapping[str, Any]) -> Path:
    """The folder of a run: save_dir / name of the configuration file, where PaddleDetection writes its checkpoints."""
    return Path(cfg["save_dir"]) / cfg["filename"]


def file_of(folder: Path) -> Path:
    """Return the configuration in a run's folder, which is named as the folder was when the run began.

    Raises:
        FileNotFoundError: there is none, or several.
    """
    named, found = folder / f"{folder.name}.yaml", sorted(folder.glob("*.yaml"))
    if not named.is_file() and len(found) != 1:
        raise FileNotFoundError(f"{folder} holds no run: there is no {named.name}")
    return named if named.is_file() else found[0]


def settings_of(folder: Path) -> Tree:
    """Return what the configuration in a run's folder says."""
    return read_with_bases(file_of(folder), workspace.BASE_KEY, _combine, _loader())


def holds_run(folder: Path) -> bool:
    """Whether there are checkpoints or the history of a training in ``folder``."""
    return (folder / HISTORY).is_file() or any(folder.glob("*.pdparams"))


def _stay_beside(cfg: workspace.AttrDict, path: Path) -> None:
    """A configuration that lies in a run's folder is about that run, also where the folder was copied or renamed."""
    if not holds_run(path.parent):
        return
    cfg["save_dir"], cfg["filename"] = str(path.parent.parent), path.parent.name
    cfg["vdl_log_dir"] = cfg["output_eval"] = None


def _forget() -> None:
    """Empty PaddleDetection's configuration but for the modules that are registered."""
    registered = {name: entry for name, entry in workspace.global_config.items() if isinstance(entry, SchemaDict)}
    _MODULES.update(registered)  # a configuration may have put a data set in a module's place
    workspace.global_config.clear()
    for name, module in _MODULES.items():
        module.clear()
        workspace.global_config[name] = module


def _loader() -> type[Loader]:
    """This package's reader of YAML with the tags of PaddleDetection's classes, such as !COCODataSet."""
    tags = {tag: make for tag, make in yaml.Loader.yaml_constructors.items() if tag and tag.startswith("!")}
    return type("DetectionLoader", (Loader,), {"yaml_constructors": Loader.yaml_constructors | tags})


def _combine(own: Tree, bases: list[Tree]) -> Tree:
    tree: Tree = {}
    for part in (*bases, own):
        merge(tree, part)
    return tree


def _merge(tree: Tree, source: str, overridden: bool) -> None:
    """Merge ``tree`` into PaddleDetection's configuration if its keys and values are sound."""
    cfg = workspace.global_config
    for name, value in tree.items():
        if name not in cfg and name not in OPTIONS and name not in FIELDS:
            _unknown(name, source, overridden)
        if isinstance(cfg.get(name), SchemaDict) and isinstance(value, (str, int, float, list, type(None))):
            raise ValueError(f"{source}: {name} must be a mapping of its arguments, got {value!r}")
    workspace.merge_config(check_values(tree, OPTIONS | FIELDS, source))
    for name, value in tree.items():
        if isinstance(entry := cfg.get(name), SchemaDict) and isinstance(value, dict):
            _check_arguments(entry, name, source)


def _unknown(name: str, source: str, overridden: bool) -> None:
    """Refuse a key that was meant for another one; a file may hold some that only PaddleDetection's variants read."""
    cfg = workspace.global_config
    shared = {value.default.key for entry in cfg.values() if isinstance(entry, SchemaDict) for value in _shared(entry)}
    if name in shared:
        return
    near = did_you_mean(name, [*OPTIONS, *FIELDS, *shared, *cfg])
    if overridden or near:
        raise ValueError(f"{source}: unknown key '{name}'.{near}")
    get_logger().warning(f"{source}: nothing here reads the key '{name}'")


def _shared(entry: SchemaDict) -> list[Any]:
    """The arguments of a module that it takes from the key of this name at the top, such as num_classes."""
    return [value for value in entry.schema.values() if isinstance(getattr(value, "default", None), SharedConfig)]


def _check_arguments(entry: SchemaDict, name: str, source: str) -> None:
    if entry.strict:
        check_names(entry.keys(), entry.schema, f"{source}: {name}")
    entry.update(check_values(entry, ARGUMENTS.get(name, {}), source, name))
    defaults = {key: value.default for key, value in entry.schema.items() if value.has_default()}
    check_like_defaults(entry, defaults, f"{source}: {name}")


def _complete(cfg: workspace.AttrDict, path: Path) -> workspace.AttrDict:
    """Put what depends on the machine and the run in place of None."""
    if "architecture" not in cfg:
        raise ValueError(f"{path}: no architecture; is it a configuration of PaddleDetection?")
    if cfg["use_gpu"] is None:
        cfg["use_gpu"] = paddle.is_compiled_with_cuda()
    elif cfg["use_gpu"] and not paddle.is_compiled_with_cuda():
        raise ValueError(
            "use_gpu=true, but the Paddle installed is for CPU; -o use_gpu=false, or install Paddle for GPU"
        )
    for name in DATASETS:
        if isinstance(settings := cfg.get(name), SchemaDict) and settings:
            _complete_dataset(cfg, name, settings, path)
    folder = run_dir(cfg)
    cfg["vdl_log_dir"] = cfg["vdl_log_dir"] or str(folder / "vdl")
    cfg["output_eval"] = cfg["output_eval"] or str(folder / "eval")
    return cfg


def _complete_dataset(cfg: workspace.AttrDict, name: str, settings: SchemaDict, path: Path) -> None:
    """Check the class and the arguments of a data set, and find its folder."""
    known = [
        key
        for key, entry in cfg.items()
        if isinstance(entry, SchemaDict) and entry.pymodule.__name__.startswith("ppdet.data.source")
    ]
    kind = settings.get("name")
    if kind not in known:
        raise ValueError(
            f"{path}: {name}.name must be a data set of PaddleDetection, got {kind!r}.{did_you_mean(str(kind), known)}"
        )
    if cfg[kind].strict:
        check_names([key for key in settings if key != "name"], cfg[kind].schema, f"{path}: {name}")
    if settings.get("dataset_dir"):
        settings["dataset_dir"] = find_data(settings["dataset_dir"])
