"""What the tutorials share: handwritten digits, a short training, a race against the clock, and a picture.

教程共用的部分：手写数字、简短的训练、计时比较、作图。
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # from a clone, without installing

import numpy as np
import paddle
from paddle import Tensor, nn
from PIL import Image

import ppeffconv
from ppeffconv.data.digits import Digits
from ppeffconv.engine.callbacks import SamplingTemperature
from ppeffconv.engine.losses import AuxiliaryLoss
from ppeffconv.utils.figures import sheet
from ppeffconv.utils.runtime import threads, tune

SHORT = "PPEFFCONV_SHORT" in os.environ  # the tests' form: the same steps on less data, with less to see
SIZE = 64 if SHORT else 224  # of the images on which times are taken
Panel = tuple[str, np.ndarray]

tune()
paddle.seed(0)
np.random.seed(0)  # paddle.Model shuffles with it


def digits(train: bool) -> tuple[np.ndarray, np.ndarray]:
    """The handwritten digits that scikit-learn brings: float32 [N, 3, 32, 32] in [0, 1], and their labels [N]."""
    data = Digits(train=train)
    images = data.images.transpose(0, 3, 1, 2).repeat(3, axis=1).astype(np.float32) / 255
    return (images[:96], data.labels[:96]) if SHORT else (images, data.labels)


def fit(
    net: nn.Layer, data: tuple[np.ndarray, np.ndarray], epochs: int = 1, lr: float = 1e-3, **weights: float
) -> None:
    """Train with AdamW and a cosine schedule; ``weights`` of the losses that the network offers besides its own."""
    begin = time.perf_counter()
    pairs = paddle.io.TensorDataset([paddle.to_tensor(array) for array in data])
    schedule = paddle.optimizer.lr.CosineAnnealingDecay(lr, T_max=epochs * (len(pairs) // 32))
    optimizer = paddle.optimizer.AdamW(schedule, parameters=net.parameters(), weight_decay=0.05)
    model = paddle.Model(net)
    model.prepare(optimizer, AuxiliaryLoss(nn.CrossEntropyLoss(), net, weights))
    model.fit(pairs, epochs=epochs, batch_size=32, drop_last=True, verbose=0, callbacks=[SamplingTemperature()])
    net.eval()
    print(f"trained on {epochs} x {len(pairs)} digits in {time.perf_counter() - begin:.0f} s")


def accuracy(net: nn.Layer, data: tuple[np.ndarray, np.ndarray]) -> float:
    """Share of images whose largest logit is that of their label."""
    with paddle.no_grad():
        guesses = [net(paddle.to_tensor(part)).argmax(1).numpy() for part in np.array_split(data[0], 4)]
    return float(np.mean(np.concatenate(guesses) == data[1]))


def fine_tune(
    dense: nn.Layer,
    net: nn.Layer,
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    epochs: int,
    lr: float = 1e-3,
    **weights: float,
) -> None:
    """Train the converted network, and the dense one, which has had one epoch, as long: only so are they comparable."""
    fit(dense, train, epochs, lr)
    fit(net, train, epochs, lr, **weights)
    found = f"dense {accuracy(dense, test):.3f}, converted {accuracy(net, test):.3f}"
    print(f"accuracy after 1 + {epochs} epochs each: {found}")


def race(forms: Mapping[str, nn.Layer], x: Tensor, rounds: int = 15) -> dict[str, float]:
    """Median milliseconds of a forward pass, in turns, so that what else the machine does meets all alike."""
    times = {name: [] for name in forms}
    for turn in range(2 if SHORT else rounds + 2):
        for name, form in forms.items():
            begin = time.perf_counter()
            form(x)
            if turn:  # not the first one, which prepares weights
                times[name].append(1000 * (time.perf_counter() - begin))
    return {name: median(taken) for name, taken in times.items()}


def compare(dense: nn.Layer, new: nn.Layer, name: str) -> tuple[float, float]:
    """Print multiply-adds and milliseconds of both in deploy form; return what is saved, as ratios."""
    nets = {"dense": dense, name: new}
    macs = {key: ppeffconv.profile(net, (3, SIZE, SIZE)).macs for key, net in nets.items()}
    ms = race({key: ppeffconv.deploy(net) for key, net in nets.items()}, paddle.rand([1, 3, SIZE, SIZE]))
    return table(macs, ms)


def table(macs: Mapping[str, float], ms: Mapping[str, float], size: int = SIZE) -> tuple[float, float]:
    """Print multiply-adds and milliseconds side by side; return what the last one saves of the first, as ratios."""
    print(f"{size}x{size}, batch 1, float32, {threads()} threads, deploy form")
    for name in macs:
        print(f"  {name:<28} {macs[name] / 1e6:8.1f} M MACs {ms[name]:8.2f} ms")
    first, *_, last = macs
    saved = macs[first] / macs[last], ms[first] / ms[last]
    print(f"  {saved[0]:.2f} times fewer multiply-adds, {saved[1]:.2f} times as fast")
    return saved


def draw(name: str, panels: Sequence[Panel], columns: int) -> Image.Image:
    """Save panels (title, grey or RGB image) as output/tutorials/NAME.png and return the picture for notebooks."""
    path = Path("output/tutorials") / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = -(-len(panels) // columns)
    with sheet(path, nrows=rows, ncols=columns, figsize=(2.2 * columns, 2.45 * rows), squeeze=False) as axes:
        for axis in axes.flat:
            axis.axis("off")
        for axis, (title, panel) in zip(axes.flat, panels):
            strip = panel.shape[1] > 4 * panel.shape[0]
            limits = {"vmin": min(panel.min(), 0), "vmax": max(panel.max(), 1), "cmap": "viridis"}
            axis.imshow(panel, interpolation="nearest", aspect="auto" if strip else "equal", **limits)
            axis.set_title(title, fontsize=8)
    print(f"picture: {path}")
    return Image.open(path)
