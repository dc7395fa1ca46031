"""The rows of `benchmark.py deploy` and `growth`: inference of every network, in every engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .rows import OURS, Contestant, Row, Target
from .targets import BreakEven, TimesFaster

BASE = "resnet50 in Paddle Inference"  # the 1.0 of all ratios
BFLOAT16 = "ours, bfloat16"
# a sampling network's own dense form (its masks, every position computed), and the network without masks
DENSE, PLAIN = "its dense form", "resnet50 without masks"
OPENVINO, ONNXRUNTIME, TORCH, PADDLE = "OpenVINO", "onnxruntime", "PyTorch", "Paddle Inference"
OPENVINO_DEFAULT = "OpenVINO, its default"  # in the precision that it chooses for the CPU, where OPENVINO is float32
SIZE, BATCHES = 224, (1, 8)
TURN = 250.0  # ms

SAMPLED_SIZE, SAMPLED_DENSITY = 448, 0.35
DENSITIES = (0.1, 0.2, 0.35, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

SIDES = (112, 160, 224, 320, 448, 640, 1024)
GROWING_BATCHES = (2, 4, 8, 16)


@dataclass(frozen=True)
class Network:
    """A network of the table.

    Attributes:
        title: in tables and plots.
        model: name and options of `ppeffconv.create_model`.
        speed_up: over BASE, at batch 1, that it must reach.
        bfloat16: also in bfloat16; the speed-up it must reach so, 0 for none.
        peer_options: what PyTorch's twin takes of the options.
    """

    title: str
    model: str
    speed_up: float
    options: Mapping[str, Any] = field(default_factory=dict)
    bfloat16: float | None = None
    peer_options: Mapping[str, Any] = field(default_factory=dict)


class Growth(NamedTuple):
    """A shape of the input."""

    side: int
    batch: int

    @property
    def row(self) -> str:
        """Name of its row."""
        return f"side{self.side}_batch{self.batch}"


def _octave(alpha: float, speed_up: float, bfloat16: float | None = None) -> Network:
    options = {"alpha": alpha}
    return Network(f"oct_resnet50, α = {alpha:g}", "oct_resnet50", speed_up, options, bfloat16, options)


def _versatile(title: str, delta: int, speed_up: float) -> Network:
    options = {"delta": delta, "channel_mode": "paper"}
    return Network(f"versatile_resnet50, {title}", "versatile_resnet50", speed_up, options, None, {"delta": delta})


NETWORKS = {
    "resnet50": Network("resnet50", "resnet50", 1.0, bfloat16=0),
    "oct_resnet50_25": _octave(0.25, 1.2),
    "oct_resnet50_50": _octave(0.5, 1.55, 2.8),
    "sp_resnet50": Network("sp_resnet50, 1/2", "sp_resnet50", 1.25, {"ratio": 0.5}),
    "versatile_resnet50_v1": _versatile("v1", 0, 1.2),
    "versatile_resnet50_v2": _versatile("v2", 1, 1.9),
    "ddf_resnet50": Network("ddf_resnet50", "ddf_resnet50", 1.5),
}
SAMPLED_NAME = "sampled_resnet50"
# without noise, so that every engine takes the same positions
SAMPLED = Network("sampled_resnet50", "sampled_resnet50", 1.6, {"eval_mode": "deterministic"})


def deploy_rows() -> list[Row]:
    """Batch 1 with the targets; then sampling; then batch 8."""
    single, several = ([_row(name, batch) for name in NETWORKS] for batch in BATCHES)
    return [*single, _sampled(), _densities(), *several]


def growth_rows() -> list[Row]:
    """Ours against ours: every network in turns at one size, so that their ratios are true."""
    return [_growing(shape) for shape in growth_shapes()]


def growth_shapes() -> list[Growth]:
    """By the side at batch 1, then by the batch at SIZE."""
    shapes = [(side, 1) for side in SIDES] + [(SIZE, batch) for batch in GROWING_BATCHES]
    return [Growth(*shape) for shape in shapes]


def inference(network: Network, batch: int, engines: Iterable[str]) -> dict[str, Contestant]:
    """A network at SIZE in some of the engines that take no more than its files."""
    models = _saved(network, SIZE, batch)
    contestants = {
        OURS: _ours(network, SIZE, batch, models=models),
        OPENVINO: _peer("openvino", models, batch),
        ONNXRUNTIME: _peer("onnxruntime", models, batch),
        PADDLE: _peer("paddle", models, batch),
    }
    return {label: contestants[label] for label in engines}


def _saved(network: Network, size: int, images: int, density: float | None = None) -> dict[str, Any]:
    options = dict(network.options)
    return {"network": network.model, "options": options, "size": size, "images": images, "density": density}


def _ours(network: Network, size: int, batch: int, **arguments: Any) -> Contestant:
    options = dict(network.options)
    job = {"job": "deployed", "network": network.model, "options": options, "size": size, "batch": batch}
    return Contestant(OURS, job | arguments)


def _peer(engine: str, models: Mapping[str, Any], batch: int, **arguments: Any) -> Contestant:
    return Contestant(engine, {"job": "infer", "models": models, "batch": batch, **arguments}, may_fail=True)


def _base(size: int, images: int, batch: int) -> Contestant:
    models = _saved(NETWORKS["resnet50"], size, images)
    return Contestant("paddle", {"job": "infer", "models": models, "batch": batch, "forms": ["training"]})


def _row(name: str, batch: int) -> Row:
    network, images = NETWORKS[name], max(BATCHES)
    models = _saved(network, SIZE, images)
    contestants = {
        OURS: _ours(network, SIZE, batch, models=models, layers=batch == 1),
        BASE: _base(SIZE, images, batch),
        OPENVINO: _peer("openvino", models, batch),
        OPENVINO_DEFAULT: _peer("openvino", models, batch, default_precision=True),
        ONNXRUNTIME: _peer("onnxruntime", models, batch),
        TORCH: _peer("torch", models, batch, network=network.model, options=dict(network.peer_options)),
    }
    targets: list[Target] = [TimesFaster(BASE, network.speed_up), TimesFaster(OPENVINO, 1)]
    if batch == 1 and name != "resnet50":
        contestants[PADDLE] = _peer("paddle", models, batch)
    if batch == 1 and network.bfloat16 is not None:
        contestants[BFLOAT16] = _ours(network, SIZE, batch, models=models, dtype="bfloat16")
        targets += [TimesFaster(BASE, network.bfloat16, of=BFLOAT16)] if network.bfloat16 else []
    work = f"{network.title}, {SIZE}x{SIZE}, batch {batch}"
    return Row(f"{name}_batch{batch}", work, contestants, tuple(targets) if batch == 1 else (), turn=TURN)


def _sampled() -> Row:
    size, density = SAMPLED_SIZE, SAMPLED_DENSITY
    models = _saved(SAMPLED, size, 1, density)
    contestants = {
        OURS: _ours(SAMPLED, size, 1, models=models, density=density, layers=True),
        DENSE: _ours(SAMPLED, size, 1, density=1.0),
        PLAIN: _ours(NETWORKS["resnet50"], size, 1, layers=True),
        BASE: _base(size, 1, 1),
        OPENVINO: _peer("openvino", models, 1),
        OPENVINO_DEFAULT: _peer("openvino", models, 1, default_precision=True),
        ONNXRUNTIME: _peer("onnxruntime", models, 1),
        TORCH: _peer("torch", models, 1, network=SAMPLED.model, options={}),
    }
    targets = (TimesFaster(DENSE, SAMPLED.speed_up), TimesFaster(OPENVINO, 1))
    return Row(SAMPLED_NAME, f"{SAMPLED.title}, {size}x{size}, batch 1", contestants, targets, turn=TURN)


def _densities() -> Row:
    contestants = {PLAIN: _ours(NETWORKS["resnet50"], SAMPLED_SIZE, 1)}
    for density in DENSITIES:
        contestants[f"density {density:g}"] = _ours(SAMPLED, SAMPLED_SIZE, 1, density=density)
    work = f"{SAMPLED.title} against its density, {SAMPLED_SIZE}x{SAMPLED_SIZE}, batch 1"
    return Row("sampled_densities", work, contestants, (BreakEven(PLAIN, 0.7),), turn=TURN)


def _growing(shape: Growth) -> Row:
    side, batch = shape.side, shape.batch
    contestants = {name: _ours(network, side, batch) for name, network in NETWORKS.items()}
    contestants[SAMPLED_NAME] = _ours(SAMPLED, side, batch, density=SAMPLED_DENSITY)
    return Row(shape.row, f"ours, {side}x{side}, batch {batch}", contestants, turn=TURN)
