"""Export, and the check of what was exported; the engine's form where it is compiled, the stock one everywhere."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.nn import functional as F

import ppeffconv
from ppeffconv.deployed import precision
from ppeffconv.inference import exporter, verify
from ppeffconv.inference.exporter import export
from ppeffconv.inference.predictor import Predictor
from ppeffconv.inference.traced import Traced
from ppeffconv.ops import loader
from ppeffconv.utils.nested import leaves, structure

from ..deployed.networks import trained

SHAPE = (2, 9, 7)
FILES = ["manifest.json", "model.json", "model.pdiparams"]
engine = pytest.mark.skipif("deployed" not in loader.library().ops, reason="kernels not compiled")
FORMS = [pytest.param(True, marks=engine, id="engine"), pytest.param(False, id="stock")]
SMALL = {"num_classes": 5, "in_channels": 2}
METHODS = ["oct", "sp", "versatile", "ddf", "sampled"]
STOCK = ["oct"]  # the interpreter's trace of each method is tested in tests/deployed
CASES = [pytest.param(name, True, marks=engine) for name in METHODS] + [(name, False) for name in STOCK]


class Net(nn.Layer):
    """Nothing that has a deploy form; nearest interpolation, which oneDNN in Paddle Inference cannot do, dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2D(2, 4, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2D(4)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(4, 5)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        y = F.interpolate(F.relu(self.norm(self.conv(x))), size=paddle.shape(x)[2:], mode="nearest")
        return self.fc(self.drop(y.mean([2, 3])))


class Around(nn.Layer):
    """A user's own network around one that has a deploy form."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.body = small(name)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return F.softmax(self.body(x * 0.5)) + 1


def small(name: str = "resnet20", **options) -> nn.Layer:
    options |= {"eval_mode": "hard"} if name.startswith("sampled") else {}
    return trained(ppeffconv.create_model(name, **SMALL, **options), 2, (17, 15))


def images(batch: int, size: tuple[int, ...] = SHAPE[1:]) -> np.ndarray:
    return np.random.default_rng(9).standard_normal((batch, 2, *size)).astype("float32")


def assert_same(predictor: Predictor, net: nn.Layer, *shapes: tuple[int, tuple[int, int]], atol: float = 1e-4) -> None:
    net.eval()
    for batch, size in shapes:
        with paddle.no_grad():
            expected = net(paddle.to_tensor(images(batch, size))).numpy()
        np.testing.assert_allclose(predictor.run(images(batch, size)), expected, atol=atol * expected.std(), rtol=0)


def test_a_network_of_ones_own(tmp_path):
    net = Net()
    net.norm.eval()
    facts = {"class_names": ["ä", "b", "c", "d", "e"], "image_mode": "L", "transforms": ["ToArray"]}
    path = export(net, tmp_path / "new" / "net", SHAPE, deploy=False, info=facts)
    assert sorted(os.listdir(path)) == FILES
    assert (net.training, net.drop.training, net.norm.training) == (True, True, False)
    info = Predictor(path).info
    assert {key: info[key] for key in facts} == facts
    assert (info["input_shape"], info["engine"], info["returns"]) == ([2, 9, 7], False, "array")
    assert info["versions"]["paddle"] == paddle.__version__
    assert info["report"]["macs"] == ppeffconv.profile(net, SHAPE).macs
    assert_same(Predictor(path), net, (1, (9, 7)), (4, (9, 7)), (2, (14, 21)), atol=1e-5)
    assert info["smallest_size"] == [1, 1]
    assert_same(Predictor(path), net, (2, (1, 1)), (1, (8, 3)), atol=1e-5)


@pytest.mark.parametrize(("method", "deploy"), CASES)
def test_every_method_with_any_batch_and_size(tmp_path, method, deploy):
    net = small(f"{method}_resnet20")
    path = export(net, tmp_path / "net", (2, 17, 15), deploy, seed=3)
    predictor = Predictor(path, threads=2)
    expected = ppeffconv.deploy(net, seed=3, backend="reference") if method == "sampled" else net
    assert_same(predictor, expected, (1, (17, 15)), (3, (17, 15)), (2, (20, 33)))
    assert predictor.info["engine"] is deploy
    assert len(predictor.info["report"]["lowered"]) >= 3
    assert predictor.info["accuracy"]["error"] < 1e-4
    assert predictor.info["accuracy"]["images"] == 6


@pytest.mark.parametrize("deploy", FORMS)
def test_part_of_a_network(tmp_path, deploy):
    net = Around("sampled_resnet20")
    predictor = Predictor(export(net, tmp_path / "net", (2, 17, 15), deploy, measure=False))
    form = ppeffconv.deploy(net, backend="reference", measure=False)
    assert_same(predictor, form, (2, (18, 15)))
    assert predictor.info["report"]["lowered"][-1].startswith("  the network (Around)")
    assert next(iter(predictor.densities)) == "body.layer1.0.conv1_mask"
    assert list(predictor.densities.values()) == pytest.approx(list(form.body.densities.values()))


@pytest.mark.parametrize("deploy", FORMS)
def test_several_outputs(tmp_path, deploy):
    net = small(features_only=True)
    predictor = Predictor(export(net, tmp_path / "net", (2, 17, 15), deploy))
    expected = net(paddle.to_tensor(images(2)))
    got = predictor.run(images(2))
    assert len(got) == len(expected) > 1
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b.numpy(), atol=1e-4 * float(b.std()))


@engine
def test_densities_and_the_seed(tmp_path):
    net = small("sampled_resnet20")
    results = []
    for seed in (1, 2):
        predictor = Predictor(export(net, tmp_path / "net", (2, 17, 15), seed=seed))
        form = ppeffconv.deploy(net, seed=seed, backend="reference")
        assert_same(predictor, form, (2, (17, 15)))
        assert predictor.densities == pytest.approx(form.densities)
        assert predictor.info["seed"] == seed
        report = predictor.info["report"]
        assert report["macs_at_densities"] < report["macs"]
        results.append(predictor.run(images(2)))
    assert not np.allclose(*results)


@engine
def test_a_deployed_network_is_exported_as_it_is(tmp_path):
    net = small("oct_resnet20")
    form = ppeffconv.deploy(net)
    predictor = Predictor(export(form, tmp_path / "net", (2, 17, 15)))
    assert_same(predictor, net, (2, (18, 15)))
    assert predictor.info["programs"] == [form.uid]
    assert (form.backend, form.traced_backend, type(form)) == ("auto", "reference", ppeffconv.deployed.Deployed)


@engine
def test_bfloat16_tells_its_price(tmp_path):
    net = small()
    predictor = Predictor(export(net, tmp_path / "net", (2, 17, 15), dtype="bfloat16"))
    assert predictor.info["dtype"] == "bfloat16"
    assert 1e-4 < predictor.info["accuracy"]["error"] < 0.1
    assert 0 < predictor.info["accuracy"]["top1_agreement"] <= 1
    assert_same(predictor, net, (2, (18, 15)), atol=0.1)


def test_bfloat16_is_for_the_engine(tmp_path):
    with pytest.raises(ValueError, match="deploy=False needs dtype float32"):
        export(small(), tmp_path / "net", (2, 17, 15), deploy=False, dtype="bfloat16")
    with pytest.raises(ValueError, match="deploy=False needs dtype float32"):  # not float32 without a word
        export(nn.Sequential(nn.Conv2D(2, 3, 3), nn.Softplus()), tmp_path / "net", (2, 9, 9), False, dtype="bfloat16")
    with pytest.raises(ValueError, match="export: dtype must be one of float32, bfloat16, auto, got 'half'"):
        export(small(), tmp_path / "net", (2, 17, 15), deploy=False, dtype="half")
    with pytest.raises(ValueError, match=r"seed must be an integer in \[0, 2\^31\), got -1"):
        export(small(), tmp_path / "net", (2, 17, 15), deploy=False, seed=-1)


def test_fixed_size(tmp_path):
    class Flat(Net):
        def forward(self, x):
            return self.conv(x).reshape([x.shape[0], 4 * 5 * 4]) * 2

    with pytest.raises(RuntimeError, match=r"export\(..., fixed_size=True\)"):
        export(Flat(), tmp_path / "net", SHAPE, deploy=False)
    predictor = Predictor(export(Flat(), tmp_path / "net", SHAPE, deploy=False, fixed_size=True))
    assert predictor.run(images(3)).shape == (3, 80)
    with pytest.raises(ValueError, match=r"expected a float32 array \[N, 2, 9, 7\], got float32 \[3, 2, 9, 8\]"):
        predictor.run(images(3, (9, 8)))


def test_paddle_itself_loads_a_stock_export(tmp_path):
    net = small()
    path = export(net, tmp_path / "net", (2, 17, 15), deploy=False)
    loaded = paddle.jit.load(str(path / "model"))
    loaded.eval()
    got = loaded(paddle.to_tensor(images(2)))
    got = got[0] if isinstance(got, (list, tuple)) else got
    expected = net(paddle.to_tensor(images(2))).numpy()
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-4 * expected.std())


@pytest.mark.parametrize("deploy", FORMS)
def test_in_a_fresh_process(tmp_path, deploy):
    """The engine's form loads the compiled kernels, a stock export needs none."""
    net = small("oct_resnet20")
    path = export(net, tmp_path / "with space, ü", (2, 17, 15), deploy)
    np.save(tmp_path / "x.npy", images(2))
    script = (
        "import sys, numpy as np; from ppeffconv import Predictor\n"
        "np.save(sys.argv[3], Predictor(sys.argv[1]).run(np.load(sys.argv[2])))"
    )
    words = [sys.executable, "-W", "ignore", "-c", script, path, tmp_path / "x.npy", tmp_path / "y.npy"]
    subprocess.run(words, env={**os.environ, "PPEFFCONV_OPS": "auto" if deploy else "reference"}, check=True)
    expected = net(paddle.to_tensor(images(2))).numpy()
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), expected, atol=1e-4 * expected.std())


