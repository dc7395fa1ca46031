"""The task of depth upsampling: its error and loss by hand, and a whole training on tiny scenes."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
import yaml
from paddle import nn

from ppeffconv.config import load_config
from ppeffconv.engine import checkpoint as ck
from ppeffconv.engine.depth import DepthLoss, evaluate_depth, rmse
from ppeffconv.engine.trained import evaluate_run
from ppeffconv.engine.trainer import Trainer
from ppeffconv.models import BicubicUpsampling

from ..data.scenes.conftest import garment_root, scenes  # noqa: F401 - fixtures


def pair(batch=3, height=20, width=25):
    rng = np.random.default_rng(1)
    return (rng.uniform(1, 4, (batch, 1, height, width)).astype(np.float32) for _ in range(2))


def by_hand(prediction, target):
    """In cm, one image and pixel at a time, 6 pixels from the border and more."""
    errors = []
    for image, truth in zip(prediction[:, 0].astype(float), target[:, 0]):
        rows, columns = range(6, image.shape[0] - 6), range(6, image.shape[1] - 6)
        squares = [(image[i, j] - truth[i, j]) ** 2 for i in rows for j in columns]
        errors.append(100 * np.sqrt(np.mean(squares)))
    return errors


def test_rmse():
    prediction, target = pair()
    got = rmse(paddle.to_tensor(prediction), paddle.to_tensor(target)).numpy()
    np.testing.assert_allclose(got, by_hand(prediction, target), rtol=1e-5)
    changed = prediction.copy()
    changed[:, :, :6] = changed[:, :, -6:] = 99
    changed[..., :6] = changed[..., -6:] = 99
    np.testing.assert_array_equal(rmse(paddle.to_tensor(changed), paddle.to_tensor(target)).numpy(), got)


@pytest.mark.parametrize(("height", "width"), [(12, 40), (40, 12)])
def test_nothing_but_border(height, width):
    x = paddle.zeros([1, 1, height, width])
    with pytest.raises(ValueError, match=f"{height}x{width} are nothing but their border"):
        rmse(x, x)


@pytest.mark.parametrize("scale", [2, 4])
def test_loss(scale):
    prediction, target = pair(2, 20, 24)
    first = {2: 0, 4: 1}[scale]
    expected = []
    for image, truth in zip(prediction[:, 0].astype(float), target[:, 0]):
        low = truth[first::scale, first::scale]
        expected.append((((image - truth) / (low.max() - low.min())) ** 2)[6:-6, 6:-6].mean())
    got = DepthLoss(scale)(paddle.to_tensor(prediction), paddle.to_tensor(target))
    assert float(got) == pytest.approx(np.mean(expected), rel=1e-5)


def test_loss_of_an_even_depth_is_finite():
    x = paddle.full([1, 1, 16, 16], 2.0)
    assert float(DepthLoss(4)(x + 1, x)) == pytest.approx(1)


def test_evaluation_is_the_mean_over_images():
    class Third(nn.Layer):
        def forward(self, x):
            assert not self.training
            return x[:, 3:]

    prediction, target = pair(5)
    x = np.concatenate([np.zeros((5, 3, 20, 25), np.float32), prediction], axis=1)
    batches = [(paddle.to_tensor(x[i : i + 2]), paddle.to_tensor(target[i : i + 2])) for i in (0, 2, 4)]
    net = Third()
    result = evaluate_depth(net, batches)
    assert net.training
    assert result == {"rmse": pytest.approx(np.mean(by_hand(prediction, target)), rel=1e-5), "samples": 5}
    with pytest.raises(ValueError, match="nothing to evaluate"):
        evaluate_depth(net, [])


def configuration(root, output, *overrides):
    """Four scenes in batches of 2, small crops and a narrow network."""

    def split(*more):
        data = {"name": "SceneDepth", "root": str(root)}
        return {"dataset": data, "transforms": [*more, {"PointSampledPair": {"scale": 4}}], "batch_size": 2}

    tree = {
        "Global": {"task": "depth_upsampling", "epochs": 4, "output_dir": str(output), "log_interval": 1},
        "Arch": {"name": "ddf_up_net", "scale": 4, "channels": 8, "guide_channels": 4},
        "Optimizer": {"name": "Adam", "lr": 0.01, "weight_decay": 0},
        "DataLoader": {"Train": split({"RandomCropPair": {"size": 32}}, "RandomFlipPair"), "Eval": split()},
    }
    path = output.parent / "depth.yaml"
    path.write_text(yaml.safe_dump(tree))
    return load_config(path, overrides)


def test_training(scenes, tmp_path):  # noqa: F811
    trainer = Trainer(configuration(scenes, tmp_path / "output"))
    before = evaluate_depth(trainer.net, trainer.eval_loader)["rmse"]
    result = trainer.train()
    assert result.best.score < 0.7 * before
    names = {".lock", "best", "config.yaml", "latest", "samples", "train.log", "vdl"}
    assert {path.name for path in result.run_dir.iterdir()} == names
    assert {path.name for path in result.samples_dir.iterdir()} == {
        f"{i}_{k}.png" for i in range(3) for k in ("image", "depth")
    }
    log = (result.run_dir / "train.log").read_text()
    scores = [float(line.split("rmse ")[1].split(" ")[0]) for line in log.splitlines() if "evaluation after" in line]
    assert len(scores) == 4
    assert result.best.score == pytest.approx(min(scores), abs=1e-3)
    assert result.task.describe(result.best.score) == f"RMSE {result.best.score:.2f} cm"
    again = evaluate_run(load_config(result.run_dir / "config.yaml"))
    assert again == {"rmse": result.best.score, "samples": 3}


def test_a_resumed_run_equals_an_uninterrupted_one(scenes, tmp_path):  # noqa: F811
    whole = Trainer(configuration(scenes, tmp_path / "a", "Optimizer.schedule.name=Constant")).train()
    Trainer(configuration(scenes, tmp_path / "b", "Global.epochs=2", "Optimizer.schedule.name=Constant")).train()
    rest = Trainer(configuration(scenes, tmp_path / "b", "Optimizer.schedule.name=Constant")).train(resume="auto")
    first, second = (ck.load_checkpoint(run.run_dir / "latest")[ck.PARAMS] for run in (whole, rest))
    for name in first:
        np.testing.assert_array_equal(np.asarray(first[name]), np.asarray(second[name]))
    assert rest.best == whole.best


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("Arch.scale=8", "upsamples by 8, but DataLoader.Eval.transforms samples by 4"),
        ("Global.task=classification", "needs images with classes, which SceneDepth does not give"),
        ("Global.task=depth", "Global.task must be one of classification, depth_upsampling"),
    ],
)
def test_what_does_not_fit(scenes, tmp_path, override, message):  # noqa: F811
    with pytest.raises(ValueError, match=message):
        Trainer(configuration(scenes, tmp_path / "output", override))


def test_images_are_no_pairs(make_cfg):
    with pytest.raises(ValueError, match="needs pairs of image and depth, which ImageFolder does not give"):
        Trainer(make_cfg("Global.task=depth_upsampling"))


def test_bicubic_interpolation_on_scenes(scenes, tmp_path):  # noqa: F811
    """The error of what does not learn is of the right order: edges of some 20 cm on 4 m of depth."""
    trainer = Trainer(configuration(scenes, tmp_path / "output"))
    assert 2 < evaluate_depth(BicubicUpsampling(4), trainer.eval_loader)["rmse"] < 20
