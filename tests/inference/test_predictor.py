"""The predictor: its input, threads, memory and versions."""

from __future__ import annotations

import ctypes
import gc
import json
import re
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import paddle
import pytest
from paddle import nn

import ppeffconv
from ppeffconv.inference import bundle, exporter
from ppeffconv.inference.exporter import export
from ppeffconv.inference.predictor import Predictor
from ppeffconv.utils import runtime

from ..deployed.networks import trained
from .test_exporter import FORMS, engine, images, small

SIDE = (17, 15)
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return export(small(), tmp_path_factory.mktemp("export") / "net", (2, *SIDE), deploy=False)


def test_input_is_checked(folder):
    predictor = Predictor(folder)
    for wrong in (images(1).astype("float64"), images(1)[:, :1], images(1)[0], [1.0]):
        with pytest.raises(ValueError, match=r"expected a float32 array \[N, 2, H, W\], got"):
            predictor.run(wrong)
    for wrong, advice in ((images(1).astype("int64"), "astype"), (paddle.to_tensor(images(1)), "numpy()")):
        with pytest.raises(ValueError, match=rf"got .*: .*images\.{re.escape(advice)}"):
            predictor.run(wrong)
    with pytest.raises(ValueError, match="empty batch"):
        predictor.run(images(0))
    with pytest.raises(ValueError, match="at least 1x1, got 0x7"):
        predictor.run(images(2)[:, :, :0])
    for bad in (np.nan, np.inf):
        spoilt = images(2)
        spoilt[1, 0, 3, 2] = bad
        with pytest.raises(ValueError, match="NaN or infinity"):
            predictor.run(spoilt)
    strided = np.ascontiguousarray(images(2).transpose(0, 1, 3, 2)).transpose(0, 1, 3, 2)
    np.testing.assert_array_equal(predictor.run(strided), predictor.run(images(2)))


def test_number_of_threads(folder):
    for threads in (1, 2):
        assert np.isfinite(Predictor(folder, threads).run(images(1))).all()
    assert np.isfinite(Predictor(folder, np.int64(1)).run(images(1))).all()
    for wrong in (0, -1, 1.5, 2.0, "2", True, [2], 100_000):
        with pytest.raises(ValueError, match=r"threads must be an integer >= 1 and <= 1024, or None .* got"):
            Predictor(folder, threads=wrong)


def test_other_work_keeps_its_threads(folder):
    openmp = ctypes.CDLL(str(Path(paddle.__file__).parent / "libs" / "libiomp5.so"))
    runtime.restore_threads()
    before = openmp.omp_get_max_threads()
    Predictor(folder, threads=before + 1).run(images(1))
    assert openmp.omp_get_max_threads() == before


@pytest.mark.parametrize("deploy", FORMS)
def test_images_that_are_too_small(tmp_path, deploy):
    """Paddle would go on with maps of no height, or of -1."""
    net = nn.Sequential(nn.Conv2D(2, 3, 3, stride=2), nn.BatchNorm2D(3), nn.ReLU(), nn.Conv2D(3, 3, (3, 1)))
    predictor = Predictor(export(net, tmp_path / "net", (2, 9, 9), deploy))
    assert predictor.info["smallest_size"] == [7, 2]  # of which Paddle makes one window
    for size in ((6, 9), (9, 1), (1, 1)):
        with pytest.raises(ValueError, match=f"expected images of at least 7x2, got {size[0]}x{size[1]}"):
            predictor.run(images(1, size))
    net.eval()
    expected = net(paddle.to_tensor(images(1, (7, 3)))).numpy()
    np.testing.assert_allclose(predictor.run(images(1, (7, 3))), expected, atol=1e-5)
    with pytest.raises(ValueError, match="the input is too small"):
        export(net, tmp_path / "net", (2, 6, 9), deploy)