@engine
def test_the_engine_is_switched_off(tmp_path, monkeypatch):
    path = export(small(), tmp_path / "net", (2, 17, 15))
    monkeypatch.setenv("PPEFFCONV_OPS", "reference")
    with pytest.raises(RuntimeError, match=r"at .* needs the compiled engine, which is not here: PPEFFCONV_OPS"):
        Predictor(path)


def test_without_the_engine(tmp_path, monkeypatch):
    monkeypatch.setattr(loader, "_library", loader.Library(reason=f"nobody compiled it; {loader.HINT}"))
    with pytest.raises(RuntimeError, match=r"nobody compiled it; `python -m ppeffconv.ops build` .*deploy=False"):
        export(small(), tmp_path / "net", (2, 17, 15))
    assert not (tmp_path / "net").exists()


def test_a_difference_fails_and_keeps_the_earlier_export(tmp_path, monkeypatch):
    path = export(Net(), tmp_path / "net", SHAPE, deploy=False)
    before = (path / "model.pdiparams").read_bytes()

    class Wrong(Predictor):
        def run(self, images):
            result = super().run(images)
            return result * 1.001 if images.shape == (2, 2, 13, 13) else result

    monkeypatch.setattr(exporter, "Predictor", Wrong)
    with pytest.raises(RuntimeError, match=r"differs from the network by .* on images \[2, 2, 13, 13\]"):
        export(Net(), path, SHAPE, deploy=False)
    assert (path / "model.pdiparams").read_bytes() == before
    assert os.listdir(tmp_path) == ["net"]


