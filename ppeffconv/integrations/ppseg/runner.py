"""PaddleSeg's training loop, evaluation and prediction on a configuration, with what this package adds to them."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import paddleseg.core
from paddle import nn
from paddle.io import Dataset
from paddle.utils import unique_name
from paddleseg.cvlibs import SegBuilder
from paddleseg.transforms import Compose
from paddleseg.utils import get_image_list, logger
from paddleseg.utils.utils import set_seed

from ... import accelerate
from ...config_yaml import parse_yaml, read_yaml
from ...data.image_files import is_image_name
from ...inference.images import find_images
from ...layers import exempt_from_decay
from ...models.cost import CostOfImages
from ...utils.device import device_name
from ...utils.files import replacing
from ...weights import load_weights, read_file
from ..commands import SLIPS, naming_full_disk
from ..curves import continuing
from ..places import how_to_get
from ..resuming import check_data, check_resumed
from ..strict import finite
from .losses import SamplingTemperature, guard_losses, join_auxiliary_losses
from .reading import CheckedReading, UnreadableImageError, check_dataset, read_image, skipped
from .settings import FREE, PLACES, RunConfig

PARAMS, OPTIMIZER = "model.pdparams", "model.pdopt"
SKIPPED_FILE, RESULT_FILE, CONFIG_FILE = "skipped.txt", "result.json", "config.yaml"


def train(cfg: RunConfig, resume: str | None = None) -> Path:
    """Train, and evaluate with each checkpoint; the last one's metrics go to ``result.json``.

    PaddleSeg's loop keeps in the run's folder ``iter_N/``, ``best_model/`` and VisualDL's records; a resumed run begins
    a new pass over the data, so it is not bit-equal to an uninterrupted one, and a new search for the best model; the
    one until then is kept in ``best_model_until_N/``.

    Args:
        cfg: see `RunConfig`.
        resume: "auto" continues the newest checkpoint in the run's folder, if there is one; or the folder of one.

    Returns:
        The run's folder.

    Raises:
        ValueError, FileNotFoundError, RuntimeError: a bad configuration, bad data, or a folder that holds a run.
        OSError: the run's folder cannot be written; the checkpoints in it are whole.
    """
    # an optimizer's state is kept under names that count the layers which a process has made
    with unique_name.guard(), naming_full_disk(cfg.run_dir):
        return _run(cfg, resume)


def evaluate(cfg: RunConfig, weights: str | None = None) -> dict[str, Any]:
    """Evaluate a run's last checkpoint, or other weights, which must fit exactly; returns mIoU and other metrics."""
    builder, model = load_trained(cfg, weights)
    return _metrics(cfg, model, _dataset(builder, cfg, train=False))


def infer(cfg: RunConfig, images: str, weights: str | None = None, output: str | None = None) -> Path:
    """Predict labels of an image, a folder or a list of images; returns the folder of the pictures.

    PaddleSeg draws them: ``pseudo_color_prediction`` and ``added_prediction``. Images that cannot be read are skipped,
    with a count.
    """
    _, model = load_trained(cfg, weights)
    paths, root = _list_images(images)
    usable = readable(paths)
    folder = Path(output) if output else cfg.run_dir / "infer"
    channels = cfg.val_dataset_cfg.get("img_channels", 3)
    transforms = CheckedReading(Compose(_build(lambda: SegBuilder(cfg).val_transforms), img_channels=channels))
    options = _options(cfg, paddleseg.core.predict)
    paddleseg.core.predict(
        model, str(_weight_file(cfg, weights)), transforms, usable, root, save_dir=str(folder), **options
    )
    return folder


def _list_images(images: str) -> tuple[list[str], str | None]:
    """Image files and the folder that they are below: of a folder, a file, or a list that names files."""
    place = Path(images)
    if place.is_dir() or is_image_name(place.name):
        return [str(file) for file in find_images(place)], str(place if place.is_dir() else place.parent)
    try:
        return get_image_list(images)
    except (UnicodeDecodeError, AssertionError, RuntimeError) as error:
        raise ValueError(f"{images} is neither an image, a folder of images nor a list of them: {error}") from None


