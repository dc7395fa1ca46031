"""PaddleSeg's configuration, with a block ``run`` for what its own tools take on the command line."""

from __future__ import annotations

import copy
import shlex
from pathlib import Path
from typing import Any

import yaml
from paddleseg.cvlibs import Config
from paddleseg.cvlibs.config import merge_config_dicts

from ...config import merge, parse_override
from ...config_check import Tree
from ...config_schema import NOT_NEGATIVE, POSITIVE, Field, Rule
from ...config_yaml import Dumper
from ...registry import check_names
from ..places import find_data
from ..strict import check_values, read_with_bases

TEMPERATURES = Rule("two numbers > 0, of the first step and behind the last", lambda v: len(v) == 2 and min(v) > 0)
BLOCKS = {
    "batch_size": Field(int, rule=POSITIVE),
    "iters": Field(int, rule=POSITIVE),
    "train_dataset": Field(dict),
    "val_dataset": Field(dict, None),
    "optimizer": Field(dict),
    "lr_scheduler": Field(dict),
    "loss": Field(dict),
    "distill_loss": Field(dict, None),
    "model": Field(dict),
    "test_config": Field(dict, None),
    "to_static_training": Field(bool, False),
    "export": Field(dict, None),
    "run": Field(dict, None),
}
RUN = {
    "save_dir": Field(str, None, path=True),  # output/segmentation/<name of the configuration>
    "save_interval": Field(int, 1000, POSITIVE),  # steps from one checkpoint, and evaluation, to the next
    "log_iters": Field(int, 10, POSITIVE),
    "keep_checkpoint_max": Field(int, 2, POSITIVE),
    "num_workers": Field(int, 0, NOT_NEGATIVE),
    "seed": Field(int, 0, NOT_NEGATIVE),
    "accelerate": Field(bool, True),  # ppeffconv.accelerate, on CPU
    "temperature": Field(list, [1.0, 0.03], TEMPERATURES, item=float),  # of the sampling masks
}
# arguments of PaddleSeg's components; what else they may be, the components themselves have to judge
ARGUMENTS = {
    "model": {"type": Field(str), "num_classes": Field(int, rule=POSITIVE), "pretrained": Field(str, None, path=True)},
    "train_dataset": {
        "type": Field(str),
        "num_classes": Field(int, rule=POSITIVE),
        "transforms": Field(list, item=dict),
    },
    "val_dataset": {"type": Field(str), "num_classes": Field(int, rule=POSITIVE), "transforms": Field(list, item=dict)},
    "optimizer": {"type": Field(str), "weight_decay": Field(float, None, NOT_NEGATIVE)},
    "lr_scheduler": {
        "type": Field(str),
        "learning_rate": Field(float, rule=POSITIVE),
        "end_lr": Field(float, rule=NOT_NEGATIVE),
        "power": Field(float, rule=POSITIVE),
        "warmup_iters": Field(int, rule=NOT_NEGATIVE),
        "warmup_start_lr": Field(float, rule=NOT_NEGATIVE),
    },
    "loss": {"types": Field(list, item=dict), "coef": Field(list, item=float)},
}
BACKBONE = {
    "name": Field(str),
    "kwargs": Field(dict, None),
    "auxiliary": Field(dict, None),
    "in_channels": Field(int, rule=POSITIVE),
    "pretrained": Field(str, None, path=True),
}
# what a run may be continued with other values of: places, and what does not shape its course
FREE = {"run", "iters", "pretrained", "val_dataset", "test_config", "export", "dataset_root", "train_path", "val_path"}
PLACES = ("dataset_root", "train_path", "val_path")


class RunConfig(Config):
    """A configuration of PaddleSeg; ``run`` holds the settings of `RUN`, and defaults for those not given.

    Args:
        path: YAML file, with PaddleSeg's ``_base_``.
        overrides: "block.key=value"; the value is YAML.

    Attributes:
        command: what trains it, behind ``python -m ppeffconv.integrations.ppseg``.

    Raises:
        FileNotFoundError: no such file, or a base is missing.
        ValueError: malformed YAML; an unknown block or setting, one of the wrong type or out of bounds, or one that
            PaddleSeg refuses. The message names the file (or the override) and the setting.
    """

    def __init__(self, path: str | Path, overrides: list[str] | None = None) -> None:
        if not Path(path).is_file():
            raise FileNotFoundError(f"no configuration file {path}")
        try:
            super().__init__(str(path), opts=overrides)
        except AssertionError as error:
            raise ValueError(f"{path}: {error}") from None
        except RuntimeError as error:  # of its sanity checks: the last line says what is wrong
            raise ValueError(f"{path}: {str(error).strip().splitlines()[-1]}") from None
        if "run.save_dir" not in map(_key, overrides or []) and holds_run(Path(path).parent):
            self.run["save_dir"] = str(Path(path).parent)  # also where the run was copied to
        elif self.run["save_dir"] is None:
            self.run["save_dir"] = str(Path("output", "segmentation", Path(path).stem))
        options = shlex.join(["-o", *overrides]) if overrides else ""
        self.command = f"train -c {path} {options}".strip()

    def __str__(self) -> str:
        """YAML that reads back as this configuration."""
        return yaml.dump(copy.deepcopy(self.dic), Dumper=_Dumper, allow_unicode=True)

    @property
    def run(self) -> dict[str, Any]:
        """The block ``run``, complete."""
        return self.dic["run"]

    @property
    def run_dir(self) -> Path:
        """The run's folder."""
        return Path(self.run["save_dir"])

    @classmethod
    def _parse_from_yaml(cls, path: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return _checked(read_with_bases(Path(path), "_base_", _combine), path)

    @classmethod
    def update_config_dict(cls, dic: dict, *args: Any, opts: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        """Apply the overrides, each checked as the file was, and fill in the defaults of ``run``."""
        for text in opts or []:
            change = parse_override(text)
            check_names(change, BLOCKS, f"-o {text}: the configuration")
            _checked(merge(dic, change), f"-o {text}")
        for name in ("train_dataset", "val_dataset"):
            block = dic.get(name) or {}
            block.update({key: find_data(block[key]) for key in PLACES if isinstance(block.get(key), str)})
        defaults = {name: copy.deepcopy(field.default) for name, field in RUN.items()}
        given = {name: block for name, block in dic.items() if block is not None}  # null: as if it were not there
        return given | {"run": defaults | given.get("run", {})}


def holds_run(folder: Path) -> bool:
    """Whether there are checkpoints of a training in ``folder``."""
    return any(folder.glob("iter_*")) or (folder / "best_model").is_dir()


def _key(override: str) -> str:
    return override.partition("=")[0].strip()


class _Dumper(Dumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _combine(own: Tree, bases: list[Tree]) -> Tree:
    """As PaddleSeg does it: of several bases the first has the last word."""
    for base in bases:
        own = merge_config_dicts(own, base)
    return own


def _checked(dic: Tree, source: str) -> Tree:
    """Check blocks and settings in place; ValueError with the name, what was got and what was expected."""
    check_names(dic, BLOCKS, f"{source}: the configuration")
    dic.update(check_values(dic, BLOCKS, source))
    check_names(dic.get("run") or {}, RUN, f"{source}: run")
    model = dic.get("model") or {}
    blocks = [(dic.get(name), name, fields) for name, fields in (ARGUMENTS | {"run": RUN}).items()]
    if isinstance(model.get("backbone"), dict):
        blocks.append((model["backbone"], "model.backbone", BACKBONE))
    for block, name, fields in blocks:
        if block:
            block.update(check_values(block, fields, source, name))
    return dic
