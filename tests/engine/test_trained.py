"""From a run's folder to evaluation, export and prediction."""

from __future__ import annotations

import logging
import shutil

import numpy as np
import paddle
import pytest

from ppeffconv.config import load_config
from ppeffconv.engine.evaluator import describe_result
from ppeffconv.engine.trained import evaluate_run, export_run, load_network, network_parts
from ppeffconv.engine.trainer import Trainer
from ppeffconv.inference.exporter import export
from ppeffconv.inference.images import exported_parts, find_images, predict_images
from ppeffconv.inference.predictor import Predictor
from ppeffconv.utils import logger


@pytest.fixture
def run(make_cfg, tiny_net):
    return Trainer(make_cfg("Global.epochs=2")).train()


def test_export_and_network_predict_the_same_without_the_data(run, image_root, tmp_path):
    cfg = load_config(run.run_dir / "config.yaml", ["DataLoader.Eval.dataset.root=gone"])
    path = export_run(cfg)
    assert path == run.run_dir / "export"
    files = find_images(image_root / "eval")
    results = [predict_images(files=files, **parts).guesses for parts in (network_parts(cfg), exported_parts(path))]
    assert len(results[0]) == 9
    for file, guesses in results[0].items():
        assert [g.class_name for g in guesses] == [g.class_name for g in results[1][file]]
        np.testing.assert_allclose([g.score for g in guesses], [g.score for g in results[1][file]], rtol=1e-4)


def test_predictions_are_those_of_the_evaluation(run, image_root):
    cfg = load_config(run.run_dir / "config.yaml")
    guesses = predict_images(files=find_images(image_root / "eval"), **network_parts(cfg)).guesses
    right = np.mean([best[0].class_name in file.split("/") for file, best in guesses.items()])
    assert right == pytest.approx(evaluate_run(cfg)["top1"])


def test_input_shape_from_the_configuration(run):
    cfg = load_config(run.run_dir / "config.yaml", ["Export.input_shape=[1, 12, 10]"])
    assert exported_parts(export_run(cfg, run.run_dir / "x"))["input_shape"] == [1, 12, 10]


def test_lone_weight_file_takes_the_facts_from_the_data(run, tmp_path, caplog):
    logger.close()  # the run's log, so that caplog hears what comes
    load_network(load_config(run.run_dir / "config.yaml"))
    assert "class names" not in caplog.text
    weights = tmp_path / "alone.pdparams"
    weights.write_bytes((run.run_dir / "best" / "model.pdparams").read_bytes())
    parts = network_parts(load_config(run.run_dir / "config.yaml"), weights)
    assert "alone.pdparams has no class names" in caplog.text
    assert parts["class_names"] == ["dark", "grey", "light"]
    assert parts["input_shape"] == [1, 8, 8]


def test_which_weights(run, make_cfg, tmp_path):
    own = load_config(run.run_dir / "config.yaml")
    elsewhere = make_cfg(f"Global.pretrained_model={run.run_dir / 'best'}")
    one, two = (load_network(cfg)[0].fc.weight.numpy() for cfg in (own, elsewhere))
    np.testing.assert_array_equal(one, two)
    other = tmp_path / "other.pdparams"
    state = load_network(own)[0].state_dict()
    state["fc.weight"] = paddle.zeros_like(state["fc.weight"])
    paddle.save(state, str(other))
    assert not load_network(own, other)[0].fc.weight.numpy().any()
    with pytest.raises(ValueError, match=r"no weights: .*Give --weights PATH"):
        load_network(make_cfg())
    with pytest.raises(FileNotFoundError, match="no weights at"):
        load_network(own, tmp_path / "none.pdparams")


def test_checkpoint_of_another_net(run, make_cfg):
    cfg = load_config(run.run_dir / "config.yaml", ["Arch.num_classes=4"])
    with pytest.raises(ValueError, match=r"does not fit .* misshapen: fc\.weight: got \[4, 3\], expected \[4, 4\]"):
        evaluate_run(cfg)


def test_export_without_facts_cannot_be_asked_about_images(run, tmp_path):
    net, _ = load_network(load_config(run.run_dir / "config.yaml"))
    with pytest.raises(ValueError, match="exported without transforms"):
        exported_parts(export(net, tmp_path / "bare", (1, 8, 8), deploy=False))


def test_without_the_engine_the_export_is_a_stock_one(run, monkeypatch, caplog):
    monkeypatch.setenv("PPEFFCONV_OPS", "reference")
    monkeypatch.setattr(logging.getLogger("ppeffconv"), "propagate", True)
    cfg = load_config(run.run_dir / "config.yaml")
    assert Predictor(export_run(cfg)).info["engine"] is False
    assert "a stock export, which is slower: PPEFFCONV_OPS=reference switches it off" in caplog.text


@pytest.mark.parametrize("change", ["renamed", "added", "reordered"])
def test_class_names_are_those_of_the_weights_or_an_error(run, image_root, tmp_path, change):
    root = tmp_path / "data"
    shutil.copytree(image_root / "eval", root)
    options = [f"DataLoader.Eval.dataset.root={root}"]
    said = "the evaluation data 3, and only .*best has dark and only the evaluation data has pale"
    if change == "renamed":
        (root / "dark").rename(root / "pale")
    elif change == "added":
        shutil.copytree(root / "light", root / "medium")
        said = "the evaluation data 4, and only the evaluation data has medium"
    else:
        options += ["DataLoader.Eval.dataset.class_names=[light, dark, grey]"]
        said = "the evaluation data 3, and their order differs: class 0 is dark there and light here"
    cfg = load_config(run.run_dir / "config.yaml", options)
    for use in (load_network, evaluate_run, export_run, network_parts):
        with pytest.raises(ValueError, match=rf"has 3 classes and {said}.*class_names, or train anew"):
            use(cfg, weights=run.run_dir / "best")


def broken(root, count):
    """Add copies of a good evaluation image and as many empty files as asked for."""
    for number in range(200):
        shutil.copy(root / "dark" / "0.png", root / "dark" / f"good{number}.png")
    for number in range(count):
        (root / "dark" / f"bad{number}.png").write_bytes(b"")


@pytest.mark.parametrize("workers", [0, 2])
def test_evaluation_of_what_cannot_be_read(run, image_root, tmp_path, workers):
    root = tmp_path / "data"
    shutil.copytree(image_root / "eval", root)
    options = [f"DataLoader.Eval.dataset.root={root}", f"DataLoader.Eval.num_workers={workers}"]
    cfg = load_config(run.run_dir / "config.yaml", options)
    broken(root, 2)
    result = evaluate_run(cfg)
    assert (result["samples"], result["broken"]) == (209, 2)
    assert describe_result(result).endswith("| samples 209 | broken 2")
    broken(root, 3)
    with pytest.raises(ValueError, match=r"3 of the 212 evaluation samples cannot be read, such as .*bad0.png.*1 %"):
        evaluate_run(cfg)
    for file in root.rglob("*.png"):
        file.write_bytes(b"")
    with pytest.raises(ValueError, match="none of the 212 samples can be read"):
        evaluate_run(cfg)
