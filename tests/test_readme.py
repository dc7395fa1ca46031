"""Every command and code block of the READMEs runs as printed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import paddle
import pytest
from PIL import Image

from ppeffconv.utils.download import home

ROOT = Path(__file__).resolve().parents[1]
READMES = ["README.md", "README_zh.md"]


def blocks(readme: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / readme).read_text(encoding="utf-8"), flags=re.S)


class SmallCifar10(paddle.io.Dataset):
    """Stands for paddle.vision.datasets.Cifar10, which needs a download: random images of its form."""

    def __init__(self, mode="train", transform=None):
        self.transform, self.images = transform, np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3))

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        image = Image.fromarray(self.images[index].astype("uint8"))  # PIL, Paddle's default image backend
        return self.transform(image).astype("float32"), np.array([index])


@pytest.mark.parametrize("readme", READMES)
def test_python_blocks(readme, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(paddle.vision.datasets, "Cifar10", SmallCifar10)
    found = blocks(readme, "python")
    assert found
    for code in found:
        short = code.replace("epochs=10, batch_size=128", "epochs=1, batch_size=4").replace("// 128", "// 4")
        exec(compile(short, readme, "exec"), {})
    printed = capsys.readouterr().out
    assert "[1, 128, 29, 29]" in printed
    assert "total" in printed


@pytest.mark.parametrize("readme", READMES)
def test_make_targets_exist(readme):
    targets = re.findall(r"^make (\w+)", "\n".join(blocks(readme, "sh")), flags=re.M)
    assert targets == ["train", "test"]
    for target in targets:
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout


def test_tool_commands(tmp_path):
    """The commands in their order, from a fresh folder; each finds what the one before it left."""
    for name in ("tools", "configs", "ppeffconv"):
        (tmp_path / name).symlink_to(ROOT / name)
    commands = [line for block in blocks("README.md", "sh") for line in block.splitlines() if line.startswith("python")]
    assert [Path(shlex.split(line)[1]).stem for line in commands] == [
        "train",
        "eval",
        "predict",
        "export",
        "list_models",
    ]
    chinese = [
        line for block in blocks("README_zh.md", "sh") for line in block.splitlines() if line.startswith("python")
    ]
    assert set(chinese) <= set(commands)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "ops").symlink_to(home() / "ops")  # compiled kernels, where there are some
    environment = {**os.environ, "PPEFFCONV_HOME": str(tmp_path / "home")}
    for line in commands:
        words = [sys.executable, *shlex.split(line)[1:]]
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    assert (tmp_path / "output/quickstart/best/model.pdparams").is_file()


def test_figures_are_those_of_the_command():
    """The table of parameters and multiply-adds is what its command prints."""
    command = re.search(r"`python (tools/list_models\.py .*?)` prints", (ROOT / "README.md").read_text())[1]
    words = [sys.executable, *shlex.split(command)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == blocks("README.md", "text")[0]
