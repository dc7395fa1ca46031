"""What a run is to learn: how its data is checked, its loss, its metric, and which score is better."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import paddle
from paddle import nn

from ..data import DepthPairs, TransformedDataset, check_num_classes, check_same_classes
from ..registry import Registry
from .depth import DepthLoss, evaluate_depth
from .evaluator import evaluate, valid_topk
from .losses import build_loss
from .samples import save_pairs, save_samples

TASKS = Registry("task")


class Task(ABC):
    """A task that a configuration names in ``Global.task``.

    Attributes:
        score: the entry of an evaluation that tells which checkpoint is the best.
        better: whether the first of two scores is the better one.
        pairs: whether its data are pairs of image and depth, and not images with classes, which prediction takes.
    """

    score: str
    better: Callable[[float, float], bool] = staticmethod(operator.gt)
    pairs = False

    def __init__(self, cfg: Mapping[str, Any]) -> None:
        self.cfg = cfg

    def check(self, data: TransformedDataset, train: TransformedDataset | None = None) -> None:
        """Raise ValueError unless the evaluation data, and the training data, fit the configuration and each other."""
        for some in (data, train):
            if some is not None and isinstance(some.dataset, DepthPairs) != self.pairs:
                kind = "pairs of image and depth" if self.pairs else "images with classes"
                task, name = self.cfg["Global"]["task"], type(some.dataset).__name__
                raise ValueError(f"Global.task {task} needs {kind}, which {name} does not give: change one of them")

    @abstractmethod
    def loss(self, net: nn.Layer) -> nn.Layer:
        """The training loss: (output, target) -> scalar."""

    def metrics(self) -> list[paddle.metric.Metric]:
        """What is measured on the batches of training, besides the loss."""
        return []

    @abstractmethod
    def evaluate(self, net: nn.Layer, loader: Iterable) -> dict[str, float]:
        """The figures of an evaluation, with the number of ``samples``."""

    @abstractmethod
    def describe(self, score: float) -> str:
        """A score in words."""

    @abstractmethod
    def save_samples(self, data: TransformedDataset, folder: Path) -> None:
        """Write a few samples of the evaluation data as files."""


@TASKS.register("classification")
class Classification(Task):
    """One class for each image: cross entropy, top-k accuracy."""

    score = "top1"

    def check(self, data: TransformedDataset, train: TransformedDataset | None = None) -> None:
        super().check(data, train)
        check_num_classes(self.cfg, data)
        if train is not None:
            check_same_classes(train, data)
        # top-1 in any case, because it tells which checkpoint is the best
        self.topk = valid_topk(sorted({1, *self.cfg["Metric"]["topk"]}), data.num_classes)

    def loss(self, net: nn.Layer) -> nn.Layer:
        return build_loss(self.cfg["Loss"], net)

    def metrics(self) -> list[paddle.metric.Metric]:
        return [paddle.metric.Accuracy(topk=tuple(self.topk))]

    def evaluate(self, net: nn.Layer, loader: Iterable) -> dict[str, float]:
        return evaluate(net, loader, topk=self.topk)

    def describe(self, score: float) -> str:
        return f"top-1 {100 * score:.2f} %"

    def save_samples(self, data: TransformedDataset, folder: Path) -> None:
        save_samples(data, folder)


@TASKS.register("depth_upsampling")
class DepthUpsampling(Task):
    """A depth map at the size of its image: squared error of the scaled depth, RMSE in cm (lower is better)."""

    score = "rmse"
    better = staticmethod(operator.lt)
    pairs = True

    def check(self, data: TransformedDataset, train: TransformedDataset | None = None) -> None:
        super().check(data, train)
        for split, some in (("Eval", data), ("Train", train)):
            if some is not None and (made := getattr(some.transforms.steps[-1][1], "scale", None)) != self._scale():
                raise ValueError(
                    f"the network upsamples by {self._scale()}, but DataLoader.{split}.transforms samples by {made}:"
                    " end them in PointSampledPair, and give it the scale of Arch.scale"
                )

    def loss(self, net: nn.Layer) -> nn.Layer:
        return DepthLoss(self._scale())

    def evaluate(self, net: nn.Layer, loader: Iterable) -> dict[str, float]:
        return evaluate_depth(net, loader)

    def describe(self, score: float) -> str:
        return f"RMSE {score:.2f} cm"

    def save_samples(self, data: TransformedDataset, folder: Path) -> None:
        save_pairs(data, folder)

    def _scale(self) -> int:
        if "scale" not in self.cfg["Arch"]:
            raise ValueError("Arch.scale is missing: the depth upsampling task needs the factor of the network")
        return self.cfg["Arch"]["scale"]


def build_task(cfg: Mapping[str, Any]) -> Task:
    """Return the task of ``cfg``; ValueError for an unknown one."""
    return TASKS.get(cfg["Global"]["task"])(cfg)
