"""Pairs of image and depth: scenes, NYU's file, and the transforms that keep both together."""

from __future__ import annotations

import shutil
import sys
from types import SimpleNamespace

import numpy as np
import paddle
import pytest
from PIL import Image

from ppeffconv.config import load_config
from ppeffconv.data import NYUv2, SceneDepth, UnreadableImageError, build_dataset, build_loader, build_transforms
from ppeffconv.data.depth_transforms import point_sample
from ppeffconv.engine.depth import evaluate_depth

from .scenes.conftest import garment_root, scenes  # noqa: F401 - fixtures


def test_scenes(scenes):  # noqa: F811
    data = build_dataset({"name": "SceneDepth", "root": str(scenes)}, train=False)
    assert len(data) == 3
    assert len(SceneDepth(str(scenes))) == 4
    image, depth = data[2]
    assert (image.shape, image.dtype, depth.shape, depth.dtype) == ((61, 83, 3), np.uint8, (61, 83), np.float32)
    millimetres = np.asarray(Image.open(scenes / "depth" / "val" / "000002.png"))
    np.testing.assert_allclose(depth, millimetres / 1000, rtol=1e-6)
    np.testing.assert_array_equal(image, np.asarray(Image.open(scenes / "images" / "val" / "000002.jpg")))


@pytest.mark.parametrize("kind", ["images", "depth"])
@pytest.mark.parametrize("content", [b"", None])
def test_a_pair_that_cannot_be_read(scenes, tmp_path, kind, content):  # noqa: F811
    root = tmp_path / "scenes"
    shutil.copytree(scenes, root)
    for split in ("train", "val"):
        file = next((root / kind / split).glob("000001.*"))
        file.write_bytes(file.read_bytes()[:200] if content is None else content)
    name = str(root / "images" / "val" / "000001.jpg")
    data = SceneDepth(str(root), train=False)
    with pytest.raises(UnreadableImageError, match="cannot read .*000001"):
        data[1]
    assert data.broken == [name]
    training = SceneDepth(str(root))
    for ours, next_one in zip(training[1], training[2]):
        np.testing.assert_array_equal(ours, next_one)
    assert len(training.broken) == 1


def test_an_evaluation_of_pairs_that_cannot_be_read():
    class Loader(list):
        dataset = SimpleNamespace(broken=["a.jpg"])

    batch = [paddle.zeros([4, 4, 20, 20]), paddle.zeros([4, 1, 20, 20])]
    net = paddle.nn.Conv2D(4, 1, 1)
    assert evaluate_depth(net, Loader([batch] * 25)) | {"rmse": 0} == {"rmse": 0, "samples": 100, "broken": 1}
    with pytest.raises(ValueError, match=r"1 of the 97 evaluation samples cannot be read, such as a\.jpg"):
        evaluate_depth(net, Loader([batch] * 24))


def test_no_scenes(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="make them with `python tools/make_scenes.py --output"):
        SceneDepth(str(tmp_path))
    monkeypatch.setenv("PPEFFCONV_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=f"no scenes in {tmp_path / 'scenes'}"):
        SceneDepth()


@pytest.fixture
def nyu(tmp_path):
    """A file of the real one's layout: columns first, 1003 pairs of 6x5 pixels."""
    h5py = pytest.importorskip("h5py")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (1003, 6, 5, 3), dtype=np.uint8)
    depths = rng.uniform(0.7, 9.9, (1003, 6, 5)).astype(np.float32)
    with h5py.File(tmp_path / "nyu_depth_v2_labeled.mat", "w") as file:
        file["images"] = images.transpose(0, 3, 2, 1)
        file["depths"] = depths.transpose(0, 2, 1)
    return tmp_path, images, depths


def test_nyu(nyu):
    root, images, depths = nyu
    train, test = NYUv2(str(root)), NYUv2(str(root / "nyu_depth_v2_labeled.mat"), train=False)
    assert (len(train), len(test)) == (1000, 3)
    for data, index, place in ((train, 0, 0), (train, 999, 999), (test, 0, 1000), (test, 2, 1002)):
        image, depth = data[index]
        np.testing.assert_array_equal(image, images[place])
        np.testing.assert_array_equal(depth, depths[place])


@pytest.mark.parametrize("workers", [0, 2])
def test_nyu_in_a_loader(nyu, workers):
    root, images, depths = nyu
    data = {"name": "NYUv2", "root": str(root)}
    block = {"dataset": data, "transforms": ["RandomFlipPair", {"PointSampledPair": {"scale": 2}}], "batch_size": 2}
    cfg = {"Global": {"seed": 1}, "DataLoader": {"Eval": {**block, "num_workers": workers}}}
    x, target = next(iter(build_loader(cfg, "Eval")))
    assert (x.shape, target.shape) == ([2, 4, 6, 5], [2, 1, 6, 5])
    for i in range(2):
        flip = -1 if not np.array_equal(target[i, 0].numpy(), depths[1000 + i]) else 1
        np.testing.assert_array_equal(target[i, 0].numpy(), depths[1000 + i][:, ::flip])
        np.testing.assert_allclose(x[i, :3].numpy(), images[1000 + i][:, ::flip].transpose(2, 0, 1) / 255, rtol=1e-6)


