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
DOCUMENTS = sorted(path for path in ROOT.rglob("*.md") if not {".venv", "build", "output"} & set(path.parts))


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


@pytest.mark.parametrize(
    ("readme", "shown"),
    [(readme, ["[1, 128, 29, 29]", "total"]) for readme in READMES]
    + [("ppeffconv/conversion/README.md", ["16 of 53 by spconv"])],
)
def test_python_blocks(readme, shown, monkeypatch, capsys, tmp_path, own_methods):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(paddle.vision.datasets, "Cifar10", SmallCifar10)
    found = blocks(readme, "python")
    assert found
    for code in found:
        short = code.replace("epochs=10, batch_size=128", "epochs=1, batch_size=4").replace("// 128", "// 4")
        exec(compile(short, readme, "exec"), {})
    printed = capsys.readouterr().out
    assert all(text in printed for text in shown)


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


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links(document):
    """Files that are linked to are there, and so are the headings."""
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        linked = document.parent / path if path else document
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked.read_text(encoding="utf-8")), target


def anchors(text: str) -> set[str]:
    """Of the headings, made as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
