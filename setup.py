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


class BuildWithSources(build_py):
    """Installs inside the package what lies beside it in a checkout.

    That is custom_ops/, where `python -m ppeffconv.ops build` finds the sources, and the recipes of configs/, which
    `ppeffconv-train` takes by the names that they have here.
    """

    def run(self) -> None:
        super().run()
        if not getattr(self, "editable_mode", False):
            package = Path(self.build_lib) / "ppeffconv"
            shutil.copytree(HERE / "custom_ops", package / "custom_ops", dirs_exist_ok=True)
            shutil.copytree(HERE / "configs", package / "configs", ignore=_no_recipes, dirs_exist_ok=True)


def _no_recipes(folder: str, names: list[str]) -> list[str]:
    """Return what of a folder of configs/ stays in the repository: cards, pictures, records, the queues of our runs."""
    yaml = {name for name in names if name.endswith(".yaml") and name != "runs.yaml"}
    folders = {name for name in names if Path(folder, name).is_dir() and name not in ("papers", "results")}
    return [name for name in names if name not in yaml | folders]


setup(
    name="ppeffconv",
    version=VERSION,
    description="Efficient convolutions for PaddlePaddle: OctConv, SPConv, Versatile filters, DDF, stochastic sampling",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: C++",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    packages=find_packages(include=["ppeffconv", "ppeffconv.*"]),
    package_data={"ppeffconv": ["py.typed"], "ppeffconv.weights": ["table.yaml", "files/*.safetensors"]},
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
    entry_points={
        "console_scripts": [
            "ppeffconv-train=ppeffconv.commands.train:run",
            "ppeffconv-eval=ppeffconv.commands.evaluate:run",
            "ppeffconv-predict=ppeffconv.commands.predict:run",
            "ppeffconv-export=ppeffconv.commands.export:run",
        ]
    },
    cmdclass={"build_py": BuildWithSources},
    zip_safe=False,
)
