"""What an error says."""

from __future__ import annotations

import paddle
import pytest
from paddle import nn

from ppeffconv.utils.messages import brief


class Choosy(nn.Layer):
    def forward(self, x):
        got = x.shape[1]
        if got != 5:
            raise ValueError(f"five channels, got {got}")
        return x


def test_an_error_of_a_traced_network_is_its_text_and_not_its_source(tmp_path):
    spec = [paddle.static.InputSpec([None, 3, None, None], "float32")]
    with pytest.raises(ValueError, match="channels") as caught:
        paddle.jit.save(Choosy(), str(tmp_path / "net"), input_spec=spec)
    assert brief(caught.value) == "ValueError: five channels, got 3"


def test_an_error_of_paddles_kernels():
    with pytest.raises(ValueError, match="channels") as caught:
        nn.Conv2D(3, 4, 3)(paddle.ones([1, 4, 5, 5]))
    text = brief(caught.value)
    assert text.startswith("(InvalidArgument) The number of input's channels should be equal")
    assert "/paddle/" not in text


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("a\nb"), "a"),
        (KeyError(), "KeyError"),
        (OSError(2, "no"), "[Errno 2] no"),
        (OSError("(External) too small (at ppeffconv:0)\n  [operator < own > error]"), "(External) too small"),
        (OSError("(External) too small (at /p/a.cc:7) [operator < conv2d > error]"), "(External) too small"),
    ],
)
def test_others(error, text):
    assert brief(error) == text
