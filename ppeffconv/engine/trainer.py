"""Training from a configuration: builds the parts and hands them to ``paddle.Model.fit``."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paddle

from ..config import Config, format_config, save_config
from ..config_rules import unused
from ..data import build_loader
from ..layers import set_temperature
from ..models import count_parameters
from ..utils import logger
from ..utils.rng import seed_everything
from . import callbacks as cb
from .amp import amp_configs
from .build import build_network, check_input, set_device
from .callbacks.visualdl import Hyperparameters
from .checkpoint import STATES, load_checkpoint
from .distributed import join, processes, rank
from .fingerprint import EPOCHS, check_fingerprint, fingerprint, hyperparameters
from .optim import build_optimizer
from .runs import alone_in, find_resume, kept_if_used, new_run
from .samples import data_facts, input_images
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
        self.timeline = cb.Timeline([])
        splits = {"Train": self.train_loader.dataset, "Eval": data}
        self.facts = {
            "fingerprint": fingerprint(cfg, processes(), self._samples(), splits),
            "data": data_facts(data),
        }

    def train(self, resume: str | Path | None = None, extend: bool = False) -> Result:
        """Train to the last epoch.

        Args:
            resume: None for a new run; "auto" for the run that the configuration file lies in, else the newest run of
                this name; or a run's or a checkpoint's folder.
            extend: whether the run that is resumed may become longer. What is stretched over the epochs, the cosine of
                the learning rate and the temperature of masks, goes on from where a run of the new length would be at
                this step: a rate that had fallen rises at once, and falls again until the new end.

        Raises:
            ValueError: the checkpoint to resume was trained with another configuration or on other data.
            FileNotFoundError: there is no checkpoint in the folder to resume, or none to extend.
            NonFiniteLossError: the loss has become NaN or infinite.
            RuntimeError: the last checkpoint could not be saved, the one to resume is damaged, or another process
                trains in its folder.
            TrainingInterrupted: SIGINT, SIGTERM or SIGHUP came; the state is saved.
        """
        settings = self.cfg["Global"]
        resume = resume or ("auto" if extend else None)
        checkpoint = find_resume(resume, settings["output_dir"], settings["name"], self.cfg.path) if resume else None
        if extend and checkpoint is None:
            raise FileNotFoundError(f"there is no run '{settings['name']}' in {settings['output_dir']} to extend")
        with ExitStack() as guards:
            if checkpoint:
                guards.enter_context(alone_in(checkpoint.parent))
            return self._train(checkpoint, extend, guards)

    def _train(self, checkpoint: Path | None, extend: bool, guards: ExitStack) -> Result:
        contents = load_checkpoint(checkpoint) if checkpoint else None
        if contents:
            check_fingerprint(contents[STATES]["fingerprint"], self.facts["fingerprint"], str(checkpoint), extend)
        pretrained = self.cfg["Global"]["pretrained_model"]
        start = initialise(self.net, pretrained) if pretrained and not contents else ""
        run_dir = self._open_run(checkpoint, guards)
        model = self._prepare()
        ema = cb.EMA(self.cfg["EMA"]["decay"]) if self.cfg["EMA"]["decay"] else None
        position, best = Position(), None
        if contents:
            position, best = restore_snapshot(model, contents, ema)
            start = f"resuming {checkpoint}: after epoch {position.epoch}, step {position.step}"
            start += self._lengthen(model, contents[STATES]["fingerprint"])
        logger.get_logger().info(start or f"initial weights: {self.cfg['Arch']['pretrained'] or 'random'}")
        best = self._fit(model, run_dir, ema, position, best)
        return Result(run_dir, best, self.task)

    def _lengthen(self, model: paddle.Model, saved: Mapping[str, Any]) -> str:
        """Take the learning rate of the configuration's schedule; in words, what that changes in a longer run."""
        schedule = model._optimizer._learning_rate
        before, schedule.last_lr = schedule.last_lr, schedule.get_lr()  # not the one that was saved
        epochs, planned = self.cfg["Global"]["epochs"], saved.get(EPOCHS)
        if planned is None or epochs <= planned:
            return ""
        rates = f"{before:.3g}" if before == schedule.last_lr else f"{schedule.last_lr:.3g} in place of {before:.3g}"
        return f". The run is lengthened from {planned} to {epochs} epochs; its learning rate is {rates} now"

    def _open_run(self, checkpoint: Path | None, guards: ExitStack) -> Path:
        """Return the run's folder, with the final configuration in it and its log open.

        A new one is removed again if the run fails before its first step is done.
        """
        settings = self.cfg["Global"]
        if checkpoint is not None:
            run_dir = checkpoint.parent
        elif rank() == 0:
            run_dir = new_run(settings["output_dir"], settings["name"])
        else:
            run_dir = Path(settings["output_dir"], settings["name"])  # only process 0 writes
        if not checkpoint:
            guards.enter_context(kept_if_used(run_dir, lambda: self.timeline.steps_done > 0))
            guards.enter_context(alone_in(run_dir))
        log = logger.setup(run_dir, rank())
        if rank() == 0:
            save_config(self.cfg, run_dir / "config.yaml")
            self.task.save_samples(self.eval_loader.dataset, run_dir / "samples")
        log.info(f"run: {run_dir}, on {self.device}, {processes()} process(es)")
        log.info(f"configuration:\n{format_config(self.cfg)}")
        sizes = f"{len(self.train_loader.dataset)} training and {len(self.eval_loader.dataset)} evaluation images"
        for text in unused(self.cfg, self._samples()):
            log.warning(text)
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
        hparams = Hyperparameters(hyperparameters(self.cfg), [f"eval/{self.task.score}", "train/loss"])
        visualdl = cb.VisualDL(run_dir / "vdl", settings["log_interval"], self.images, hparams)
        parts = [
            finite,
            cb.SamplingTemperature(sampling["start_temperature"], sampling["end_temperature"]),
            *([ema] if ema else []),
            cb.Progress(settings["log_interval"]),
            cb.BrokenSamples(self.train_loader.dataset),
            cb.Evaluation(self.eval_loader, settings["eval_interval"], self.task.evaluate, ema),
            *([visualdl] if settings["use_visualdl"] else []),
            checkpoints,
            stop,
        ]
        self.timeline = cb.Timeline(parts, self.train_loader.batch_sampler, self.steps, position.epoch, position.step)
        try:
            # LRScheduler first, and so not added last by fit: a checkpoint in mid-epoch must hold the next step's rate.
            schedule = paddle.callbacks.LRScheduler()
            epochs = settings["epochs"] - position.epoch
            model.fit(self.train_loader, epochs=epochs, verbose=0, callbacks=[schedule, self.timeline])
        finally:
            for part in (finite, stop, visualdl):
                part.release()
        return checkpoints.best

    def _samples(self) -> bool:
        """Whether the network has samplers, and so a temperature."""
        return set_temperature(self.net, self.cfg["Sampling"]["start_temperature"]) > 0
