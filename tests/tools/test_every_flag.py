"""Every flag of every program is turned: in a short run, or, where that takes minutes, up to what it is handed to."""

from __future__ import annotations

import argparse
import inspect
import json
import runpy
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import paddle
import pytest
import yaml
from PIL import Image

import ppeffconv
from ppeffconv.config import load_config
from ppeffconv.engine import checkpoint as ck
from ppeffconv.engine import cli

from ..benchmarks.accuracy.test_depth_report import ROWS
from ..data.scenes.garments import write_fashion_mnist
from .conftest import TOOLS

MODULES = ("ppeffconv.ops", "ppeffconv.weights", "ppeffconv.integrations.ppdet", "ppeffconv.integrations.ppseg")
# of each program, command lines that have all its flags; the tests below run them
QUICK = {
    "train": [
        "-c {config} -o Global.epochs=1 Optimizer.schedule.name=Constant",
        "--config {config} --override Global.epochs=2 Optimizer.schedule.name=Constant --resume",
        "-c {config} -o Optimizer.schedule.name=Constant --extend 3 --resume {run}",
    ],
    "eval": ["-c {run}/config.yaml -o DataLoader.Eval.batch_size=2 --weights {run}/latest"],
    "export": [
        "-c {run}/config.yaml -o Export.input_shape=[1,9,8] --weights {run} --output {folder}/a --seed 3 --onnx",
        "-c {run}/config.yaml --output {folder}/b --stock --fixed-size",
        "-c {octave} -o Arch.alpha=0.25 --weights {weights} --output {folder}/c --dtype bfloat16",
    ],
    "predict": [
        "-c {run}/config.yaml -o Infer.topk=1 --weights {run}/best --image {run}/samples --json",
        "--model {folder}/b --image {run}/samples --topk 2",
    ],
    "visualize": ["-c {octave} -o Arch.alpha=0.25 --weights {weights} --image {image} {image} --output {folder}/o.png"],
    "list_models": ["sp_resnet20 --params", "sp_resnet20 --profile 32"],
    "make_scenes": [
        "--output {folder}/scenes --root {garments} --train 1 --val 1 --size 50 70 --garments 2 4 --seed 5 --workers 1"
    ],
    "run_queue": ["{queue} --list", "{queue} --only a* --jobs 1"],
    "upsampling": [
        "--into {document} --table-only",
        "--into {document} --queue {queue} --runs {folder}",  # which has no run yet
    ],
    "ppeffconv.ops": ["", "doctor", "build --optional"],
    "ppeffconv.weights": [
        "list oct_*",
        "fetch sp_resnet20.fashion-mnist-sp-4",
        "convert {authors} --source d-li14/octconv.pytorch --part backbone --output {folder}/converted.safetensors",
        "convert {authors} --source PaddlePaddle/Paddle --name sp_resnet20 -a ratio=0.25 -o {folder}/d.safetensors",
    ],
}
FAILS = {"upsampling": 1}  # the line that ends in a message

MEASURED = "{kind} --rows a* b --rounds 3 --threads 1 --engines ours stock --peer-python {folder}/python --pause 0.5"
# command line -> the function that it comes to, and the arguments that it must be called with
HANDED = {
    "benchmark": [
        *(
            (f"{MEASURED} --output {{folder}}/x.json --resume".replace("{kind}", kind), "session")
            for kind in ("ops", "train", "deploy", "growth", "busy")
        ),
        ("report --into {document} --json {folder}/x.json", "report"),
    ],
    "results": [("collect --queue {queue}", "collect"), ("measure --rounds 4", "measure"), ("write", "write")],
    "list_models": [("--papers {folder}", "papers")],
    "ppeffconv.integrations.ppdet": [
        ("train -c {config} -o epoch=1 -r auto --no-eval", "toolkit"),
        ("eval -c {config} -o a=1 --weights w", "toolkit"),
        ("infer -c {config} -o a=1 --weights w --image i --threshold 0.25 --output o", "toolkit"),
        ("speed -c {config} -o a=1 --rounds 3 --output {folder}/speed.json", "toolkit"),
        ("measure {run} --rounds 2", "toolkit"),
        ("table --runs {folder} --into {document}", "toolkit"),
    ],
    "ppeffconv.integrations.ppseg": [
        ("train -c {config} -o iters=1 --resume iter_5", "toolkit"),
        ("eval -c {config} -o a=1 --weights w", "toolkit"),
        ("infer --config {config} --override a=1 --weights w --image i --output o", "toolkit"),
        ("speed -c {config} -o a=1 --rounds 3 --output {folder}/speed.json", "toolkit"),
        ("measure {run} --rounds 2 --images 7", "toolkit"),
        ("report --runs {folder} --into {document}", "toolkit"),
    ],
}