def test_a_result_that_is_not_a_number_is_a_difference():
    net = Net()
    net.eval()
    check = verify.Check(net, net, SHAPE, fixed_size=True)
    with pytest.raises(RuntimeError, match="differs from the network by inf"):
        verify.compare(lambda x: np.full((len(x), 5), np.nan, "float32"), check, "it")
    with pytest.raises(RuntimeError, match="differs from the network by inf"):
        verify.compare(lambda x: np.zeros((len(x), 4), "float32"), check, "it")


def test_random_network_is_refused(tmp_path):
    class Noisy(Net):
        def forward(self, x):
            return super().forward(x) + paddle.rand([1])

    with pytest.raises(RuntimeError, match="two outputs for one input in eval mode"):
        export(Noisy(), tmp_path / "net", SHAPE, deploy=False)
    assert list(tmp_path.iterdir()) == []


def test_output_that_is_not_finite_is_refused(tmp_path):
    net = Net()
    net.fc.bias.set_value(paddle.full([5], float("nan")))
    with pytest.raises(RuntimeError, match="output for random images is not finite"):
        export(net, tmp_path / "net", SHAPE, deploy=False)


@pytest.mark.parametrize("shape", [(1, 8), (0, 8, 8), (2, 9.0, 7), (2, True, 7), (2, None, 7), "297", 9, None])
def test_bad_shape(tmp_path, shape):
    with pytest.raises(ValueError, match=r"input_shape must be \(C, H, W\), each an integer >= 1, got"):
        export(Net(), tmp_path / "net", shape)
    assert not (tmp_path / "net").exists()


