"""PaddleSeg's configuration, with a block ``run`` for what its own tools take on the command line."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import yaml
from paddleseg.cvlibs import Config
from paddleseg.cvlibs.config import parse_from_yaml

from ...config import merge, parse_override
from ...registry import check_names

BLOCKS = (
    "batch_size",
    "iters",
    "train_dataset",
    "val_dataset",
    "optimizer",
    "lr_scheduler",
    "loss",
    "distill_loss",
    "model",
    "test_config",
    "to_static_training",
    "export",
    "run",
)
RUN = {
    "save_dir": None,  # output/segmentation/<name of the configuration>
    "save_interval": 1000,  # steps from one checkpoint, and evaluation, to the next
    "log_iters": 10,
    "keep_checkpoint_max": 2,
    "num_workers": 0,
    "seed": 0,
    "accelerate": True,  # ppeffconv.accelerate, on CPU
    "temperature": [1.0, 0.03],  # of the sampling masks, at the first and after the last step
}


class RunConfig(Config):
    """A configuration of PaddleSeg; ``run`` holds the settings of `RUN`, and defaults for those not given.

    Args:
        path: YAML file, with PaddleSeg's ``_base_``.
        overrides: "block.key=value"; the value is YAML.

    Attributes:
        command: what trains it, behind ``python -m ppeffconv.integrations.ppseg``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an unknown block or setting, or one that PaddleSeg refuses.
    """

    def __init__(self, path: str | Path, overrides: list[str] | None = None) -> None:
        if not Path(path).is_file():
            raise FileNotFoundError(f"no configuration at {path}")
        if Path(path).suffix not in (".yml", ".yaml"):
            raise ValueError(f"a configuration is a .yml or .yaml file, got {path}")
        try:
            super().__init__(str(path), opts=overrides)
        except (AssertionError, yaml.YAMLError) as error:
            raise ValueError(f"{path}: {error}") from None
        except RuntimeError as error:  # of its sanity checks: the last line says what is wrong
            raise ValueError(f"{path}: {str(error).strip().splitlines()[-1]}") from None
        if self.run["save_dir"] is None:
            self.run["save_dir"] = str(Path("output", "segmentation", Path(path).stem))
        options = shlex.join(["-o", *overrides]) if overrides else ""
        self.command = f"train -c {path} {options}".strip()

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
        dic = parse_from_yaml(path)
        return dic | {"run": RUN | (dic.get("run") or {})}

    @classmethod
    def update_config_dict(cls, dic: dict, *args: Any, opts: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        """Apply the overrides, and check the names of blocks and settings."""
        for text in opts or []:
            merge(dic, parse_override(text))
        check_names(dic, BLOCKS, "the configuration")
        check_names(dic["run"], RUN, "run")
        return dic