def readable(paths: Sequence[str]) -> list[str]:
    """Return the images that can be read, and tell of the others; RuntimeError if none can."""
    kept = [path for path in paths if _is_readable(path)]
    if len(kept) < len(paths):
        logger.warning(f"{len(paths) - len(kept)} of {len(paths)} images cannot be read and were skipped")
    if not kept:
        raise RuntimeError(f"none of the {len(paths)} images can be read, the first is {paths[0]}")
    return kept


def prepare(model: nn.Layer, cfg: RunConfig, step: int = 0) -> None:
    """Give a model of PaddleSeg what this package adds: fast kernels on CPU, its networks' losses, the temperature."""
    if cfg.run["accelerate"] and device_name() == "cpu":
        accelerate(model)
    join_auxiliary_losses(model)
    start, end = cfg.run["temperature"]
    SamplingTemperature(model, cfg.iters, step, start, end, cfg.run["log_iters"])


def load_trained(cfg: RunConfig, weights: str | None = None) -> tuple[SegBuilder, nn.Layer]:
    """The model of a run with its last checkpoint, or other weights, ready for evaluation; and its builder."""
    for part in (cfg.dic["model"], cfg.dic["model"].get("backbone", {})):
        part.pop("pretrained", None)  # what it was trained from, which need not be there any more
    builder = SegBuilder(cfg)
    model = _build(lambda: builder.model)
    load_weights(model, _weight_file(cfg, weights))
    prepare(model, cfg)
    model.eval()
    return builder, model


def _run(cfg: RunConfig, resume: str | None) -> Path:
    folder = cfg.run_dir
    checkpoint = _find_checkpoint(folder, resume)
    resumed = checkpoint is not None and checkpoint.resolve().parent == folder.resolve()
    if resumed and (folder / CONFIG_FILE).is_file():
        check_resumed(read_yaml(folder / CONFIG_FILE), parse_yaml(str(cfg), "the configuration"), FREE, str(folder))
    if resume is None and any(folder.glob("iter_*")):
        raise ValueError(f"{folder} holds a run: --resume continues it; or choose another run.save_dir")
    step = _step(checkpoint) if checkpoint else 0
    set_seed(cfg.run["seed"])
    builder = SegBuilder(cfg)
    model = _build(lambda: builder.model)
    train_set = _dataset(builder, cfg, train=True)
    val_set = _dataset(builder, cfg, train=False) if cfg.val_dataset_cfg else None
    if len(train_set) < cfg.batch_size:  # the loop drops what does not fill a batch, and would wait for ever
        raise ValueError(f"batch_size {cfg.batch_size} is more than the {len(train_set)} training samples")
    prepare(model, cfg, step)
    guard_losses(model, step)
    set_seed(cfg.run["seed"] + step)  # a resumed run draws other noise than its beginning
    check_data(folder, {"images": len(train_set), "classes": train_set.num_classes}, resumed)
    _write_text(folder / CONFIG_FILE, str(cfg))
    if step < cfg.iters:
        if resumed:
            _keep_best(folder, step)
        with continuing(step):
            _train(cfg, builder, model, train_set, val_set, checkpoint)
    else:
        load_weights(model, checkpoint / PARAMS)
    bad = skipped(folder / SKIPPED_FILE)
    if bad:
        logger.warning(f"{len(bad)} damaged samples were skipped, listed in {folder / SKIPPED_FILE}")
    facts = {"command": cfg.command, "iters": cfg.iters, "seed": cfg.run["seed"], "skipped": len(bad)}
    if val_set is not None:
        facts |= _metrics(cfg, model, val_set)
        _write_text(folder / RESULT_FILE, json.dumps(finite(facts), indent=1, allow_nan=False))
    return folder


def _keep_best(folder: Path, step: int) -> None:
    """Put aside the best model until now: PaddleSeg's loop forgets how good it was, and would overwrite it by worse."""
    best, kept = folder / "best_model", folder / f"best_model_until_{step}"
    if best.is_dir() and not kept.exists():
        best.rename(kept)
        logger.info(f"the best model of the first {step} iterations is kept in {kept}; {best} is that of the others")


