"""A kernel that is off by little must fail its own tests: all are perturbed in a copy of the sources, and built."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ppeffconv.ops import build, loader

ROOT = Path(__file__).parents[2]
# by the tests that must notice: a file in custom_ops/cpu, what stands there, and what shall stand there
PERTURBED = {
    "test_batch_norm.py": ("batch_norm_rows.h", "* f.scale + f.shift", "* f.scale * T(1.001) + f.shift"),
    "test_blend.py": ("blend_kernel.h", "g * (1 - g) * dgate / size", "g * (1 - g) * dgate / size * 1.01"),
    "test_conv2d.py": (
        "conv2d.cc",
        "nullptr});\n  return {out}",
        "nullptr}), *floats(out) += 1e-3f;\n  return {out}",
    ),
    "test_ddf_cpu.py": (
        "ddf_rows.h",
        "pixel + weight : pixel * weight)",
        "pixel + weight : pixel * weight * T(1.001))",
    ),
    "test_deployed.py::test_conv": (
        "engine/product_rows.h",
        "y += load_lanes<V>(shift + channel + c)",
        "y += load_lanes<V>(shift + channel + c) * 1.001f",
    ),
    "test_deployed.py::test_conv[half a vector-float32]": (
        "engine/product_rows.h",
        "sum[r][0] += other[r]",
        "sum[r][0] += other[r] * 1.001f",
    ),
    "test_deployed.py::test_conv[depthwise, wide-float32]": (
        "engine/maps_rows.h",
        "V16 sum = shift;",
        "V16 sum = shift * splat16(1.001f);",
    ),
    "test_deployed.py::test_conv[by tiles-float32]": (
        "engine/winograd_rows.h",
        "half[1][x] = d1 + d2",
        "half[1][x] = d1",
    ),
    "test_deployed.py::test_maps": (
        "engine/maps_rows.h",
        "value * splat16(factor)",
        "value * splat16(factor * 1.001f)",
    ),
    "test_deployed_methods.py::test_ddf_by_channels_of_its_input": (
        "engine/ddf_rows.h",
        "sum = sum * scale + shift",
        "sum = sum * scale * splat16(1.001f) + shift",
    ),
    "test_deployed_methods.py::test_sp": ("engine/spconv.h", "sum[c] / out.plane()", "sum[c] * 1.01f / out.plane()"),
    "test_deployed_sampling.py::test_fill": ("engine/sampling.h", "weights[k] / total", "weights[k] / total * 1.001f"),
    "test_deployed_sampling.py::test_the_seed_and_the_stream_change_the_noise": (
        "engine/sampling.h",
        "0x846ca68bu",
        "0x846ca68cu",
    ),
    "test_filter_norm.py": ("filter_norm_tile.h", "? 1 / (freedom * std)", "? T(1.01) / (freedom * std)"),
    "test_nested_conv2d.py": ("nested_conv2d.cc", "floats(out)});", "floats(out)}), floats(out)[0] += 1e-3f;"),
    "test_octave.py": ("octave_planes.h", "T(0.25), T(0.5), y);", "T(0.2501), T(0.5), y);"),
    "test_sample_interpolate_cpu.py": ("interpolate_rows.h", "row + d)) * weights", "row + d)) * T(1.001) * weights"),
    "test_sampled_conv2d.py": ("sampled_conv2d_kernel.h", "bias ? bias[o] : T(0)", "(bias ? bias[o] : T(0)) + T(1e-3)"),
}


# the tests one after another in one process, and how each ended: pytest's code and its last lines
RUN = """
import contextlib, io, json, sys, pytest
ended = {}
for test in sys.argv[1:]:
    with contextlib.redirect_stdout(io.StringIO()) as output:
        code = pytest.main(["-q", "-x", "-p", "no:cacheprovider", f"tests/ops/{test}"])
    ended[test] = [int(code), output.getvalue()[-2000:]]
print(json.dumps(ended))
"""


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """The results of the tests by perturbed kernels, in a copy of the project."""
    if not loader.library().ops or build.compiler() is None:
        pytest.skip("kernels not compiled")
    copy = tmp_path_factory.mktemp("perturbed")
    for part in ("ppeffconv", "custom_ops", "tests"):
        shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    for name, before, after in PERTURBED.values():
        source = copy / "custom_ops" / "cpu" / name
        text = source.read_text()
        assert before in text, f"{name} has changed: say anew what to perturb"
        source.write_text(text.replace(before, after))
    settings = {
        "PYTHONPATH": str(copy),
        "PPEFFCONV_HOME": str(copy / "home"),
        "PPEFFCONV_OPS_FLAGS": "-O1 -DPPEFFCONV_ONLY=0",  # compiles in a quarter of the time
        "ONEDNN_INCLUDE": str(build.onednn_headers()),
    }
    environment = {**os.environ, **settings}
    subprocess.run([sys.executable, "-m", "ppeffconv.ops", "build"], cwd=copy, env=environment, check=True)
    command = [sys.executable, "-c", RUN, *PERTURBED]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


# without the colons, by which pytest-xdist would take the tests for those of several modules
@pytest.mark.parametrize("test", PERTURBED, ids=lambda test: test.replace("::", " "))
def test_is_noticed(test, ended):
    code, output = ended[test]
    assert code == pytest.ExitCode.TESTS_FAILED, output
    assert "stopping after 1 failures" in output
