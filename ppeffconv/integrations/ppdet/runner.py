"""Training, evaluation and inference by PaddleDetection's Trainer."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paddle
from paddle.utils import unique_name
from ppdet.core.config.schema import SchemaDict
from ppdet.engine import Trainer
from ppdet.utils.checkpoint import load_weight

from ... import accelerate
from ...engine.distributed import join, processes, rank
from ...inference.images import find_images
from ...layers import exempt_from_decay
from ...utils.logger import get_logger
from ...utils.rng import seed_everything
from ..commands import naming_full_disk, unfit_settings
from ..resuming import check_data, check_resumed, trained_classes
from . import callbacks, checkpoints, config
from .annotations import categories, check_same_classes, damage, sound_copy
from .cost import Cost
from .deployed import deploy_features
from .reader import SeededEpochs

MODES = {"train": ("TrainDataset", "EvalDataset"), "eval": ("EvalDataset",), "test": ()}


class EffConvTrainer(Trainer):
    """PaddleDetection's Trainer with this package's callbacks, seeded epochs, and fast convolutions on CPU.

    Args:
        cfg: from `config.load`.
        mode: "train", "eval" or "test".

    Attributes:
        scores: COCO's numbers in per cent, of the last evaluation.

    Raises:
        FileNotFoundError, ValueError: the data cannot be used, see `annotations.sound_copy`.
    """

    def __init__(self, cfg: Any, mode: str) -> None:
        paddle.set_device("gpu" if cfg["use_gpu"] else "cpu")
        join()
        seed_everything(cfg["seed"])
        files = [file for name in MODES[mode] if (file := _check_data(cfg, name))]
        if len(files) > 1:
            check_same_classes(*files)
        with unique_name.guard(), unfit_settings("PaddleDetection"):  # the optimizer's state is saved by names
            super().__init__(cfg, mode)
        if mode == "train" and not len(self.loader):
            raise ValueError(
                f"TrainReader.batch_size {cfg['TrainReader']['batch_size']} is more than the {len(self.dataset)} "
                f"training images of a process{_processes()}: no batch would be whole, and no step be made"
            )
        if self.optimizer is not None:
            exempt_from_decay(self.optimizer, self.model)
        if cfg["accelerate"] and not cfg["use_gpu"]:
            accelerate(self.model)

    def _init_callbacks(self) -> None:
        if self.mode != "train":
            super()._init_callbacks()
            return
        curves = self.cfg["use_vdl"]
        self.cfg["use_vdl"] = False  # it would open a file of its own
        super()._init_callbacks()
        self.cfg["use_vdl"] = curves
        self.register_callbacks([callbacks.SamplingTemperature(self), callbacks.History(self)])
        if curves:
            self.register_callbacks([callbacks.Curves(self)])

    def _init_metrics(self, validate: bool = False) -> None:
        if self.mode == "eval" or validate:
            Path(self.cfg["output_eval"]).mkdir(parents=True, exist_ok=True)
        super()._init_metrics(validate)

    def _reset_metrics(self) -> None:
        self.scores = callbacks.scores(self._metrics)
        super()._reset_metrics()

    def _get_save_image_name(self, output_dir: str, image_path: str) -> str:
        """The place of a drawing: images of one name in several folders must not overwrite each other."""
        place = Path(output_dir, Path(image_path).relative_to(self.image_root))
        place.parent.mkdir(parents=True, exist_ok=True)
        return str(place)

    def train(self, validate: bool = False) -> None:
        """Train the epochs that are left; see PaddleDetection."""
        self.loader = SeededEpochs(self.loader, self.cfg["seed"], self.start_epoch)
        with unique_name.guard():
            super().train(validate)


def train(cfg: Any, resume: str | None = None, validate: bool = True) -> Path:
    """Train a detector.

    Args:
        cfg: from `config.load`.
        resume: "auto" continues the run of this name, if there is one; or a checkpoint's path.
        validate: evaluate with each checkpoint.

    Returns:
        The run's folder.

    Raises:
        ValueError: the folder holds a run already, or random weights would be frozen.
        FileNotFoundError: data or checkpoint are missing.
        OSError: the run's folder cannot be written; the checkpoints in it are whole.
    """
    if "epoch" not in cfg:
        raise ValueError(f"{cfg['filename']}: epoch is missing: it has no default, please set it")
    folder = config.run_dir(cfg)
    found = checkpoints.newest(folder) if resume == "auto" else None
    checkpoint = found[0] if found else None if resume == "auto" else resume
    if checkpoint is None and (folder / callbacks.HISTORY).exists() and resume is None:
        raise ValueError(f"{folder} holds a run: continue it with --resume, or give another -o save_dir=")
    if checkpoint is None:
        _check_frozen(cfg)
    settings = config.dump(cfg)  # before paths are put in it that only hold here
    resumed = checkpoint is not None and Path(checkpoint).resolve().parent == folder.resolve()
    if resumed:
        check_resumed(config.settings_of(folder), config.parse(settings), config.FREE, str(folder))
    trainer = EffConvTrainer(cfg, "train")
    folder.mkdir(parents=True, exist_ok=True)
    _log_to(folder / "train.log")
    if rank() == 0:
        check_data(folder, _facts(trainer.dataset), resumed)
        config.write(settings, folder / f"{cfg['filename']}.yaml")
    if checkpoint is not None:
        _exists(checkpoint)
        with _fitting(checkpoint):
            trainer.resume_weights(checkpoint)
    elif cfg["pretrain_weights"]:
        trainer.load_weights(cfg["pretrain_weights"])
    with naming_full_disk(folder):
        trainer.train(validate)
    # a run that was killed in its last evaluation has nothing to train any more
    if validate and rank() == 0 and callbacks.final_score(folder, cfg["epoch"]) is None:
        callbacks.append(folder, {"epoch": cfg["epoch"], **evaluate(cfg, str(folder / checkpoints.FINAL))})
    return folder


def evaluate(cfg: Any, weights: str | None = None) -> dict[str, float | None]:
    """Evaluate on EvalDataset; return COCO's numbers in per cent, and of a network that samples its density."""
    trainer = EffConvTrainer(cfg, "eval")
    load_weights(trainer, cfg, weights)
    cost = Cost(trainer.model)
    trainer.model.register_forward_post_hook(lambda *_: cost.add())
    trainer.evaluate()
    return {**trainer.scores, **cost.read()}


