"""The tools: what they print, and how they fail."""

from __future__ import annotations

import json
import shlex
import shutil

import pytest
from PIL import Image

from ppeffconv.config import load_config


@pytest.fixture
def run_dir(tool, make_cfg, tiny_net, capsys):
    """A finished run of two epochs."""
    cfg = make_cfg("Global.epochs=2")
    assert tool("train", "-c", cfg.path, "-o", "Global.epochs=2") == 0
    capsys.readouterr()
    return cfg.path.parent / "output" / "tiny"


def test_train_prints_commands_that_work(tool, make_cfg, tiny_net, capsys):
    cfg = make_cfg()
    options = ["-o", "Global.epochs=1", "Global.use_visualdl=true", "-o", "Optimizer.lr=0.01", "Metric.topk=[5]"]
    assert tool("train", "-c", cfg.path, *options) == 0
    lines = dict(line.split(":", 1) for line in capsys.readouterr().out.splitlines())
    run = cfg.path.parent / "output" / "tiny"
    assert lines["run"].strip() == str(run)
    assert lines["best"].split()[0] == "top-1"
    assert shlex.split(lines["curves"])[1:] == ["--logdir", str(run / "vdl"), "--language", "en"]
    saved = load_config(run / "config.yaml")
    assert (saved["Global"]["epochs"], saved["Optimizer"]["lr"]) == (1, 0.01)
    assert "top-5 accuracy is left out: there are only 3 classes" in (run / "train.log").read_text()
    for name in ("evaluate", "predict", "export"):
        _, script, *arguments = shlex.split(lines[name])
        assert tool(script.rpartition("/")[2].removesuffix(".py"), *arguments) == 0


def test_eval(tool, run_dir, capsys):
    assert tool("eval", "-c", run_dir / "config.yaml") == 0
    words = capsys.readouterr().out.split()
    assert words[0] == "loss"
    assert words[-2:] == ["samples", "9"]


def test_predict_table_and_json(tool, run_dir, capsys):
    arguments = ["-c", run_dir / "config.yaml", "--image", run_dir / "samples", "--topk", 2]
    assert tool("predict", *arguments) == 0
    table = capsys.readouterr().out.splitlines()
    assert tool("predict", *arguments, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert len(table) == len(result["guesses"]) == 8
    assert result["broken"] == {}
    for line, (file, guesses) in zip(table, result["guesses"].items(), strict=True):
        assert line.startswith(file)
        assert len(guesses) == 2
        assert guesses[0]["score"] >= guesses[1]["score"]
        assert guesses[0]["class_name"] in line


def test_predict_counts_broken_images(tool, run_dir, tmp_path, capsys):
    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "broken.png").write_bytes(b"?")
    arguments = ["-c", run_dir / "config.yaml", "--image", folder]
    assert tool("predict", *arguments) == 1
    assert "1 of 1 images could not be used" in capsys.readouterr().err
    Image.new("RGB", (8, 8)).save(folder / "fine.png")
    assert tool("predict", *arguments) == 0
    out, err = capsys.readouterr()
    assert "fine.png" in out
    assert "1 of 2 images could not be used" in err
    for wrong in (0, -1):
        assert tool("predict", *arguments, "--topk", wrong) == 2
        assert f"must be at least 1, got {wrong}" in capsys.readouterr().err


@pytest.mark.parametrize("options", [[], ["--stock", "--fixed-size"]])
def test_export_and_predict_without_the_configuration(tool, run_dir, tmp_path, capsys, options):
    arguments = ["-c", run_dir / "config.yaml", "--output", tmp_path / "net", *options]
    assert tool("export", *arguments) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[-1] == f"exported and checked: {tmp_path / 'net'}"
    assert "standard deviations from the network on" in out[-2]
    assert tool("predict", "--model", tmp_path / "net", "--image", run_dir / "samples") == 0
    assert len(capsys.readouterr().out.splitlines()) == 8
    (tmp_path / "net" / "model.pdiparams").write_bytes(b"?")
    assert tool("predict", "--model", tmp_path / "net", "--image", run_dir / "samples") == 1
    assert "model.pdiparams is not what was exported" in capsys.readouterr().err


def test_a_copied_run_stands_alone(tool, run_dir, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.move(run_dir, copy)
    config = copy / "config.yaml"
    assert tool("eval", "-c", config) == 0
    assert tool("predict", "-c", config, "--image", copy / "samples") == 0
    assert tool("export", "-c", config) == 0
    assert tool("train", "-c", config, "--resume") == 0
    assert f"run:      {copy}\n" in capsys.readouterr().out
    assert (copy / "export" / "manifest.json").is_file()
    assert not run_dir.exists()


def test_list_models(tool, capsys):
    assert tool("list_models", "sp_resnet[25]*") == 0
    assert capsys.readouterr().out.split() == ["sp_resnet20", "sp_resnet50", "sp_resnet56"]
    assert tool("list_models", "resnet20", "--params") == 0
    assert capsys.readouterr().out.split() == ["resnet20", "0.337", "M"]
    assert tool("list_models", "resnet21") == 2
    assert "Did you mean 'resnet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "options", "code", "message"),
    [
        ("train", ["-o", "Optimizer.lt=1"], 2, "unknown key 'Optimizer.lt'"),
        ("train", ["-o", "Optimizer.lr=fast"], 2, "Optimizer.lr must be a number"),
        ("train", ["-o", "Arch.num_classes=4"], 2, "the data has 3 classes"),
        ("train", ["-o", "DataLoader.Train.dataset.root=none"], 2, "none"),
        ("train", ["--resume", "none"], 2, "cannot resume none"),
        ("train", ["-o", "Global.pretrained_model=none"], 2, "no weights at none"),
        ("eval", [], 2, "no weights"),
        ("eval", ["--weights", "none"], 2, "no weights at none"),
        ("export", [], 2, "no weights"),
        ("predict", ["--image", "none"], 2, "no image or folder none"),
        ("predict", ["--image", ".", "--model", "x"], 2, "give either -c CONFIG or --model"),
    ],
)
def test_a_mistake_is_one_message(tool, make_cfg, tiny_net, capsys, name, options, code, message):
    cfg = make_cfg()
    assert tool(name, "-c", cfg.path, *options) == code
    assert not (cfg.path.parent / "output").exists()
    err = capsys.readouterr().err
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in err


def test_configuration_that_is_not_there(tool, capsys):
    assert tool("train", "-c", "none.yaml") == 2
    assert "error: no configuration file none.yaml" in capsys.readouterr().err


def test_failure_on_the_way_has_another_code(tool, run_dir, capsys, monkeypatch):
    (run_dir / "best" / "model.pdparams").write_bytes(b"?")
    assert tool("eval", "-c", run_dir / "config.yaml") == 1
    assert "error: cannot read" in capsys.readouterr().err
    monkeypatch.setenv("PPEFFCONV_DEBUG", "1")
    assert tool("eval", "-c", run_dir / "config.yaml") == 1
    assert "Traceback" in capsys.readouterr().err