class Parts(nn.Layer):
    """A network in parts, which shrinks its maps: convolutions without padding, and pooling by a function."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2D(2, 4, 3, stride=2), nn.BatchNorm2D(4), nn.ReLU())
        self.last = nn.Conv2D(4, 3, (3, 1))

    def forward(self, x):
        return nn.functional.max_pool2d(self.last(self.stem(x) * 2), (2, 1), stride=1)


@pytest.mark.parametrize("deploy", FORMS)
def test_a_network_in_parts_takes_smaller_images(tmp_path, deploy):
    net = trained(Parts(), 2, (21, 19))
    predictor = Predictor(export(net, tmp_path / "net", (2, 21, 19), deploy, measure=False))
    assert predictor.info["engine"] is deploy
    assert predictor.info["smallest_size"] == [9, 2]
    for size in ((9, 2), (9, 3), (10, 19), (21, 4)):
        expected = net(paddle.to_tensor(images(2, size))).numpy()
        np.testing.assert_allclose(predictor.run(images(2, size)), expected, atol=1e-4)
    for size in ((8, 19), (21, 1)):
        with pytest.raises(ValueError, match=f"expected images of at least 9x2, got {size[0]}x{size[1]}"):
            predictor.run(images(1, size))


def test_a_smaller_image_that_gives_other_numbers_is_not_offered(tmp_path, monkeypatch):
    monkeypatch.setattr(exporter, "smallest_size", lambda form, shape: [1, 1])
    net = trained(Parts(), 2, (21, 19))
    predictor = Predictor(export(net, tmp_path / "net", (2, 21, 19), deploy=False))
    assert predictor.info["smallest_size"] == [21, 19]


def test_a_result_that_is_not_a_number(tmp_path):
    net = nn.Sequential(nn.Conv2D(2, 3, 1), nn.BatchNorm2D(3), nn.ReLU())
    predictor = Predictor(export(net, tmp_path / "net", (2, 9, 9), deploy=False))
    predictor._outputs[0] = SimpleNamespace(copy_to_cpu=lambda: np.array([1, np.nan], "float32"))
    with pytest.raises(RuntimeError, match=r"failed on images \[1, 2, 9, 7\] \(its output is NaN\)"):
        predictor.run(images(1))


@pytest.mark.parametrize("deploy", FORMS)
def test_a_predictor_for_each_of_several_threads(tmp_path, deploy):
    """Batches and sizes of their own for each thread, several networks at once; every result is the sequential one."""
    names = ("oct_resnet20", "sampled_resnet20") if deploy else ("sp_resnet20",)
    folders = [export(small(name), tmp_path / name, (2, *SIDE), deploy) for name in names]
    jobs = [(folder, images(1 + i % 3, (17 + 2 * i, 15 + i))) for i in range(3) for folder in folders]
    expected = [Predictor(folder, 1).run(x) for folder, x in jobs]
    results: dict[int, list[np.ndarray]] = {i: [] for i in range(len(jobs))}
    start = threading.Barrier(len(jobs))

    def work(i: int) -> None:
        predictor = Predictor(jobs[i][0], 1)
        start.wait()
        for _ in range(10):
            results[i].append(predictor.run(jobs[i][1]))

    _in_threads(work, len(jobs))
    for i, arrays in results.items():
        assert len(arrays) == 10
        for array in arrays:
            np.testing.assert_array_equal(array, expected[i])


@pytest.mark.parametrize("deploy", FORMS)
def test_one_predictor_in_several_threads(tmp_path, deploy):
    """Not faster, but never the answer to another thread's images."""
    predictor = Predictor(export(small("sampled_resnet20"), tmp_path / "net", (2, *SIDE), deploy), 1)
    inputs = [images(1 + i, (17, 15 + i)) for i in range(3)]
    expected = [predictor.run(x) for x in inputs]
    wrong: list[int] = []

    def work(i: int) -> None:
        for _ in range(10):
            got = predictor.run(inputs[i])
            if got.shape != expected[i].shape or not np.array_equal(got, expected[i]):
                wrong.append(i)

    _in_threads(work, len(inputs))
    assert wrong == []


def _in_threads(work, count: int) -> None:
    threads = [threading.Thread(target=work, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("deploy", FORMS)
def test_memory_is_given_back(tmp_path, deploy):
    """20 MB of weights, which the engine packs once more."""
    net = nn.Sequential(nn.Conv2D(2, 768, 1), nn.Conv2D(768, 768, 3, stride=8), nn.BatchNorm2D(768), nn.ReLU())
    path = export(net, tmp_path / "net", (2, 9, 9), deploy)
    sizes = []
    for _ in range(6):
        predictor = Predictor(path, 1)
        predictor.run(images(1, (9, 9)))
        del predictor
        gc.collect()
        sizes.append(_resident())
    assert sizes[-1] - sizes[1] < 30 * MEGABYTE


def _resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@engine
def test_a_predictor_survives_the_end_of_another(tmp_path):
    path = export(small(), tmp_path / "net", (2, *SIDE))
    one, two = Predictor(path), Predictor(path)
    expected = one.run(images(2))
    del one
    gc.collect()
    np.testing.assert_array_equal(two.run(images(2)), expected)


def _edit(folder: Path, change) -> None:
    """Change the manifest of a folder, and seal it again."""
    manifest = json.loads((folder / bundle.MANIFEST).read_text())
    change(manifest)
    manifest["sha256"] = bundle._digest(manifest)
    (folder / bundle.MANIFEST).write_text(json.dumps(manifest))


def test_another_version_is_refused(tmp_path):
    path = export(small(), tmp_path / "net", (2, *SIDE), deploy=False)
    _edit(path, lambda m: m["versions"].update(paddle="2.6.2"))
    with pytest.raises(RuntimeError, match=f"was exported with Paddle 2.6.2, here is {paddle.__version__}"):
        Predictor(path)
    _edit(path, lambda m: m["versions"].update(paddle=paddle.__version__.rpartition(".")[0] + ".99"))
    Predictor(path)
    _edit(path, lambda m: m.update(format=9))
    with pytest.raises(RuntimeError, match="has format 9, this ppeffconv reads format 1"):
        Predictor(path)


@engine
def test_a_program_of_another_version_is_refused(tmp_path):
    path = export(small(), tmp_path / "net", (2, *SIDE))
    _edit(path, lambda m: m["versions"].update(program=99))
    with pytest.raises(RuntimeError, match="holds a deployed program of version 99"):
        Predictor(path)


def test_a_changed_file_is_refused(tmp_path):
    path = export(small(), tmp_path / "net", (2, *SIDE), deploy=False)
    weights = bytearray((path / bundle.PARAMETERS).read_bytes())
    weights[len(weights) // 2] ^= 1
    (path / bundle.PARAMETERS).write_bytes(weights)
    with pytest.raises(RuntimeError, match=r"model\.pdiparams is not what was exported"):
        ppeffconv.Predictor(path)
    with pytest.raises(FileNotFoundError, match=r"no exported network at .*nowhere"):
        Predictor(path / "nowhere")
