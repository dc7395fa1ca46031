"""The installed programs are those of tools/, and find the recipes that are installed with them."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from ppeffconv.config import load_config
from ppeffconv.engine import cli

from .conftest import TOOLS

ROOT = TOOLS.parent
PROGRAMS = dict(re.findall(r'"(ppeffconv-\w+)=([\w.]+):run"', (ROOT / "setup.py").read_text(encoding="utf-8")))


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Return run(name, *arguments) -> exit code, as the installed script calls it."""

    def run(name: str, *arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", [str(Path("bin", name)), *map(str, arguments)])
        with pytest.raises(SystemExit) as leaving:
            import_module(PROGRAMS[name]).run()
        return leaving.value.code

    return run


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The files of a wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("name", ["train", "eval", "predict", "export"])
def test_each_is_a_tool(name, program, capsys):
    assert f"from {PROGRAMS[f'ppeffconv-{name}']} import run\n" in (TOOLS / f"{name}.py").read_text(encoding="utf-8")
    assert program(f"ppeffconv-{name}", "-h") == 0
    assert f": ppeffconv-{name} -c " in " ".join(capsys.readouterr().out.split())


def test_train_prints_commands_that_work(program, make_cfg, tiny_net, capsys):
    assert program("ppeffconv-train", "-c", make_cfg().path, "-o", "Global.epochs=1") == 0
    lines = dict(line.split(":", 1) for line in capsys.readouterr().out.splitlines())
    for step, name in {"evaluate": "eval", "predict": "predict", "export": "export"}.items():
        first, *arguments = shlex.split(lines[step])
        assert Path(first).name == f"ppeffconv-{name}"
        assert program(f"ppeffconv-{name}", *arguments) == 0


def test_what_is_installed(installed):
    assert {path.name for path in installed.iterdir()} == {"ppeffconv"}
    package = installed / "ppeffconv"
    assert (package / "py.typed").is_file()
    assert any((package / "weights" / "files").glob("*.safetensors"))
    assert any((package / "custom_ops").rglob("*.cc"))
    assert {path.suffix for path in (package / "configs").rglob("*") if path.is_file()} == {".yaml"}
    assert not {"results", "papers"} & {path.name for path in (package / "configs").iterdir()}


def test_recipes_from_any_folder(installed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "RECIPES", (installed / "ppeffconv",))
    configs = ROOT / "configs"
    files = [file for name in ("baselines", "ddf", "upsampling") for file in (configs / name).glob("*_*.yaml")]
    for file in [configs / "quickstart.yaml", *files]:
        args = Namespace(config=file.relative_to(ROOT), override=["Global.seed=5"])
        assert cli.read_config(args, recipes=True) == load_config(file, ["Global.seed=5"])
        with pytest.raises(FileNotFoundError, match="no configuration file configs/"):
            cli.read_config(args)
    own = tmp_path / "configs" / "quickstart.yaml"
    own.parent.mkdir()
    own.write_text(f"_base_: {configs / 'quickstart.yaml'}\nGlobal: {{seed: 7}}\n")
    args = Namespace(config=Path("configs/quickstart.yaml"), override=[])
    assert cli.read_config(args, recipes=True)["Global"]["seed"] == 7