def infer(cfg: Any, images: str, weights: str | None = None, threshold: float = 0.5, output: str | None = None) -> Path:
    """Draw what the detector finds in an image or the images of a folder, and list it in ``bbox.json``.

    Returns:
        The folder with drawings and list: ``output``, or ``infer`` in the run's folder.

    Raises:
        FileNotFoundError: no images, no weights, or no file that names the classes.
        ValueError: none of the images can be read.
    """
    files, folder = readable(find_images(images)), Path(output or config.run_dir(cfg) / "infer")
    cfg["vdl_log_dir"] = str(folder / "vdl")  # VisualDL shows one file of a folder: not here instead of the curves
    trainer = EffConvTrainer(cfg, "test")
    names = trainer.dataset.get_anno()
    if names is None or not Path(names).is_file():  # PaddleDetection would take the names of COCO's classes
        raise FileNotFoundError(f"no annotation file {names}, which names the classes; see TestDataset.anno_path")
    load_weights(trainer, cfg, weights)
    trainer.image_root = Path(images) if Path(images).is_dir() else Path(images).parent
    trainer.predict(files, draw_threshold=threshold, output_dir=str(folder), save_results=True)
    return folder


def readable(files: Sequence[Path]) -> list[str]:
    """Return the image files that can be read, and tell of the others; ValueError if none can."""
    kept = []
    for file in files:
        if problem := damage(file):
            get_logger().warning(f"{file} is left out: {problem}")
        else:
            kept.append(str(file))
    if not kept:
        raise ValueError(f"none of the images can be read, {len(files)} in {files[0].parent}")
    return kept


