"""Bad images, labels and lists: each is converted, skipped with a count, or named in an error."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from .conftest import SIZE, dataset


def open_set(data, split="train", **changes):
    from paddleseg.datasets import Dataset
    from paddleseg.transforms import Normalize

    from ppeffconv.integrations.ppseg.reading import check_dataset

    block = dataset(data, split) | {"transforms": [Normalize()]} | changes
    block.pop("type")
    return check_dataset(Dataset(**block), split == "train", data / "skipped.txt")


def test_good_data_are_as_paddleseg_reads_them(data):
    from paddleseg.datasets import Dataset
    from paddleseg.transforms import Normalize

    block = dataset(data, "val") | {"transforms": [Normalize()]}
    block.pop("type")
    theirs, ours = Dataset(**block)[0], open_set(data, "val")[0]
    assert np.array_equal(theirs["img"], ours["img"])
    assert np.array_equal(theirs["label"], ours["label"])
    assert ours["label"].dtype == np.uint8


def test_grey_palette_transparent_and_deep_images(data):
    from ppeffconv.integrations.ppseg.reading import read_image

    colour = Image.open(data / "train0.png")
    grey = colour.convert("L")
    grey.save(data / "grey.png")
    deep = np.asarray(grey).astype(np.uint16) * 256 + 77
    Image.fromarray(deep).save(data / "deep.png")
    opaque = Image.merge("RGBA", [*colour.split(), Image.new("L", colour.size, 9)])
    opaque.save(data / "rgba.png")
    grey.convert("P").save(data / "palette.png")
    expected = np.repeat(np.asarray(grey)[..., None], 3, axis=2)
    for name in ("grey", "deep", "palette"):
        assert np.array_equal(read_image(str(data / f"{name}.png"), 3), expected)
        assert np.array_equal(read_image(str(data / f"{name}.png"), 1), np.asarray(grey))
    assert np.array_equal(read_image(str(data / "rgba.png"), 3)[..., ::-1], np.asarray(colour))


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("name", ["train1.png", "train1_labels.png"])
def test_a_truncated_file_is_skipped_in_training_with_a_count(data, name, capsys):
    from ppeffconv.integrations.ppseg.reading import skipped

    truncate(data / name)
    samples = open_set(data)
    assert np.array_equal(samples[1]["img"], samples[2]["img"])  # the next one stands in for it
    samples[1]
    assert capsys.readouterr().out.count("skipped: cannot read") == 1
    (line,) = skipped(data / "skipped.txt")
    assert name in line


def test_nothing_readable(data):
    for i in range(4):
        truncate(data / f"train{i}.png")
    with pytest.raises(RuntimeError, match="none of the 4 samples can be read"):
        open_set(data)[0]


def test_a_truncated_file_stops_an_evaluation(data):
    truncate(data / "val1.png")
    with pytest.raises(ValueError, match="cannot read image .*val1.png"):
        open_set(data, "val")[1]


def test_missing_files(data, capsys):
    (data / "train0.png").unlink()
    (data / "train2_labels.png").unlink()
    assert len(open_set(data)) == 2
    assert "2 of the files that the list of the train set names are missing" in capsys.readouterr().out
    (data / "val3.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of the files .* val set names are missing: .*val3.png. Paths are"):
        open_set(data, "val")


def test_labels_beyond_the_classes(data):
    labels = np.asarray(Image.open(data / "train0_labels.png")).copy()
    labels[0, 0] = 255  # ignored, and fine
    Image.fromarray(labels).save(data / "train0_labels.png")
    assert open_set(data)[0]["label"][0, 0] == 255
    labels[0, 1:3] = 17
    Image.fromarray(labels).save(data / "train0_labels.png")
    with pytest.raises(ValueError, match=r"train0_labels.png has the values \[17\], .*num_classes is 3: 0 to 2\)"):
        open_set(data)[0]


def test_colour_labels(data):
    Image.open(data / "train0.png").save(data / "train0_labels.png")
    with pytest.raises(ValueError, match=r"train0_labels.png is a colour image \[64, 64, 3\]"):
        open_set(data)[0]


def test_image_and_label_of_two_sizes(data):
    Image.new("L", (SIZE, SIZE - 1)).save(data / "train0_labels.png")
    with pytest.raises(ValueError, match=r"train0.png has 64x64, .*train0_labels.png 64x63"):
        open_set(data)[0]


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_arrives_through_the_loader(data, workers):
    """Paddle's own loader waits for ever without workers, and speaks of a queue with them."""
    from paddle.io import BatchSampler

    from ppeffconv.integrations.ppseg.loading import Loader

    samples = open_set(data, num_classes=2)
    with pytest.raises(ValueError, match="which are neither a class"):
        list(Loader(samples, batch_sampler=BatchSampler(samples, batch_size=2), num_workers=workers))


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_are_paddles_own(data, workers):
    from paddle.io import BatchSampler, DataLoader

    from ppeffconv.integrations.ppseg.loading import Loader

    samples = open_set(data)
    ours, theirs = (
        list(kind(samples, batch_sampler=BatchSampler(samples, batch_size=2), num_workers=workers))
        for kind in (Loader, DataLoader)
    )
    assert len(ours) == len(theirs) == 2
    for a, b in zip(ours, theirs):
        assert a.keys() == b.keys()
        assert np.array_equal(a["img"].numpy(), b["img"].numpy())
        assert np.array_equal(a["label"].numpy(), b["label"].numpy())


def test_images_of_several_sizes_need_a_transform(data):
    from paddle.io import BatchSampler

    from ppeffconv.integrations.ppseg.loading import Loader

    for name in ("train0.png", "train0_labels.png"):
        Image.open(data / name).crop((0, 0, 40, 40)).save(data / name)
    samples = open_set(data)
    with pytest.raises(ValueError, match=r"images of a batch differ in size \(3x40x40, 3x64x64\)"):
        list(Loader(samples, batch_sampler=BatchSampler(samples, batch_size=2)))