def programs() -> list[str]:
    """All but tools/detect.py, which is PaddleDetection's commands under another name."""
    return sorted(path.stem for path in TOOLS.glob("*.py") if path.stem != "detect") + list(MODULES)


def parser_of(program: str, monkeypatch: pytest.MonkeyPatch) -> argparse.ArgumentParser:
    if program in MODULES:
        module = import_module(f"{program}.__main__")
        return module.commands().parser if hasattr(module, "commands") else module.parser()
    found = []
    monkeypatch.setattr(cli, "run", lambda main, parser: found.append(parser))
    runpy.run_path(str(TOOLS / f"{program}.py"), run_name="__main__")
    return found[0]


def flags(parser: argparse.ArgumentParser, command: str = "") -> Iterator[tuple[str, tuple[str, ...]]]:
    """The command and the spellings of each flag of a parser."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                yield from flags(below, name)
        elif action.option_strings and action.dest != "help":
            yield command, tuple(action.option_strings)


@pytest.mark.parametrize("program", programs())
def test_every_flag_is_in_a_command_line(program, monkeypatch):
    lines = [*QUICK.get(program, []), *(line for line, _ in HANDED.get(program, []))]
    assert lines, f"{program} is not run here: give it command lines above"
    words = [line.split() for line in lines]
    for command, spellings in flags(parser_of(program, monkeypatch)):
        own = [line for line in words if not command or line[:1] == [command]]
        assert own, f"{program} {command} is not run here"
        turned = any(spelling in line for spelling in spellings for line in own)
        assert turned, f"{program} {command} {spellings[-1]} is turned in no command line above"


# what the command lines name


@pytest.fixture
def names(make_cfg, tmp_path, image_root) -> dict[str, Any]:
    """What stands for the names in braces."""
    cfg = make_cfg("Global.use_visualdl=false")
    queue = {"output": str(tmp_path / "queued"), "runs": {"a": "python -c 1", "b": "python -c 2"}}
    (tmp_path / "queue.yaml").write_text(yaml.safe_dump(queue))
    (tmp_path / "README.md").write_text("<!-- upsampling -->\n<!-- /upsampling -->\n")
    (tmp_path / "results.json").write_text(json.dumps(ROWS))
    return {
        "config": cfg.path,
        "run": cfg.path.parent / "output" / "tiny",
        "folder": tmp_path,
        "queue": tmp_path / "queue.yaml",
        "document": tmp_path / "README.md",
        "image": next((image_root / "eval" / "dark").iterdir()),
    }


@pytest.fixture
def call(tool, monkeypatch, names) -> Callable[[str, str], int]:
    """Return call(program, line) -> exit code."""

    def run(program: str, line: str) -> int:
        words = line.format(**names).split()
        if program not in MODULES:
            return tool(program, *words)
        monkeypatch.setattr(sys, "argv", [program, *words])
        monkeypatch.delitem(sys.modules, f"{program}.__main__", raising=False)
        with pytest.raises(SystemExit) as leaving:
            runpy.run_module(program, run_name="__main__")
        return leaving.value.code

    return run


def run_all(program: str, call: Callable[[str, str], int], network: str = "") -> None:
    """Run the command lines of a program; those of one ``network`` alone, where it has such."""
    for number, line in enumerate(QUICK[program]):
        if network and network not in line:
            continue
        assert (call(program, line) != 0) == (FAILS.get(program) == number), f"{program} {line}"


def test_training_and_its_use(call, names, tiny_net, capsys):
    run_all("train", call)
    states = ck.load_checkpoint(names["run"] / "latest")[ck.STATES]
    assert states["epoch"] == 3
    assert load_config(names["run"] / "config.yaml")["Global"]["epochs"] == 3
    assert [path.name for path in names["run"].parent.iterdir()] == ["tiny"]
    for program in ("eval", "export", "predict"):
        run_all(program, call, "" if program == "predict" else "{run}")
    manifest = json.loads((names["folder"] / "a" / "manifest.json").read_text())
    assert (manifest["input_shape"], (names["folder"] / "a" / "model.onnx").is_file()) == ([1, 9, 8], True)
    stock = json.loads((names["folder"] / "b" / "manifest.json").read_text())
    assert (stock["engine"], stock["fixed_size"]) == (False, True)
    last = capsys.readouterr().out.splitlines()[-8:]
    assert all(line.count(" %") == 2 for line in last)  # --topk 2


def test_an_octave_network(call, names, make_cfg):
    options = {"num_classes": 3, "in_channels": 1}
    names["octave"] = make_cfg(Arch={"name": "oct_resnet20", **options}).path
    names["weights"] = names["folder"] / "octave.pdparams"
    net = ppeffconv.create_model("oct_resnet20", alpha=0.25, **options)
    paddle.save(net.state_dict(), str(names["weights"]))
    for program in ("visualize", "export"):
        run_all(program, call, "{octave}")
    assert json.loads((names["folder"] / "c" / "manifest.json").read_text())["dtype"] == "bfloat16"
    assert Image.open(names["folder"] / "o.png").size[0] > 100


def test_lists_scenes_and_queues(call, names, monkeypatch, capsys):
    monkeypatch.chdir(names["folder"])
    names["garments"] = write_fashion_mnist(names["folder"] / "garments")
    for program in ("list_models", "make_scenes", "run_queue", "upsampling"):
        run_all(program, call)
    settings = json.loads((names["folder"] / "scenes" / "scenes.json").read_text())
    assert [settings[key] for key in ("train", "val", "height", "width", "fewest", "most", "seed")] == [
        *(1, 1, 50, 70, 2, 4, 5)
    ]
    assert "all done" in capsys.readouterr().out
    assert sorted(path.name for path in (names["folder"] / "queued").glob("*.json")) == ["a.json"]


def test_the_doctor_and_weights(call, names, monkeypatch):
    from ppeffconv.ops import build

    monkeypatch.setattr(build, "build", lambda: names["folder"])
    run_all("ppeffconv.ops", call)
    net = ppeffconv.create_model("sp_resnet20", ratio=0.25)
    names["authors"] = names["folder"] / "authors.pdparams"
    paddle.save({f"backbone.{key}": value for key, value in net.state_dict().items()}, str(names["authors"]))
    run_all("ppeffconv.weights", call)
    assert {"converted.safetensors", "d.safetensors"} <= {path.name for path in names["folder"].iterdir()}


# what takes minutes


@pytest.fixture
def calls(monkeypatch) -> dict[str, Any]:
    """The arguments, by name, of the last call of each function that `handed` replaces."""
    found: dict[str, Any] = {}

    def replace(module: Any, name: str, result: Any = None) -> None:
        signature = inspect.signature(getattr(module, name))

        def stand_in(*args: Any, **kwargs: Any) -> Any:
            found.update(signature.bind(*args, **kwargs).arguments)
            return result

        monkeypatch.setattr(module, name, stand_in)

    return SimpleNamespace(found=found, replace=replace)


def lines(kind: str) -> list[Any]:
    return [
        pytest.param(program, line, id=f"{program} {line.split()[0]}")
        for program, all_of_it in HANDED.items()
        for line, handed in all_of_it
        if handed == kind
    ]


@pytest.mark.parametrize(("program", "line"), lines("session"))
def test_benchmarks(call, calls, names, monkeypatch, program, line):
    from benchmarks.speed import report, session

    calls.replace(session, "run")
    monkeypatch.setattr(report, "rows_of", lambda kind: [SimpleNamespace(name=name) for name in ("a1", "b", "c")])
    monkeypatch.setattr(report, "full", lambda session: "the table")
    assert call(program, line) == 0
    kind, rows, settings = calls.found.values()
    assert (kind, [row.name for row in rows]) == (line.split()[0], ["a1", "b"])
    assert (settings.rounds, settings.threads, settings.engines) == (3, 1, ("ours", "stock"))
    assert (settings.peer_python, settings.pause, settings.resume) == (names["folder"] / "python", 0.5, True)
    assert (names["folder"] / "x.md").read_text() == "the table"


def test_documents(call, calls, names, monkeypatch):
    from benchmarks.accuracy import collect, documents, measure, papers
    from benchmarks.speed import report
    from ppeffconv import data

    calls.replace(report, "write_into")
    calls.replace(collect, "collect")
    calls.replace(measure, "measure")
    calls.replace(papers, "write")
    calls.replace(documents, "write_documents", [])
    monkeypatch.setattr(measure, "write_speed", lambda speed, path: None)
    monkeypatch.setattr(data, "build_loader", lambda cfg, split: [[paddle.zeros([1, 1])]])
    for program in ("benchmark", "results", "list_models"):
        for line, handed in HANDED[program]:
            assert handed == "session" or call(program, line) == 0, line
    assert {names["document"], names["folder"]} <= {value for value in calls.found.values() if isinstance(value, Path)}
    assert names["folder"] / "x.json" in flatten(calls.found.values())
    assert calls.found["rounds"] == 4
    assert [run.name for run in calls.found["runs"]] == ["a", "b"]


@pytest.mark.parametrize(("program", "line"), lines("toolkit"))
def test_toolkits(call, names, monkeypatch, program, line):
    """The toolkits themselves are tested with their integration; here, what the flags come to."""
    found: list[Any] = []

    class StandIn(SimpleNamespace):
        def __getattr__(self, name: str) -> Any:
            def run(*args: Any, **kwargs: Any) -> Any:
                found.extend([*args, *kwargs.values()])
                scores = {"miou": 1.0, "accuracy": 1.0, "kappa": 1.0, "speedup": 1.0, "vdl_log_dir": "v"}
                return [] if name == "collect" else "table" if name == "render" else scores

            return run

    package = import_module(program)
    monkeypatch.setattr(package, "register", lambda: None)
    for name in ("runner", "speed", "config", "settings", "table", "report"):
        stand_in = StandIn()
        monkeypatch.setitem(sys.modules, f"{program}.{name}", stand_in)
        monkeypatch.setattr(package, name, stand_in, raising=False)
    assert call(program, line) == 0
    told = {str(value) for value in flatten(found)}
    for flag, value in values(line.format(**names).split()):
        assert value in told or (flag, value) == ("--output", str(names["folder"] / "speed.json")), flag
    if "--no-eval" in line:
        assert "False" in told  # whether it shall evaluate


def flatten(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from flatten(value)
        else:
            yield value


def values(words: list[str]) -> Iterator[tuple[str, str]]:
    """Each flag with what follows it."""
    for flag, value in pairwise(words):
        if flag.startswith("-") and not value.startswith("-"):
            yield flag, value
