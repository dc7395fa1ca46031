"""Training from a configuration: builds the parts and hands them to ``paddle.Model.fit``."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import paddle

from ..config import Config, format_config, save_config
from ..data import build_loader
from ..layers import set_temperature
from ..models import count_parameters
from ..utils import logger
from . import callbacks as cb
from .amp import amp_configs
from .build import build_network, check_input, set_device
from .checkpoint import STATES, load_checkpoint
from .distributed import join, processes, rank
from .fingerprint import check_fingerprint, fingerprint
from .inference import data_facts
from .optim import build_optimizer
from .rng import seed_everything
from .runs import alone_in, find_resume, new_run
from .samples import input_images
from .snapshot import Best, Position, restore_snapshot
from .tasks import Task, build_task
from .weights import initialise


@dataclass(frozen=True)
class Result:
    """What a training leaves behind: its folder, the best evaluation, and where the curves and some images are."""

    run_dir: Path
    best: Best | None
    task: Task = field(compare=False)

    @property
    def vdl_dir(self) -> Path:
        """Folder for ``visualdl --logdir``."""
        return self.run_dir / "vdl"

    @property
    def samples_dir(self) -> Path:
        """Folder with a few evaluation images."""
        return self.run_dir / "samples"


class Trainer:
    """Trains the network of a configuration.

    Raises:
        ValueError, FileNotFoundError: the configuration cannot be built, or does not fit its data.
    """

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        settings = cfg["Global"]
        self.device = set_device(settings["device"])
        join()
        seed_everything(settings["seed"] + rank())
        self.train_loader = build_loader(cfg, "Train", rank(), processes())
        self.eval_loader = build_loader(cfg, "Eval", rank(), processes())
        data = self.eval_loader.dataset
        self.task = build_task(cfg)
        self.task.check(data, self.train_loader.dataset)
        self.images = input_images(data)
        self.net = build_network(cfg)
        check_input(self.net, self.images.shape[1:], cfg["Arch"]["name"])
        self.steps = len(self.train_loader)
        self.facts = {"fingerprint": fingerprint(cfg, processes(), self._samples()), "data": data_facts(data)}

    def train(self, resume: str | Path | None = None) -> Result:
        """Train to the last epoch.

        Args:
            resume: None for a new run, "auto" for the newest run of this name, or a run's or a checkpoint's folder.

        Raises:
            ValueError: the checkpoint to resume was trained with another configuration.
            FileNotFoundError: there is no checkpoint in the folder to resume.
            NonFiniteLossError: the loss has become NaN or infinite.
            RuntimeError: the last checkpoint could not be saved, the one to resume is damaged, or another process
                trains in its folder.
            TrainingInterrupted: SIGINT, SIGTERM or SIGHUP came; the state is saved.
        """
        checkpoint = (
            find_resume(resume, self.cfg["Global"]["output_dir"], self.cfg["Global"]["name"]) if resume else None
        )
        with ExitStack() as locks:
            if checkpoint:
                locks.enter_context(alone_in(checkpoint.parent))
            return self._train(checkpoint, locks)

    def _train(self, checkpoint: Path | None, locks: ExitStack) -> Result:
        contents = load_checkpoint(checkpoint) if checkpoint else None
        if contents:
            check_fingerprint(contents[STATES]["fingerprint"], self.facts["fingerprint"], str(checkpoint))
        pretrained = self.cfg["Global"]["pretrained_model"]
        start = initialise(self.net, pretrained) if pretrained and not contents else ""
        run_dir = self._open_run(checkpoint)
        if not checkpoint:
            locks.enter_context(alone_in(run_dir))
        model = self._prepare()
        ema = cb.EMA(self.cfg["EMA"]["decay"]) if self.cfg["EMA"]["decay"] else None
        position, best = Position(), None
        if contents:
            position, best = restore_snapshot(model, contents, ema)
            start = f"resuming {checkpoint}: after epoch {position.epoch}, step {position.step}"
        logger.get_logger().info(start or f"initial weights: {self.cfg['Arch']['pretrained'] or 'random'}")
        best = self._fit(model, run_dir, ema, position, best)
        return Result(run_dir, best, self.task)

    def _open_run(self, checkpoint: Path | None) -> Path:
        """Return the run's folder, with the final configuration in it and its log open."""
        settings = self.cfg["Global"]
        if checkpoint is not None:
            run_dir = checkpoint.parent
        elif rank() == 0:
            run_dir = new_run(settings["output_dir"], settings["name"])
        else:
            run_dir = Path(settings["output_dir"], settings["name"])  # only process 0 writes
        log = logger.setup(run_dir, rank())
        if rank() == 0:
            save_config(self.cfg, run_dir / "config.yaml")
            self.task.save_samples(self.eval_loader.dataset, run_dir / "samples")
        log.info(f"run: {run_dir}, on {self.device}, {processes()} process(es)")
        log.info(f"configuration:\n{format_config(self.cfg)}")
        sizes = f"{len(self.train_loader.dataset)} training and {len(self.eval_loader.dataset)} evaluation images"
        log.info(f"{sizes}; {self.cfg['Arch']['name']} with {count_parameters(self.net) / 1e6:.3f} M parameters")
        return run_dir

    def _prepare(self) -> paddle.Model:
        model = paddle.Model(self.net)
        optimizer = build_optimizer(self.cfg["Optimizer"], self.net, self.steps, self.cfg["Global"]["epochs"])
        amp = amp_configs(self.cfg["AMP"], self.device)
        model.prepare(optimizer, self.task.loss(self.net), self.task.metrics(), amp_configs=amp)
        return model

    def _fit(
        self, model: paddle.Model, run_dir: Path, ema: cb.EMA | None, position: Position, best: Best | None
    ) -> Best | None:
        """Run ``paddle.Model.fit`` from ``position`` on; return the best evaluation."""
        settings, sampling = self.cfg["Global"], self.cfg["Sampling"]
        if position.epoch >= settings["epochs"]:
            logger.get_logger().info(f"nothing left to train: {position.epoch} of {settings['epochs']} epochs are done")
            return best
        finite = cb.FiniteLoss()
        monitor, better = f"eval_{self.task.score}", self.task.better
        checkpoints = cb.Checkpoints(run_dir, monitor, settings["save_interval"], ema, self.facts, better)
        checkpoints.best = best
        stop = cb.GracefulStop(checkpoints)
        visualdl = cb.VisualDL(run_dir / "vdl", settings["log_interval"], self.images)
        parts = [
            finite,
            cb.SamplingTemperature(sampling["start_temperature"], sampling["end_temperature"]),
            *([ema] if ema else []),
            cb.Progress(settings["log_interval"]),
            cb.Evaluation(self.eval_loader, settings["eval_interval"], self.task.evaluate, ema),
            *([visualdl] if settings["use_visualdl"] else []),
            checkpoints,
            stop,
        ]
        timeline = cb.Timeline(parts, self.train_loader.batch_sampler, self.steps, position.epoch, position.step)
        try:
            # LRScheduler first, and so not added last by fit: a checkpoint in mid-epoch must hold the next step's rate.
            schedule = paddle.callbacks.LRScheduler()
            epochs = settings["epochs"] - position.epoch
            model.fit(self.train_loader, epochs=epochs, verbose=0, callbacks=[schedule, timeline])
        finally:
            for part in (finite, stop, visualdl):
                part.release()
        return checkpoints.best

    def _samples(self) -> bool:
        """Whether the network has samplers, and so a temperature."""
        return set_temperature(self.net, self.cfg["Sampling"]["start_temperature"]) > 0