def test_a_shape_in_numbers_of_numpy(tmp_path):
    for shape in (np.array(SHAPE), tuple(np.array(SHAPE))):
        path = export(Net(), tmp_path / "net", shape, deploy=False)
        assert Predictor(path).info["input_shape"] == list(SHAPE)


@pytest.mark.parametrize("deploy", FORMS)
@pytest.mark.parametrize("own", [True, False])
def test_the_wrong_number_of_channels(tmp_path, deploy, own):
    """The advice is not to fix the size."""
    with pytest.raises(RuntimeError, match=r"fails on images \[1, 3, 17, 15\]: .*(expects|weight|filter)") as caught:
        export(small() if own else Net(), tmp_path / "net", (3, 17, 15), deploy and own)
    for word in ("fixed_size", "raise ", "{", "/paddle/"):
        assert word not in str(caught.value)


KERNELS = [{"kernel_size": 4, "stride": 2}, {"kernel_size": 5, "stride": 2}, {"kernel_size": 8, "stride": 4}]


@pytest.mark.parametrize("kernel", KERNELS)
def test_behind_a_transposed_convolution(tmp_path, kernel):
    """Of an input whose size it does not know Paddle gives sizes of 0 and 1 to its output while a graph is traced."""
    layers = ppeffconv.layers
    net = trained(
        nn.Sequential(nn.Conv2DTranspose(2, 8, **kernel), layers.Conv2D(8, 8, 3), layers.SPConv2D(8, 8), nn.Softplus()),
        2,
        SHAPE[1:],
    )
    predictor = Predictor(export(net, tmp_path / "net", SHAPE, deploy=False))
    assert_same(predictor, net, (2, (9, 7)), (1, (14, 21)))
    assert not any(layer._forward_post_hooks for layer in net.sublayers())


