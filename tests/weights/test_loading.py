"""Strict loading, and the authors' key layouts."""

from __future__ import annotations

import logging

import numpy as np
import paddle
import pytest

import ppeffconv
from ppeffconv.layers import OctConvBNAct, SampledBottleneck, SPConv2D
from ppeffconv.weights import SOURCES, load_reference, load_weights, reference_keys

SP = "qiulinzhang/SPConv.pytorch"
SAMPLING = "zdaxie/SpatiallyAdaptiveInference-Detection"


def authors_state(net):
    """What the authors' framework would have saved for ``net``."""
    linear = {f"{n}.weight" for n, layer in net.named_sublayers() if isinstance(layer, paddle.nn.Linear)}
    state = {}
    for key, tensor in net.state_dict().items():
        array = tensor.numpy().T if key in linear else tensor.numpy()
        state[key.replace("._mean", ".running_mean").replace("._variance", ".running_var")] = array
        if key.endswith("_mean"):
            state[key.replace("._mean", ".num_batches_tracked")] = np.array(7)
    return state


def same(a, b):
    return all((x == y).all() for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.mark.parametrize("prefix", ["", "module.", "1.", "module.1."])
def test_a_network_survives_the_round_trip(prefix):
    theirs, ours = (ppeffconv.create_model("sp_resnet20", num_classes=3) for _ in range(2))
    state = {prefix + key: value for key, value in authors_state(theirs).items()}
    load_reference(ours, {"epoch": 3, "state_dict": state}, SP)
    assert same(theirs, ours)


class Torchlike:
    """Stands for a torch tensor: detach, cpu, float, numpy."""

    def __init__(self, array):
        self.array, self.shape = array, array.shape

    def detach(self):
        return self

    cpu = float = detach

    def numpy(self):
        return self.array.astype("float32")


def test_half_precision_and_torch_tensors():
    theirs, ours = SPConv2D(4, 4), SPConv2D(4, 4)
    state = {k: Torchlike(v.astype("float16")) for k, v in authors_state(theirs).items() if "num_batches" not in k}
    load_reference(ours, state, SP)
    np.testing.assert_allclose(ours.gwc.weight.numpy(), theirs.gwc.weight.numpy(), rtol=1e-3)
    assert ours.gwc.weight.dtype == paddle.float32


def test_gluon_names():
    theirs, ours = OctConvBNAct(8, 8, 3, padding=1), OctConvBNAct(8, 8, 3, padding=1)
    renamed = {
        k.replace("bn_h.weight", "bn_h.gamma").replace("bn_h.bias", "bn_h.beta"): v
        for k, v in authors_state(theirs).items()
    }
    load_reference(ours, renamed, "facebookresearch/OctConv")
    assert same(theirs, ours)


def test_sampling_scalars(caplog):
    block = SampledBottleneck(32, 8)
    state = authors_state(block)
    for key in ("conv1_sigma", "conv2_sigma"):
        state[key] = np.float32(2.5)
    state["conv1_gumbel.cur_T"] = np.array(0.3, "float32")
    del state["conv2_gumbel.cur_T"]
    with caplog.at_level(logging.WARNING, logger="ppeffconv"):
        logging.getLogger("ppeffconv").propagate = True
        load_reference(block, state, SAMPLING)
    assert block.conv1_sigma.item() == 2.5
    assert abs(block.conv1_gumbel.cur_T.item() - 0.3) < 1e-6
    assert "conv2_gumbel.cur_T" in caplog.text


def test_everything_that_does_not_fit_is_listed_and_nothing_changes():
    net = SPConv2D(4, 4)
    state = authors_state(net)
    del state["gwc.weight"]
    state["extra.weight"] = np.zeros(3)
    state["pwc.weight"] = np.zeros((4, 3, 1, 1))
    before = net.conv1x1.weight.numpy().copy()
    state["conv1x1.weight"] = before + 1
    with pytest.raises(ValueError, match="1 missing: gwc.weight") as error:
        load_reference(net, state, SP)
    assert "1 unexpected: extra.weight" in str(error.value)
    assert "pwc.weight: got [4, 3, 1, 1], expected [4, 2, 1, 1]" in str(error.value)
    assert (net.conv1x1.weight.numpy() == before).all()


def test_a_checkpoint_of_another_net():
    state = authors_state(ppeffconv.create_model("resnet20", num_classes=3))
    with pytest.raises(ValueError, match="does not fit ResNet"):
        load_reference(ppeffconv.create_model("sp_resnet20", num_classes=3), state, SP)


def test_unknown_source():
    with pytest.raises(ValueError, match="Did you mean 'qiulinzhang/SPConv.pytorch'"):
        load_reference(SPConv2D(4, 4), {}, "qiulinzhang/SPConv")
    assert len(SOURCES) == 7


def test_reference_keys():
    keys = reference_keys(SPConv2D(4, 4), authors_state(SPConv2D(4, 4)), SP)
    assert keys["bn1.running_mean"] == "bn1._mean"
    assert "bn1.num_batches_tracked" not in keys


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x80\x04garbage"])
def test_damaged_files_are_named(content, tmp_path):
    path = tmp_path / "broken.pdparams"
    path.write_bytes(content)
    with pytest.raises(RuntimeError, match=r"broken\.pdparams"):
        load_weights(SPConv2D(4, 4), path)


def test_a_file_of_something_else(tmp_path):
    path = tmp_path / "list.pdparams"
    paddle.save([1, 2], str(path))
    with pytest.raises(ValueError, match="expected a mapping"):
        load_weights(SPConv2D(4, 4), path)
