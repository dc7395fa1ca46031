"""The programs in a network that is not known as a whole: which layers become one, and which stay as they were."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import paddle
from paddle import nn

from ..utils.messages import brief
from ..utils.runtime import threads
from .fold import NotLowerable
from .layer import Deployed
from .report import DeployReport, Kept
from .trial import FAILURES, Trial, distance, race, tolerance_of

LEAVES = (nn.Conv2D, nn.Linear)  # alone they are better off as they are
ALONE = "alone, with nothing to fuse"
GAIN = 0.97  # a part must not take more than this of the time that it took


class Candidate(NamedTuple):
    """A layer, its path in the network, and the program that could take its place."""

    layer: nn.Layer
    name: str
    part: Deployed

    def kept(self, reason: str, times: tuple[float, float] | None = None) -> Kept:
        """The row of the report if the layer stays."""
        return Kept(self.name, type(self.layer).__name__, reason, times)


class Islands:
    """Puts a `Deployed` wherever the network can use it, and gains by it, into a copy of the network.

    Args:
        trial: of the network.
        lower: makes the program of a layer, given its path; raises NotLowerable.
        measure: whether a part has to be faster than what it replaces.
    """

    def __init__(self, trial: Trial, lower: Callable[[nn.Layer, str], Deployed], measure: bool) -> None:
        self.trial, self.lower, self.measure = trial, lower, measure
        self._kept: list[Kept] = []
        self._parts: list[Candidate] = []
        self._waiting: list[Candidate] = []
        self._seen: set[int] = set()
        self._problems: dict[frozenset[int], str] = {}  # of sets of layers, by their ids

    def build(self, reason: str) -> tuple[nn.Layer, DeployReport]:
        """The copy, or one without any program if there is nothing to gain; ``reason`` why the whole is no program."""
        net = self.trial.net
        if self.trial.arguments is None:
            why = f"{reason}. Its parts cannot be tried: {self.trial.problem}; give example="
            return self.trial.base, DeployReport([], [Kept("", type(net).__name__, why)])
        self._visit(net, "", reason)
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            self._parts += self._usable([one for one in waiting if self._passes(one)])
        new, tried = self._whole() if self._parts else (self.trial.base, "")
        order = {name: i for i, (name, _) in enumerate(net.named_sublayers(include_self=True))}
        kept = sorted(self._kept, key=lambda row: order[row.name])
        parts = sorted(self._parts, key=lambda one: order[one.name])
        return new, DeployReport([one.part.part for one in parts], kept, tried)

    def _visit(self, layer: nn.Layer, name: str, reason: str) -> None:
        """Keep a layer, and look for candidates in it."""
        if layer.parameters():
            self._kept.append(Kept(name, type(layer).__name__, reason))
        for child_name, child in layer.named_children():
            path = f"{name}.{child_name}" if name else child_name
            if id(child) in self._seen or isinstance(child, Deployed):
                continue
            self._seen.add(id(child))
            try:
                self._waiting.append(Candidate(child, path, self._lower(child, path)))
            except NotLowerable as error:
                self._visit(child, path, error.reason if error.layer in (child, None) else str(error))

    def _lower(self, layer: nn.Layer, path: str) -> Deployed:
        if isinstance(layer, LEAVES):
            raise NotLowerable(ALONE)
        made = self.lower(layer, path)
        if not any(step.weights for step in made.program.steps if step.op != "affine"):
            raise NotLowerable(ALONE)
        return made

    def _passes(self, one: Candidate) -> bool:
        """Whether a part takes what its layer is called with, returns what that returns, and is faster."""
        calls = self.trial.calls[id(one.layer)]
        if not calls and not any(self.trial.calls[id(inner)] for inner in one.layer.sublayers()):
            self._kept.append(one.kept("the network did not call it"))
            return False
        problem = "" if calls else "the network calls the layers in it, not the layer itself"
        problem = problem or next(filter(None, (self._problem(one, *call) for call in calls)), "")
        if problem:
            self._visit(one.layer, one.name, problem)
        return not problem and (not self.measure or self._gains(one))

    def _problem(self, one: Candidate, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """Why a part cannot be called as its layer was, or gives other numbers."""
        if kwargs or len(args) != 1:
            return "it is called with other arguments than one tensor"
        try:
            with paddle.no_grad():
                expected, got = (run(args[0].clone()) for run in (self.trial.twin(one.layer), one.part))
        except FAILURES as error:
            return f"a program in its place fails: {brief(error)}"
        apart = distance(got, expected)
        if apart > self._tolerance([one]):
            return f"a program in its place differs by {apart:.1e} standard deviations"
        return ""

    def _tolerance(self, candidates: list[Candidate]) -> float:
        """How far outputs may differ; any finite distance where a deploy form is meant to compute something else."""
        parts = [one.part for one in candidates]
        own = any(part.part.notes or any(step["noise"] for step in part.program.masks) for part in parts)
        return math.nextafter(math.inf, 0) if own else tolerance_of([part.program for part in parts])

    def _gains(self, one: Candidate) -> bool:
        inputs = [args[0] for args, _ in self.trial.calls[id(one.layer)]]
        with paddle.no_grad():
            times = race(*(lambda run=run: [run(x) for x in inputs] for run in (self.trial.twin(one.layer), one.part)))
        one.part.part = replace(one.part.part, times=times)
        if times[1] > GAIN * times[0]:
            self._kept.append(one.kept("no gain", times))
        return times[1] <= GAIN * times[0]

    def _usable(self, candidates: list[Candidate]) -> list[Candidate]:
        """Those with which the network runs and gives its numbers; of the others the layers in them are tried."""
        if not candidates or not (problem := self._problem_with([*self._parts, *candidates])):
            return candidates
        if len(candidates) == 1:
            self._visit(candidates[0].layer, candidates[0].name, problem)
            return []
        half = len(candidates) // 2
        return self._usable(candidates[:half]) + self._usable(candidates[half:])

    def _problem_with(self, candidates: list[Candidate]) -> str:
        parts = {id(one.layer): one.part for one in candidates}
        known = frozenset(parts)
        if known not in self._problems:
            self._problems[known] = self.trial.problem_with(parts, self._tolerance(candidates))
        return self._problems[known]

    def _whole(self) -> tuple[nn.Layer, str]:
        """The copy with all parts, and a line about it; the one without them if these are not better together."""
        problem = self._problem_with(self._parts)
        new = self.trial.with_parts({id(one.layer): one.part for one in self._parts})
        line = f"tried on {self.trial}"
        if not problem and self.measure:
            was, now = race(*(lambda net=net: self.trial.run(net) for net in (self.trial.base, new)))
            line += f": {now:.2f} ms, {was:.2f} ms without programs, {threads()} threads"
            if now > GAIN * was:
                problem = "no gain in the network"
        if not problem:
            return new, line
        self._kept += [one.kept(problem, one.part.part.times) for one in self._parts]
        self._parts = []
        return self.trial.base, line