class Nested(nn.Layer):
    """A network that returns what a dict, None and tuples hold."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2D(2, 4, 3, padding=1), nn.BatchNorm2D(4), nn.ReLU())
        self.kind = kind

    def forward(self, x):
        y = self.body(x)
        return {
            "dict": lambda: {"map": y, "logits": [y.mean([2, 3]), (y + 1, None)]},
            "none": lambda: (y, None),
            "nested": lambda: [y, (y + 1, y.mean([2, 3]))],
            "tuple": lambda: (y, y + 1),
            "twice": lambda: {"images": x, "maps": [y + 1, (y + 1, x), y, y]},
            "integers": lambda: (y, y.argmax(1)),
            "number": lambda: (y, 3.0),
            "nothing": lambda: None,
            "keys": lambda: {1: y},
        }[self.kind]()


@pytest.mark.parametrize("deploy", FORMS)
@pytest.mark.parametrize("kind", ["dict", "none", "nested", "tuple", "integers", "twice"])
def test_nested_outputs(tmp_path, kind, deploy):
    net = trained(Nested(kind), 2, SHAPE[1:])
    got = Predictor(export(net, tmp_path / "net", SHAPE, deploy, measure=False)).run(images(2))
    expected = net(paddle.to_tensor(images(2)))
    assert structure(got) == structure(expected)
    assert isinstance(got, dict if kind in ("dict", "twice") else list)
    for ours, theirs in zip(leaves(got), leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-4)


@pytest.mark.parametrize("deploy", FORMS)
@pytest.mark.parametrize(("kind", "what"), [("number", "float"), ("nothing", "nothing"), ("keys", "a dict whose keys")])
def test_outputs_that_are_no_tensors(tmp_path, kind, what, deploy):
    with pytest.raises(RuntimeError, match=f"the network returns {what}(, and an export only| are no strings)"):
        export(Nested(kind), tmp_path / "net", SHAPE, deploy)


def test_a_network_that_returns_its_input(tmp_path):
    predictor = Predictor(export(nn.Dropout(0.5), tmp_path / "net", SHAPE, deploy=False))
    np.testing.assert_array_equal(predictor.run(images(2)), images(2))


@pytest.mark.parametrize("file", ["model.json", "model.pdiparams"])
def test_what_paddle_could_not_write_whole(tmp_path, monkeypatch, file):
    """It does not say so where the disk is full."""
    real = Traced.save

    def save(self, prefix, *arguments):
        real(self, prefix, *arguments)
        os.truncate(prefix.parent / file, (prefix.parent / file).stat().st_size // 2)

    export(Net(), tmp_path / "net", SHAPE, deploy=False)
    monkeypatch.setattr(Traced, "save", save)
    with pytest.raises(RuntimeError, match="what was saved cannot be read back .* is the disk full"):
        export(Net(), tmp_path / "net", SHAPE, deploy=False)
    assert Predictor(tmp_path / "net").run(images(2)).shape == (2, 5)


def test_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert export(Net(), "~/net", SHAPE, deploy=False) == tmp_path / "net"
    assert Predictor("~/net").run(images(1)).shape == (1, 5)


def test_a_full_disk_is_not_the_networks_fault(tmp_path, monkeypatch):
    def save(*arguments, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(paddle.jit, "save", save)
    with pytest.raises(RuntimeError, match=r"no room to write .*net \(No space left on device\): nothing was exported"):
        export(Net(), tmp_path / "net", SHAPE, deploy=False)


def test_out_of_data_parallel(tmp_path):
    net = Net()
    assert_same(Predictor(export(paddle.DataParallel(net), tmp_path / "net", SHAPE, False)), net, (2, (9, 7)))


@engine
@pytest.mark.parametrize(("times", "faster"), [((1.0, 2.0), True), ((2.0, 1.0), False), ((1.0, 1.0), False)])
def test_of_a_network_in_parts_the_faster_form_is_saved(tmp_path, monkeypatch, times, faster):
    monkeypatch.setattr(exporter, "race", lambda *runs: [run() for run in runs] and times)
    net = Around("oct_resnet20")
    predictor = Predictor(export(net, tmp_path / "net", (2, 17, 15)))
    assert_same(predictor, net, (2, (18, 15)))
    assert predictor.info["engine"] is faster
    assert predictor.info["report"]["measured"].endswith(
        f"{times[0]:.2f} ms with programs, {times[1]:.2f} ms by Paddle's own operators"
    )
    assert sorted(os.listdir(tmp_path / "net")) == FILES


@engine
def test_auto_is_the_faster_type(tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "bfloat16_gain", lambda: 2.0)
    assert Predictor(export(small(), tmp_path / "net", (2, 17, 15), dtype="auto")).info["dtype"] == "bfloat16"
    stock = export(small(), tmp_path / "stock", (2, 17, 15), deploy=False, dtype="auto")
    assert Predictor(stock).info["dtype"] == "float32"


@engine
def test_a_network_without_a_deploy_form(tmp_path):
    with pytest.raises(ValueError, match=r"no part of the network has a deploy form.* deploy=False\) takes"):
        export(Net(), tmp_path / "net", SHAPE)


def test_facts_that_nobody_reads(tmp_path):
    with pytest.raises(ValueError, match="info must be a dict, got list"):
        export(Net(), tmp_path / "net", SHAPE, deploy=False, info=["transforms"])
    with pytest.raises(ValueError, match="info may hold transforms, image_mode, class_names, got dtype"):
        export(Net(), tmp_path / "net", SHAPE, deploy=False, info={"dtype": 1})


def test_the_manifest_is_readable(tmp_path):
    path = export(Net(), tmp_path / "net", SHAPE, deploy=False)
    text = (path / "manifest.json").read_text()
    assert json.loads(text)["report"]["lowered"] == ["nothing was lowered: Paddle's own operators run it"]
    assert str(tmp_path) not in text
