"""The peer's networks compute what ours compute: same weights, same logits."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from benchmarks.speed import environment
from benchmarks.speed.deploy_rows import NETWORKS
from benchmarks.speed.model_files import torch_weights
from benchmarks.speed.train_rows import train_rows
from ppeffconv import create_model
from ppeffconv.layers import set_eval_mode

PEER = Path(environment.__file__).parent
SCRIPT = """
import json, sys
import numpy as np, torch
from peers.networks import create_model
for name, model, options in json.loads(sys.argv[2]):
    values = dict(np.load(f"{sys.argv[1]}/{name}.npz"))
    images = torch.from_numpy(values.pop("images"))
    net = create_model(model, 10, **options).eval()
    state = {key: torch.from_numpy(value) for key, value in values.items()}
    missing, unexpected = net.load_state_dict(state, strict=False)
    assert not unexpected and all(key.endswith("num_batches_tracked") for key in missing), (missing, unexpected)
    with torch.no_grad():
        np.save(f"{sys.argv[1]}/{name}.npy", net(images).numpy())
"""


@pytest.mark.skipif(environment.find_python() is None, reason="the peers' environment has not been made")
def test_same_weights_give_the_same_logits(tmp_path):
    cases = [(row.name, row.name, {}, {}) for row in train_rows() if row.name != "resnet18"]
    cases += [(name, net.model, net.options, net.peer_options) for name, net in NETWORKS.items() if net.options]
    expected = {name: _randomised(model, options, tmp_path / f"{name}.npz") for name, model, options, _ in cases}
    twins = json.dumps([(name, model, options) for name, model, _, options in cases])
    command = [str(environment.find_python()), "-c", SCRIPT, str(tmp_path), twins]
    result = subprocess.run(command, env={"PYTHONPATH": str(PEER)}, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    for name, logits in expected.items():
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), logits, rtol=2e-3, atol=2e-3, err_msg=name)


def _randomised(model: str, options: Mapping[str, Any], path: Path) -> np.ndarray:
    """Logits of one of our networks with random masks and statistics; its weights and the images go into ``path``."""
    net = create_model(model, num_classes=10, **options)
    set_eval_mode(net, "deterministic")
    for key, value in net.state_dict().items():
        if "_mask" in key:
            value.set_value(paddle.randn(value.shape) * 0.3)
        elif key.endswith(("_mean", "_variance")):
            value.set_value(paddle.uniform(value.shape, min=0.5, max=1.0))
    images = paddle.randn([2, 3, 33, 33])
    np.savez(path, images=images.numpy(), **torch_weights(net))
    net.eval()
    with paddle.no_grad():
        return net(images).numpy()
