"""Packaging. Paddle is not a hard requirement, so that a GPU user keeps the wheel of their choice: see the extras."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "ppeffconv" / "__init__.py").read_text(encoding="utf-8"))[1]

# the one release that reads the programs of Paddle 3.3 and lives with its numpy
ONNX = ["paddle2onnx==2.1.0", "onnxruntime>=1.23"]
FIGURES = ["matplotlib>=3.6"]
# PaddleDetection imports pkg_resources, which setuptools 81 dropped, and brings numpy 1.23: Python <= 3.11. pycocotools
# before 2.0.11 wants an `info` in every COCO file. The two live in one environment if ONE pip command installs them.
DET = ["paddledet==2.6.0", "setuptools<81", "lap==0.5.12", "pycocotools==2.0.11"]
SEG = ["paddleseg==2.8.0", "numpy<2"]
TOOLKITS = [f"{requirement}; python_version < '3.12'" for requirement in (*DET, *SEG)]
HDF5 = ["h5py>=3"]  # the file of NYU Depth v2


class BuildWithKernels(build_py):
    """Installs custom_ops/ inside the package, where `python -m ppeffconv.ops build` finds the sources."""

    def run(self) -> None:
        super().run()
        if not getattr(self, "editable_mode", False):
            shutil.copytree(HERE / "custom_ops", Path(self.build_lib) / "ppeffconv" / "custom_ops", dirs_exist_ok=True)


setup(
    name="ppeffconv",
    version=VERSION,
    description="Efficient convolutions for PaddlePaddle: OctConv, SPConv, Versatile filters, DDF, stochastic sampling",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["ppeffconv", "ppeffconv.*"]),
    package_data={"ppeffconv.weights": ["table.yaml", "files/*.safetensors"]},
    # numpy 2.4 breaks float() of one-element tensors in Paddle 3.3.1
    install_requires=[
        "numpy>=1.21,<2.4",
        "pyyaml>=6",
        "pillow>=9",
        "filelock>=3.8",
        "safetensors>=0.4",
        "tqdm>=4.60",
        "scikit-learn>=1.2",
        "visualdl==2.5.3",
    ],
    extras_require={
        "cpu": ["paddlepaddle==3.3.1"],
        "det": DET,
        "seg": SEG,
        "onnx": ONNX,
        "benchmark": FIGURES,
        "depth": [*HDF5, *FIGURES],
        "docs": ["pdoc>=15"],
        "dev": ["pytest>=8", "pytest-xdist>=3", "hypothesis>=6", "ruff==0.17.6", *ONNX, *FIGURES, *HDF5, *TOOLKITS],
    },
    cmdclass={"build_py": BuildWithKernels},
    zip_safe=False,
)