def _train(
    cfg: RunConfig,
    builder: SegBuilder,
    model: nn.Layer,
    train_set: Dataset,
    val_set: Dataset | None,
    checkpoint: Path | None,
) -> None:
    options = {key: cfg.run[key] for key in ("save_interval", "log_iters", "keep_checkpoint_max", "num_workers")}
    paddleseg.core.train(
        model,
        train_set,
        val_dataset=val_set,
        optimizer=_build(lambda: exempt_from_decay(builder.optimizer, model)),
        save_dir=str(cfg.run_dir),
        iters=cfg.iters,
        batch_size=cfg.batch_size,
        resume_model=None if checkpoint is None else str(checkpoint),
        use_vdl=True,
        losses=_build(lambda: builder.loss),
        test_config=cfg.test_config,
        to_static_training=cfg.to_static_training,
        **options,
    )


def _metrics(cfg: RunConfig, model: nn.Layer, dataset: Dataset) -> dict[str, Any]:
    set_seed(cfg.run["seed"])  # sampling draws noise in evaluation too
    options = _options(cfg, paddleseg.core.evaluate)
    with CostOfImages(model) as cost:
        miou, accuracy, class_iou, _, kappa = paddleseg.core.evaluate(
            model, dataset, num_workers=cfg.run["num_workers"], **options
        )
    return {
        "miou": float(miou),
        "accuracy": float(accuracy),
        "kappa": float(kappa),
        "class_iou": [round(float(value), 4) for value in class_iou],
        **cost.facts(),
    }


def _options(cfg: RunConfig, function: Callable) -> dict[str, Any]:
    """What of ``test_config`` a function takes: evaluation and prediction share the block."""
    parameters = inspect.signature(function).parameters
    return {key: value for key, value in cfg.test_config.items() if key in parameters}


def _dataset(builder: SegBuilder, cfg: RunConfig, train: bool) -> Dataset:
    block = cfg.train_dataset_cfg if train else cfg.val_dataset_cfg
    for key in PLACES:
        if (place := block.get(key)) and not Path(place).exists():
            name = "train_dataset" if train else "val_dataset"
            raise FileNotFoundError(f"no {name}.{key} {place}{how_to_get(place)}")
    dataset = _build(lambda: builder.train_dataset if train else builder.val_dataset)
    return check_dataset(dataset, train, cfg.run_dir / SKIPPED_FILE)


def _weight_file(cfg: RunConfig, weights: str | None) -> Path:
    """The weights of the run's last checkpoint, or those named: a file, or a folder with ``model.pdparams``."""
    path = Path(weights) if weights else _find_checkpoint(cfg.run_dir, "auto")
    if path is None:
        raise FileNotFoundError(f"{cfg.run_dir} holds no checkpoint: train first, or name the weights")
    return path / PARAMS if path.is_dir() else path


def _find_checkpoint(folder: Path, resume: str | None) -> Path | None:
    """The checkpoint to go on from; one that a kill left half written is passed over."""
    if resume is None:
        return None
    if resume != "auto":
        if not (Path(resume) / PARAMS).is_file() or not (Path(resume) / OPTIMIZER).is_file():
            raise FileNotFoundError(f"cannot resume {resume}: expected a folder iter_N with {PARAMS} and {OPTIMIZER}")
        return Path(resume)
    for checkpoint in sorted(folder.glob("iter_*"), key=_step, reverse=True):
        try:
            for name in (PARAMS, OPTIMIZER):
                read_file(checkpoint / name)
        except (RuntimeError, OSError) as error:
            logger.warning(f"{checkpoint} is not complete, looking at the one before it ({error})")
        else:
            return checkpoint
    return None


def _step(checkpoint: Path) -> int:
    number = checkpoint.name.rpartition("_")[2]
    if not number.isdigit():
        raise ValueError(f"cannot resume {checkpoint}: PaddleSeg reads the step from the folder's name, iter_N")
    return int(number)


def _build(make: Callable[[], Any]) -> Any:
    """Call a builder of PaddleSeg; ValueError with what was wrong, which it wraps once for each level of the YAML."""
    try:
        return make()
    except RuntimeError as error:
        root: BaseException = error
        component = ""
        while isinstance(root, RuntimeError) and root.__context__ is not None:
            if named := re.search(r"Tried to create an? (\w+) object", str(root)):
                component = f"{named[1]}: "
            root = root.__context__
        if isinstance(root, FileNotFoundError):
            raise root from None
        raise ValueError(component + str(root).strip().splitlines()[-1]) from None
    except SLIPS as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _is_readable(path: str) -> bool:
    try:
        read_image(path, 3)
    except UnreadableImageError as error:
        logger.warning(f"skipped: {error}")
        return False
    return True


def _write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