def load_weights(trainer: Trainer, cfg: Any, weights: str | None = None) -> None:
    """Load ``weights``, by default the last or best of the run, and then deploy the model if ``cfg`` says so."""
    path = weights or checkpoints.for_inference(config.run_dir(cfg))
    _exists(path)
    with _fitting(path):
        load_weight(trainer.model, path)
    trained, named = trained_classes(Path(path)), _classes(trainer.dataset)
    if trained and named and trained != named:
        raise ValueError(
            f"{path} was trained on other classes, {', '.join(trained)}; those of the data are {', '.join(named)}"
        )
    get_logger().info(f"weights: {path}")
    if cfg["deploy"]:
        deploy_features(trainer.model)


@contextmanager
def _fitting(path: str) -> Iterator[None]:
    """Turn what PaddleDetection raises for weights of another model into a ValueError."""
    try:
        yield
    except AssertionError:
        raise ValueError(f"{path} does not fit the model of the configuration, see the keys above") from None


def _facts(dataset: Any) -> dict[str, Any]:
    """What the training data are."""
    return {"images": len(dataset), "classes": _classes(dataset)}


def _classes(dataset: Any) -> list[str] | None:
    """The names of the classes in a detector's order, as the annotation file of the data set has them."""
    file = dataset.get_anno()
    return list(categories(Path(file)).values()) if file and file.endswith(".json") else None


def _exists(path: str) -> None:
    file = Path(path).with_suffix(".pdparams") if path.endswith((".pdparams", ".pdopt")) else Path(f"{path}.pdparams")
    if not file.is_file():
        raise FileNotFoundError(f"no weights at {file}")


def _check_frozen(cfg: Any) -> None:
    """Layers that keep their first weights must have good ones."""
    backbone = cfg["EffConvResNet"]
    frozen = backbone["freeze_stem"] or backbone["freeze_norm"] or backbone["freeze_at"] >= 0
    if frozen and not (backbone["pretrained"] or cfg["pretrain_weights"]):
        raise ValueError(
            "EffConvResNet would freeze layers with random weights: give -o EffConvResNet.pretrained=TAG or PATH (or "
            "pretrain_weights), or train all with EffConvResNet.freeze_at=-1, .freeze_stem=false, .freeze_norm=false"
        )


def _processes() -> str:
    return f" (of {processes()})" if processes() > 1 else ""


def _check_data(cfg: Any, name: str) -> Path | None:
    """Have a COCO data set read a copy of its annotations that is sound, where it is not; returns what it reads."""
    data = cfg.get(name)
    settings = data if isinstance(data, (dict, SchemaDict)) else vars(data) if data is not None else {}
    kind = settings.get("name", type(data).__name__)
    if kind != "COCODataSet":
        return None
    if not settings.get("anno_path"):
        raise ValueError(f"{name}.anno_path must name a COCO file, got {settings.get('anno_path')!r}")
    folder = Path(settings.get("dataset_dir") or "")
    target = config.run_dir(cfg) / f"{name}.json"
    images = folder / (settings.get("image_dir") or "")
    used = sound_copy(folder / settings["anno_path"], images, cfg["num_classes"], target)
    if used == target:
        settings["anno_path"] = str(target.resolve())
    return used


def _log_to(path: Path) -> None:
    """Have PaddleDetection's loggers, which do not propagate, and this package's write to a file too."""
    if rank() != 0:
        return
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("[%(asctime)s] %(levelname)s: %(message)s", "%Y/%m/%d %H:%M:%S"))
    for name, logger in list(logging.Logger.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and logger.handlers and name.split(".")[0] in ("ppdet", "ppeffconv"):
            for old in [h for h in logger.handlers if isinstance(h, logging.FileHandler)]:
                logger.removeHandler(old)
                old.close()
            logger.addHandler(handler)
