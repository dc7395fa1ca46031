"""Batches: the same for any number of workers and after a resume; errors reach the caller."""

from __future__ import annotations

import random

import numpy as np
import paddle
import pytest
from PIL import Image

from ppeffconv.data import ArrayDataset, EpochBatchSampler, Loader, TransformedDataset, build_loader, build_transforms

AUGMENT = [
    {"RandomCrop": {"size": 8, "padding": 2}},
    {"RandomResizedCrop": {"size": 8}},
    "RandomHorizontalFlip",
    {"RandomRotation": {"degrees": 10}},
    "ToArray",
]


def config(num_workers=0, transforms=AUGMENT, **dataset):
    dataset = dataset or {"name": "Digits", "size": 8}
    block = {"dataset": dataset, "transforms": transforms, "batch_size": 100, "num_workers": num_workers}
    return {"Global": {"seed": 5}, "DataLoader": {"Train": block | {"drop_last": False}, "Eval": block}}


def load(loader, epoch=0, start_step=0):
    loader.batch_sampler.set_epoch(epoch, start_step)
    return [(images.numpy(), labels.numpy()) for images, labels in loader]


def assert_same(batches, others):
    assert len(batches) == len(others)
    for (images, labels), (other_images, other_labels) in zip(batches, others, strict=True):
        np.testing.assert_array_equal(images, other_images)
        np.testing.assert_array_equal(labels, other_labels)


def test_is_paddles_loader_with_our_parts():
    loader = build_loader(config(), "Train")
    assert isinstance(loader, paddle.io.DataLoader)
    assert isinstance(loader.batch_sampler, EpochBatchSampler)
    assert isinstance(loader.dataset, TransformedDataset)
    assert (loader.dataset.num_classes, loader.dataset.image_mode, loader.dataset.broken) == (10, "L", [])
    assert len(loader) == 15
    images, labels = next(iter(loader))
    assert images.shape == [100, 1, 8, 8]
    assert images.dtype == paddle.float32
    assert labels.shape == [100]
    assert labels.dtype == paddle.int64


@pytest.mark.parametrize("split", ["Train", "Eval"])
def test_workers_change_nothing(split):
    assert_same(load(build_loader(config(0), split), epoch=3), load(build_loader(config(2), split), epoch=3))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_resuming_gives_the_same_remaining_batches(num_workers):
    whole = load(build_loader(config(num_workers), "Train"), epoch=2)
    assert_same(load(build_loader(config(num_workers), "Train"), epoch=2, start_step=12), whole[12:])


def test_epochs_differ_in_order_and_augmentation():
    dataset = build_loader(config(), "Train").dataset
    assert not np.array_equal(dataset[0, 3][0], dataset[1, 3][0])
    np.testing.assert_array_equal(dataset[1, 3][0], dataset[1, 3][0])
    np.testing.assert_array_equal(dataset[3][0], dataset[0, 3][0])
    first, second = (np.concatenate([labels for _, labels in load(build_loader(config(), "Train"), e)]) for e in (0, 1))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(np.sort(first), np.sort(second))


def test_the_seed_matters():
    other = config()
    other["Global"]["seed"] = 6
    assert not np.array_equal(build_loader(config(), "Train").dataset[3][0], build_loader(other, "Train").dataset[3][0])


def test_global_generators_are_left_as_found():
    dataset = build_loader(config(), "Train").dataset
    random.seed(1)
    np.random.seed(1)
    expected = random.random(), np.random.rand()
    random.seed(1)
    np.random.seed(1)
    dataset[0, 1]
    list(build_loader(config(), "Train"))
    assert (random.random(), np.random.rand()) == expected


def test_processes_share_the_evaluation():
    labels = [load(build_loader(config(), "Eval", rank, 3)) for rank in range(3)]
    counts = [sum(len(label) for _, label in batches) for batches in labels]
    assert counts == [120] * 3
    whole = np.concatenate([label for _, label in load(build_loader(config(), "Eval"))])
    for rank in range(3):
        np.testing.assert_array_equal(np.concatenate([label for _, label in labels[rank]]), whole[rank::3])


