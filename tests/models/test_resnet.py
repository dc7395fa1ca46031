"""ResNets of every method: shapes, gradients, features, strides, initialisation, export."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

import ppeffconv
from ppeffconv.models import ResNet

PREFIXES = ["", "oct_", "sp_", "versatile_", "learned_versatile_", "ddf_", "sampled_", "gated_", "ghost_", "het_"]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_cifar_net_trains_on_an_odd_size(prefix):
    net = ppeffconv.create_model(f"{prefix}resnet20", num_classes=5, in_channels=1)
    y = net(paddle.randn([2, 1, 15, 17]))
    assert y.shape == [2, 5]
    loss = paddle.nn.functional.cross_entropy(y, paddle.to_tensor([1, 3]))
    sum(net.auxiliary_losses().values(), loss).backward()
    silent = [n for n, p in net.named_parameters() if not p.stop_gradient and p.grad is None]
    assert silent == []


@pytest.mark.parametrize("prefix", PREFIXES)
def test_imagenet_features(prefix):
    depth = 50 if prefix in ("oct_", "ddf_", "versatile_", "sampled_") else 18
    net = ppeffconv.create_model(f"{prefix}resnet{depth}", features_only=True, out_indices=(1, 3))
    net.eval()
    with paddle.no_grad():
        maps = net(paddle.randn([1, 3, 65, 63]))
    assert [m.shape[1] for m in maps] == list(net.feature_channels)
    assert list(net.feature_strides) == [4, 16]
    assert [m.shape[2:] for m in maps] == [[-(-65 // s), -(-63 // s)] for s in net.feature_strides]


@pytest.mark.parametrize(("output_stride", "size"), [(8, 8), (16, 4), (32, 2)])
@pytest.mark.parametrize("prefix", ["", "oct_", "sp_", "ddf_", "sampled_"])
def test_output_stride(prefix, output_stride, size):
    net = ppeffconv.create_model(f"{prefix}resnet50", features_only=True, output_stride=output_stride)
    net.eval()
    with paddle.no_grad():
        maps = net(paddle.randn([1, 3, 64, 64]))
    assert maps[-1].shape[2:] == [size, size]
    assert net.feature_strides[-1] == output_stride


def test_dilated_stages_follow_the_usual_rule():
    """The first block of a dilated stage keeps the dilation of the stage before it."""
    net = ppeffconv.create_model("resnet50", output_stride=8)
    assert [block.conv2._dilation[0] for block in net.layer3] == [1] + [2] * 5
    assert [block.conv2._dilation[0] for block in net.layer4] == [2, 4, 4]


def test_initialisation():
    """Kaiming normal, fan out; BatchNorm 1 and 0; the mask branches of sampling untouched."""
    net = ppeffconv.create_model("sampled_resnet50")
    weight = net.layer3[0].conv2.weight
    np.testing.assert_allclose(weight.numpy().std(), np.sqrt(2 / (256 * 9)), rtol=0.02)
    assert (net.layer1[0].conv1_mask.weight.numpy() == 0).all()
    assert net.layer1[0].conv1_mask.bias.item() == 3
    plain = ppeffconv.create_model("resnet18", zero_init_residual=True)
    assert all((block.bn2.weight.numpy() == 0).all() for stage in (plain.layer1, plain.layer4) for block in stage)
    octave = ppeffconv.create_model("oct_resnet26", zero_init_residual=True)
    assert (octave.layer1[0].conv3.bn_l.weight.numpy() == 0).all()


@pytest.mark.parametrize("name", ["resnet18", "oct_resnet26", "sampled_resnet18"])
def test_a_network_is_made_before_its_memory(name):
    """As large networks are, under `paddle.LazyGuard`."""
    with paddle.LazyGuard():
        net = ppeffconv.create_model(name, num_classes=3, width=8, zero_init_residual=True)
    for parameter in net.parameters():
        parameter.initialize()
    net.eval()
    assert np.isfinite(net(paddle.randn([2, 3, 32, 32])).numpy()).all()
    last = net.layer1[0].conv3.bn_l if name.startswith("oct") else net.layer1[0].bn2
    assert (last.weight.numpy() == 0).all()


def test_same_seed_gives_the_same_network():
    def weights():
        paddle.seed(3)
        return [p.numpy() for p in ppeffconv.create_model("sp_resnet20", num_classes=10).parameters()]

    assert all((a == b).all() for a, b in zip(weights(), weights()))


def test_input_scale_is_uniform_sampling():
    net = ppeffconv.create_model("uniform_resnet20", num_classes=3, scale=0.5)
    full = ppeffconv.profile(ppeffconv.create_model("resnet20", num_classes=3), (3, 32, 32)).macs
    assert 0.2 < ppeffconv.profile(net, (3, 32, 32)).macs / full < 0.3


@pytest.mark.parametrize("name", ["oct_resnet20", "versatile_resnet20", "ddf_resnet20", "sampled_resnet20"])
def test_traced_network_gives_the_same_numbers(name, tmp_path):
    arguments = {"eval_mode": "deterministic"} if name.startswith("sampled") else {}
    net = ppeffconv.create_model(name, num_classes=4, **arguments)
    net.eval()
    spec = [paddle.static.InputSpec([None, 3, 15, 17], "float32")]
    paddle.jit.save(net, str(tmp_path / "net"), input_spec=spec)
    loaded = paddle.jit.load(str(tmp_path / "net"))
    for batch in (1, 3):
        x = paddle.randn([batch, 3, 15, 17])
        np.testing.assert_allclose(loaded(x).numpy(), net(x).numpy(), rtol=1e-5, atol=1e-5)


def test_works_inside_paddle_model():
    model = paddle.Model(ppeffconv.create_model("sp_resnet20", num_classes=3))
    optimizer = paddle.optimizer.Adam(3e-4, parameters=model.parameters())
    model.prepare(optimizer, paddle.nn.CrossEntropyLoss(), paddle.metric.Accuracy())
    images, labels = paddle.randn([4, 3, 16, 16]), paddle.to_tensor([[0], [1], [2], [0]])
    data = paddle.io.TensorDataset([images, labels])
    model.fit(data, epochs=1, batch_size=2, verbose=0)
    assert np.isfinite(model.evaluate(data, batch_size=2, verbose=0)["loss"][0])
    assert model.predict(data, batch_size=4, verbose=0)[0][0].shape == (4, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"output_stride": 4}, "output_stride must be 8, 16 or 32"),
        ({"out_indices": (1,)}, "features_only=True"),
        ({"out_indices": (5,), "features_only": True}, "increasing stage numbers"),
        ({"out_indices": (), "features_only": True}, "increasing stage numbers"),
        ({"num_classes": 0}, "num_classes must be a positive integer"),
        ({"stem": "none"}, "stem must be"),
        ({"stem": "cifar", "output_stride": 8}, "CIFAR net"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ResNet((1, 1, 1, 1), bottleneck=False, width=8, **arguments)


def test_octave_needs_some_high_frequency():
    with pytest.raises(ValueError, match=r"alpha in \[0, 1\)"):
        ppeffconv.create_model("oct_resnet20", alpha=1.0)
    with pytest.raises(ValueError, match="expects input"):
        ppeffconv.create_model("oct_resnet20")(paddle.randn([1, 1, 8, 8]))


def test_octave_alpha_zero_has_no_low_groups():
    net = ppeffconv.create_model("oct_resnet20", alpha=0, num_classes=2)
    assert not [n for n, _ in net.named_parameters() if "l2" in n or "bn_l" in n]
    assert net(paddle.randn([1, 3, 16, 16])).shape == [1, 2]


@pytest.mark.parametrize("name", ["resnet18", "oct_resnet18", "sampled_resnet50", "ddf_resnet50", "resnet20"])
def test_width_of_the_first_stage(name):
    net = ppeffconv.create_model(name, width=8, features_only=True)
    expansion = 4 if name.endswith("50") else 1
    assert list(net.feature_channels) == [8 * expansion * 2**i for i in range(len(net.feature_channels))]
    assert [f.shape[1] for f in net(paddle.randn([1, 3, 37, 41]))] == list(net.feature_channels)


def test_width_must_be_positive():
    with pytest.raises(ValueError, match="positive"):
        ppeffconv.create_model("resnet18", width=0)