def test_no_nyu(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="download nyu_depth_v2_labeled.mat"):
        NYUv2(str(tmp_path))
    (tmp_path / "nyu_depth_v2_labeled.mat").write_bytes(b"not HDF5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(RuntimeError, match="pip install"):
        NYUv2(str(tmp_path))


def test_damaged_nyu(nyu, tmp_path):
    h5py = pytest.importorskip("h5py")
    path = nyu[0] / "nyu_depth_v2_labeled.mat"
    short = tmp_path / "short.mat"
    short.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match="short.mat is damaged"):
        NYUv2(str(short))
    with h5py.File(tmp_path / "other.mat", "w") as file:
        file["images"] = np.zeros((4, 3, 5, 6), np.uint8)
    with pytest.raises(ValueError, match="other.mat has no depths"):
        NYUv2(str(tmp_path / "other.mat"))
    shutil.copy(tmp_path / "other.mat", tmp_path / "third.mat")
    with h5py.File(tmp_path / "third.mat", "a") as file:
        file["depths"] = np.zeros((4, 6, 5), np.float32)
    with pytest.raises(ValueError, match=r"expected images \[N, 3, W, H\] and depths \[N, W, H\]"):
        NYUv2(str(tmp_path / "third.mat"))


@pytest.mark.parametrize(("scale", "height", "width"), [(2, 6, 8), (4, 8, 12), (4, 9, 6), (8, 7, 17), (16, 3, 33)])
def test_point_sampling(scale, height, width):
    depth = np.arange(height * width, dtype=np.float32).reshape(height, width)
    low = point_sample(depth, scale)
    assert low.shape == (-(-height // scale), -(-width // scale))
    padded = np.pad(depth, ((0, -height % scale), (0, -width % scale)), mode="edge")
    for row in range(low.shape[0]):
        for column in range(low.shape[1]):
            block = padded[row * scale : (row + 1) * scale, column * scale : (column + 1) * scale]
            assert low[row, column] == block[(scale - 1) // 2, (scale - 1) // 2]


def test_input_and_target():
    rng = np.random.default_rng(0)
    image, depth = rng.integers(0, 256, (9, 11, 3), dtype=np.uint8), rng.random((9, 11)).astype(np.float32)
    x, target = build_transforms([{"PointSampledPair": {"scale": 4}}])((image, depth))
    np.testing.assert_array_equal(target, depth[None])
    np.testing.assert_allclose(x[:3], image.transpose(2, 0, 1) / 255, rtol=1e-6)
    for row in range(9):
        for column in range(11):
            assert x[3, row, column] == point_sample(depth, 4)[row // 4, column // 4]


def test_crops_and_flips_move_both_alike():
    image = np.arange(20 * 30 * 3).reshape(20, 30, 3) % 251
    pair = image.astype(np.uint8), image[..., 0].astype(np.float32)
    steps = build_transforms([{"RandomCropPair": {"size": 8}}, "RandomFlipPair", {"PointSampledPair": {"scale": 1}}])
    seen = set()
    for _ in range(30):
        x, target = steps(pair)
        assert x.shape == (4, 8, 8)
        np.testing.assert_allclose(x[0] * 255, target[0], atol=1e-4)
        seen.add(tuple(target[0, 0]))
    assert len(seen) > 20


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        (["RandomFlipPair"], "must end in ToArray.*or in PointSampledPair; got RandomFlipPair"),
        ([{"PointSampledPair": {"scale": 0}}], "scale must be at least 1"),
        ([{"RandomCropPair": {"size": 0}}], "size must be at least 1"),
    ],
)
def test_unfit_transforms(specs, message):
    with pytest.raises(ValueError, match=message):
        build_transforms(specs)


def test_a_crop_larger_than_the_image():
    steps = build_transforms([{"RandomCropPair": {"size": 9}}, {"PointSampledPair": {"scale": 4}}])
    with pytest.raises(ValueError, match="RandomCropPair failed on an image of 10x8: .*smaller than the crop of 9x9"):
        steps((np.zeros((8, 10, 3), np.uint8), np.zeros((8, 10), np.float32)))


def test_the_published_configurations_follow_the_protocol():
    for scale in (4, 8, 16):
        cfg = load_config(f"configs/upsampling/ddf_up_net_nyuv2_x{scale}.yaml")
        assert cfg["Optimizer"]["lr"] == 1e-4
        assert cfg["Optimizer"]["schedule"]["milestones"] == [1000, 1350]
        assert cfg["DataLoader"]["Train"]["transforms"][0] == {"RandomCropPair": {"size": 256}}
        assert cfg["DataLoader"]["Train"]["batch_size"] == 8
