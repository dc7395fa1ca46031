"""Every key of the configuration, and every -o of the READMEs, is turned in a short run."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ppeffconv.config import load_config, parse_override
from ppeffconv.config_check import fields
from ppeffconv.config_schema import Field
from ppeffconv.engine import checkpoint as ck
from ppeffconv.engine.trained import evaluate_run
from ppeffconv.engine.trainer import Trainer
from ppeffconv.layers.gumbel import GumbelSampler

from ..data.scenes.conftest import garment_root, scenes  # noqa: F401 - fixtures
from ..engine.conftest import tiny_net  # noqa: F401
from ..engine.test_depth import configuration

ROOT = Path(__file__).parents[2]
README_KEYS = {"Block.key", "模块.键", "model.pretrained"}  # placeholders, and one of PaddleSeg's

# Settings of runs of a tiny network, all but the defaults; a new key, or a new choice, needs its value in one of them.
TINY = {
    "momentum and steps": """
        Global.name=other Global.output_dir=~/runs Global.device=cpu Global.seed=7 Global.epochs=2
        Global.eval_interval=2 Global.save_interval=1 Global.log_interval=1 Global.use_visualdl=false
        Global.custom_imports=[own_things]
        Arch.name=tiny Arch.num_classes=3 Loss.label_smoothing=0.1 Loss.auxiliary.sparse=0.1
        Optimizer.name=Momentum Optimizer.lr=0.01 Optimizer.momentum=0.8 Optimizer.nesterov=true
        Optimizer.weight_decay=0.01 Optimizer.decay_norm_and_bias=false Optimizer.grad_clip=1.0
        Optimizer.schedule.name=Step Optimizer.schedule.milestones=[1] Optimizer.schedule.gamma=0.5
        Optimizer.schedule.warmup_epochs=1 EMA.decay=0.9
        DataLoader.Train.batch_size=5 DataLoader.Train.drop_last=true DataLoader.Train.num_workers=1
        DataLoader.Train.dataset.name=ImageFolder DataLoader.Train.dataset.class_names=[dark,grey,light]
        DataLoader.Train.dataset.list_file={folder}/train.txt DataLoader.Train.dataset.root={root}/train
        DataLoader.Train.transforms=[ToArray,{Normalize:{mean:0.5,std:0.5}}]
        DataLoader.Eval.batch_size=2 DataLoader.Eval.num_workers=1
        DataLoader.Eval.dataset.name=ImageFolder DataLoader.Eval.dataset.class_names={folder}/names.txt
        DataLoader.Eval.dataset.list_file={folder}/eval.txt DataLoader.Eval.dataset.root={root}/eval
        DataLoader.Eval.transforms=[ToArray,{Normalize:{mean:0.5,std:0.5}}]
        Metric.topk=[2] Infer.topk=2 Export.input_shape=[1,9,10]
        """,
    "mixed precision": """
        Global.epochs=1 AMP.enable=true AMP.level=O1 AMP.init_loss_scaling=2.0
        Optimizer.name=AdamW Optimizer.schedule.name=Cosine Optimizer.schedule.min_lr=0.001
        """,
    "Adam": "Global.epochs=1 Optimizer.name=Adam Optimizer.schedule.name=Constant",
    "SGD": "Global.epochs=1 Optimizer.name=SGD Global.task=classification",
}
# of true networks
SAMPLED = """
    Global.epochs=1 Arch.name=sampled_resnet20 Arch.in_channels=1 DataLoader.Train.batch_size=21
    Sampling.start_temperature=2.0 Sampling.end_temperature=0.5
    """
PRETRAINED = "Arch.pretrained=fashion-mnist-sp-4 Arch.name=sp_resnet20 Arch.ratio=0.25 Arch.num_classes=10"
DEPTH = "Global.task=depth_upsampling Global.epochs=1"
FINE_TUNED = "Global.epochs=1 Global.pretrained_model={run}"
EVERY = " ".join([*TINY.values(), SAMPLED, PRETRAINED, DEPTH, FINE_TUNED])


def overrides(text: str, **names: object) -> list[str]:
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", str(value))
    return [re.sub(r"([:])(?=\S)", r"\1 ", word) if "transforms" in word else word for word in text.split()]


def turned() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for word in EVERY.split():
        key, _, value = word.partition("=")
        found.setdefault(key, []).append(re.sub(r"{(folder|root|run)}", "x", value))
    return found


@pytest.mark.parametrize(("key", "entry"), [*fields()], ids=[key for key, _ in fields()])
def test_every_key_has_a_value_here(key: str, entry: Field):
    values = turned()
    family = [name for name in values if name == key]
    assert family, f"{key} is turned in no run: give it a value above"
    choices = entry.rule.choices if entry.rule else ()
    assert set(choices) <= set(values[key]), f"{key}: not every choice is turned"
    if not choices:
        assert any(value_of(key, value) != entry.default for value in values[key]), f"{key} is only left at its default"


def value_of(key: str, text: str) -> object:
    tree = parse_override(f"{key}={text}")
    for name in key.split("."):
        tree = tree[name]
    return tree


def test_free_keys_are_turned_too():
    """Those below a block that takes any name."""
    assert {"Loss.auxiliary.sparse", "Arch.ratio"} <= turned().keys()


@pytest.mark.parametrize("readme", ["README.md", "README_zh.md"])
def test_every_override_of_the_readmes(readme):
    found = set(re.findall(r"-o ([\w.]+)=", (ROOT / readme).read_text(encoding="utf-8")))
    assert found
    assert found - README_KEYS <= turned().keys()


@pytest.fixture
def files(image_root, tmp_path, monkeypatch) -> dict[str, Path]:
    """A home folder, a module to import, lists of images and the names of their classes."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_things.py").touch()
    (tmp_path / "names.txt").write_text("dark\ngrey\nlight\n")
    for split in ("train", "eval"):
        lines = [
            f"{path.relative_to(image_root / split)} {label}\n"
            for label, name in enumerate(("dark", "grey", "light"))
            for path in sorted((image_root / split / name).iterdir())
        ]
        (tmp_path / f"{split}.txt").write_text("".join(lines))
    return {"folder": tmp_path, "root": image_root}


