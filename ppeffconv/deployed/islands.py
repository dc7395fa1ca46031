"""The programs in a network that is not known as a whole: which layers become one, and which stay as they were."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
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


Place = tuple[str, nn.Layer]  # a layer and its path in the network


class Candidate(NamedTuple):
    """A layer, or a run of layers that an nn.Sequential calls one after another, and the program in its place."""

    run: tuple[Place, ...]
    part: Deployed

    @property
    def name(self) -> str:
        """The path of the first layer."""
        return self.run[0][0]

    @property
    def layer(self) -> nn.Layer:
        """The first layer."""
        return self.run[0][1]

    @property
    def parts(self) -> dict[int, nn.Layer]:
        """What takes the place of which layer, by its id: the program stands for all of a run."""
        return {id(layer): nn.Identity() for _, layer in self.run} | {id(self.layer): self.part}

    def kept(self, reason: str, times: tuple[float, float] | None = None) -> Kept:
        """The row of the report if it stays."""
        return Kept(self.part.part.name, self.part.part.kind, reason, times)


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
        kept = sorted(self._kept, key=lambda row: order[row.name.split(" ")[0]])
        parts = sorted(self._parts, key=lambda one: order[one.name])
        return new, DeployReport([one.part.part for one in parts], kept, tried)

    def _visit(self, layer: nn.Layer, name: str, reason: str) -> None:
        """Keep a layer, and look for candidates in it."""
        if layer.parameters():
            self._kept.append(Kept(name, type(layer).__name__, reason))
        children = [(f"{name}.{key}" if name else key, child) for key, child in layer.named_children()]
        if self._calls_in_order(layer, len(children)):
            self._offer_runs(children)
        else:
            self._offer(children)

    def _calls_in_order(self, layer: nn.Layer, children: int) -> bool:
        """Whether runs of a layer's children can be tried: each is there once, and a wrong one would change numbers."""
        return type(layer) is nn.Sequential and len(layer) == children and self.trial.is_steady

    def _offer(self, places: Sequence[Place]) -> None:
        """Make candidates of layers, or of what is in them."""
        for path, layer in places:
            if id(layer) in self._seen or isinstance(layer, Deployed):
                continue
            self._seen.add(id(layer))
            try:
                self._waiting.append(Candidate(((path, layer),), self._lower(layer, path)))
            except NotLowerable as error:
                self._visit(layer, path, error.reason if error.layer in (layer, None) else str(error))

    def _offer_runs(self, places: Sequence[Place]) -> None:
        """Make candidates of layers that are called one after another, as many together as have a deploy form."""
        layers = [layer for _, layer in places]
        if len(places) < 2 or not self._seen.isdisjoint(map(id, layers)):
            return self._offer(places)
        holder, keys = places[0][0].rpartition(".")[0], [path.rpartition(".")[2] for path, _ in places]
        try:
            part = self._lower(nn.Sequential(*zip(keys, layers)), holder)
        except NotLowerable as error:
            at = next((i for i, one in enumerate(layers) if error.layer in one.sublayers(include_self=True)), None)
            if at is None:
                return self._offer(places)
            self._offer_runs(places[:at])
            self._offer(places[at : at + 1])
            return self._offer_runs(places[at + 1 :])
        self._seen.update(map(id, layers))
        part.part = replace(part.part, name=f"{places[0][0]} to {places[-1][0]}", kind=f"{len(places)} layers")
        return self._waiting.append(Candidate(tuple(places), part))

    def _open(self, one: Candidate, problem: str) -> None:
        """Look for candidates in one that cannot be used."""
        if len(one.run) == 1:
            return self._visit(one.layer, one.name, problem)
        self._seen.difference_update(id(layer) for _, layer in one.run)
        return self._offer(one.run)

    def _original(self, one: Candidate) -> Callable[[Any], Any]:
        """What a candidate would take the place of."""
        twins = [self.trial.twin(layer) for _, layer in one.run]
        return lambda x: functools.reduce(lambda y, twin: twin(y), twins, x)

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
            self._open(one, problem)
        return not problem and (not self.measure or self._gains(one))

    def _problem(self, one: Candidate, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """Why a part cannot be called as its layer was, or gives other numbers."""
        if kwargs or len(args) != 1:
            return "it is called with other arguments than one tensor"
        try:
            with paddle.no_grad():
                expected, got = (run(args[0].clone()) for run in (self._original(one), one.part))
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
            times = race(*(lambda run=run: [run(x) for x in inputs] for run in (self._original(one), one.part)))
        one.part.part = replace(one.part.part, times=times)
        if times[1] > GAIN * times[0]:
            self._kept.append(one.kept("no gain", times))
        return times[1] <= GAIN * times[0]

    def _usable(self, candidates: list[Candidate]) -> list[Candidate]:
        """Those with which the network runs and gives its numbers; of the others the layers in them are tried."""
        if not candidates or not (problem := self._problem_with([*self._parts, *candidates])):
            return candidates
        if len(candidates) == 1:
            self._open(candidates[0], problem)
            return []
        half = len(candidates) // 2
        return self._usable(candidates[:half]) + self._usable(candidates[half:])

    def _problem_with(self, candidates: list[Candidate]) -> str:
        parts = _all_parts(candidates)
        known = frozenset(parts)
        if known not in self._problems:
            self._problems[known] = self.trial.problem_with(parts, self._tolerance(candidates))
        return self._problems[known]

    def _whole(self) -> tuple[nn.Layer, str]:
        """The copy with all parts, and a line about it; the one without them if these are not better together."""
        problem = self._problem_with(self._parts)
        new = self.trial.with_parts(_all_parts(self._parts))
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


def _all_parts(candidates: Sequence[Candidate]) -> dict[int, nn.Layer]:
    return {key: part for one in candidates for key, part in one.parts.items()}
