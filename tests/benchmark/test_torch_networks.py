"""The peer's networks compute what ours compute: same weights, same logits."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import nn

from ppeffconv import create_model
from ppeffconv.benchmark import environment
from ppeffconv.benchmark.train_rows import train_rows
from ppeffconv.layers import set_eval_mode

PEER = Path(environment.__file__).parent
SCRIPT = """
import sys
import numpy as np, torch
from peers.networks import create_model
for name in sys.argv[2:]:
    values = dict(np.load(f"{sys.argv[1]}/{name}.npz"))
    images = torch.from_numpy(values.pop("images"))
    net = create_model(name, 10).eval()
    state = {key: torch.from_numpy(value) for key, value in values.items()}
    missing, unexpected = net.load_state_dict(state, strict=False)
    assert not unexpected and all(key.endswith("num_batches_tracked") for key in missing), (missing, unexpected)
    with torch.no_grad():
        np.save(f"{sys.argv[1]}/{name}.npy", net(images).numpy())
"""
NAMES = {"_mean": "running_mean", "_variance": "running_var"}


@pytest.mark.skipif(environment.find_python() is None, reason="the benchmark's PyTorch environment has not been made")
def test_same_weights_give_the_same_logits(tmp_path):
    names = [row.name for row in train_rows() if row.name != "resnet18"]
    expected = {name: _randomised(name, tmp_path / f"{name}.npz") for name in names}
    command = [str(environment.find_python()), "-c", SCRIPT, str(tmp_path), *names]
    result = subprocess.run(command, env={"PYTHONPATH": str(PEER)}, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    for name, logits in expected.items():
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), logits, rtol=2e-3, atol=2e-3, err_msg=name)


def _randomised(name: str, path: Path) -> np.ndarray:
    """Logits of one of our networks with random masks and statistics; its weights and the images go into ``path``."""
    net = create_model(name, num_classes=10)
    set_eval_mode(net, "deterministic")
    state, transposed = {}, {f"{key}.weight" for key, layer in net.named_sublayers() if isinstance(layer, nn.Linear)}
    for key, value in net.state_dict().items():
        if "_mask" in key:
            value.set_value(paddle.randn(value.shape) * 0.3)
        elif key.endswith(("_mean", "_variance")):
            value.set_value(paddle.uniform(value.shape, min=0.5, max=1.0))
        elif key.endswith("cur_T"):
            continue
        head, _, last = key.rpartition(".")
        array = value.numpy()
        state[f"{head}.{NAMES.get(last, last)}".lstrip(".")] = array.T if key in transposed else array
    images = paddle.randn([2, 3, 33, 33])
    np.savez(path, images=images.numpy(), **state)
    net.eval()
    with paddle.no_grad():
        return net(images).numpy()