@pytest.mark.parametrize("name", TINY)
def test_runs_of_a_tiny_network(make_cfg, tiny_net, files, name):  # noqa: F811
    cfg = make_cfg(*overrides(TINY[name], **files))
    for word in overrides(TINY[name], **files):
        key, _, text = word.partition("=")
        assert cfg_value(cfg, key) == value_of(key, text.replace("~", str(files["folder"] / "home")))
    result = Trainer(cfg).train()
    states = ck.load_checkpoint(result.run_dir / "latest")[ck.STATES]
    assert states["epoch"] == cfg["Global"]["epochs"]
    assert evaluate_run(load_config(result.run_dir / "config.yaml"))["top1"] == result.best.score
    if name == "momentum and steps":
        assert result.run_dir == files["folder"] / "home" / "runs" / "other"
        assert {"epoch_1", "epoch_2", "latest", "best", "samples"} <= {path.name for path in result.run_dir.iterdir()}
        again = make_cfg(*overrides(FINE_TUNED, run=result.run_dir))
        assert "initial weights: " in (Trainer(again).train().run_dir / "train.log").read_text()


def cfg_value(cfg: dict, dotted: str) -> object:
    for name in dotted.split("."):
        cfg = cfg[name]
    return cfg


def test_a_run_of_a_network_that_samples(make_cfg):
    trainer = Trainer(make_cfg(*overrides(SAMPLED)))
    result = trainer.train()
    (sampler, *_) = [layer for layer in trainer.net.sublayers() if isinstance(layer, GumbelSampler)]
    assert float(sampler.cur_T) == pytest.approx(2.0)  # of the only step
    assert result.best is not None


def test_a_run_on_scenes(scenes, tmp_path):  # noqa: F811
    cfg = configuration(scenes, tmp_path / "output", *overrides(DEPTH))
    assert Trainer(cfg).train().best.score > 0


def test_published_weights_in_a_configuration(make_cfg, tmp_path):
    rng = np.random.default_rng(0)
    for label in range(10):
        (tmp_path / "ten" / str(label)).mkdir(parents=True)
        pixels = rng.integers(0, 256, (28, 28)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "ten" / str(label) / "0.png")
    data = [f"DataLoader.{split}.dataset.root={tmp_path / 'ten'}" for split in ("Train", "Eval")]
    cfg = make_cfg(*overrides(PRETRAINED), *data)
    assert evaluate_run(cfg)["samples"] == 10