def test_training_and_evaluation_use_their_parts():
    assert len(build_loader(config(), "Train").dataset) == 1437
    assert len(build_loader(config(), "Eval").dataset) == 360


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_error_in_a_sample_reaches_the_caller(num_workers):
    loader = build_loader(config(num_workers, [{"RandomCrop": {"size": 20}}, "ToArray"]), "Train")
    with pytest.raises(ValueError, match="transform RandomCrop failed on an image of 8x8"):
        list(loader)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_images_of_different_sizes(tmp_path, num_workers):
    for number, size in enumerate([(8, 8), (8, 9)]):
        (tmp_path / "class").mkdir(exist_ok=True)
        Image.new("RGB", size).save(tmp_path / "class" / f"{number}.png")
    cfg = config(num_workers, ["ToArray"], name="ImageFolder", root=str(tmp_path))
    with pytest.raises(ValueError, match=r"differ in size \(3x8x8, 3x9x8\).*`Resize: {size: \[H, W\]}`"):
        list(build_loader(cfg, "Eval"))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_broken_images_are_counted_whoever_loads_them(tmp_path, num_workers):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8), (9, 9, 9)).save(tmp_path / name / "0.png")
    (tmp_path / "a" / "1.png").write_bytes(b"no image")
    cfg = config(num_workers, ["ToArray"], name="ImageFolder", root=str(tmp_path))
    cfg["DataLoader"]["Eval"]["transforms"] = [{"Resize": {"size": [8, 8]}}, "ToArray"]
    loader = build_loader(cfg, "Eval")
    ((images, labels),) = load(loader)
    assert labels.tolist() == [0, 1]
    assert images.reshape(2, -1).max(1).tolist() == pytest.approx([9 / 255, 9 / 255])
    assert loader.dataset.broken == [str(tmp_path / "a" / "1.png")]


def test_a_batch_of_which_nothing_can_be_read_is_left_out(tmp_path):
    (tmp_path / "a").mkdir()
    for number in range(5):
        Image.new("RGB", (8, 8)).save(tmp_path / "a" / f"{number}.png")
    for number in (0, 1, 2):
        (tmp_path / "a" / f"{number}.png").write_bytes(b"")
    cfg = config(0, ["ToArray"], name="ImageFolder", root=str(tmp_path))
    cfg["DataLoader"]["Eval"]["batch_size"] = 2
    loader = build_loader(cfg, "Eval")
    assert [len(labels) for _, labels in load(loader)] == [1, 1]
    assert [index for index, _ in loader.dataset.readable(9)] == [3, 4]
    assert [index for index, _ in loader.dataset.readable(1)] == [3]
    for number in (3, 4):
        (tmp_path / "a" / f"{number}.png").write_bytes(b"")
    with pytest.raises(ValueError, match="none of the 5 samples can be read, such as .*0.png"):
        next(loader.dataset.readable(1))


@pytest.mark.parametrize(
    ("transforms", "problem"),
    [
        (
            [{"RandomCrop": {"size": 20}}],
            "the crop of 20x20 does not fit into 8x8.*Resize: {size: .20, 20.}.*pad_if_needed",
        ),
        (["RandomCropPair"], "transform RandomCropPair"),
    ],
)
def test_a_transform_that_fails_names_the_file(tmp_path, transforms, problem):
    (tmp_path / "a").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "a" / "0.png")
    transforms = [{"RandomCropPair": {"size": 4}} if step == "RandomCropPair" else step for step in transforms]
    cfg = config(0, [*transforms, "ToArray"], name="ImageFolder", root=str(tmp_path))
    with pytest.raises(ValueError, match=f"0.png: .*{problem}"):
        list(build_loader(cfg, "Train"))


def test_works_in_paddle_model():
    images = np.random.RandomState(0).randint(0, 256, (12, 4, 4, 1)).astype(np.uint8)
    dataset = TransformedDataset(ArrayDataset(images, np.arange(12) % 3, "abc"), build_transforms(["ToArray"]))
    loader = Loader(dataset, EpochBatchSampler(12, 5, shuffle=False, drop_last=False, seed=0, pad=False))
    model = paddle.Model(paddle.nn.Sequential(paddle.nn.Flatten(), paddle.nn.Linear(16, 3)))
    model.prepare(loss=paddle.nn.CrossEntropyLoss(), metrics=paddle.metric.Accuracy())
    result = model.evaluate(loader, verbose=0)
    predicted = model.network(paddle.to_tensor(images.reshape(12, 1, 4, 4) / np.float32(255))).argmax(-1).numpy()
    assert result["acc"] == pytest.approx(np.mean(predicted == np.arange(12) % 3))


def test_iterating_leaves_numpys_generator_alone():
    for workers in (0, 2):
        np.random.seed(3)
        loader = build_loader(config(num_workers=workers), "Eval")
        list(loader)
        assert np.random.random() == np.random.RandomState(3).random_sample()
