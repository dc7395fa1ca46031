"""Compiling the kernels in custom_ops/ into one shared library, found again by what it was made from."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import paddle
from filelock import FileLock

from ..utils.download import home
from ..utils.files import replacing
from ..utils.logger import get_logger

PACKAGE = Path(__file__).parents[1]
# beside the package in a checkout, inside it when installed
SOURCE_FOLDERS = (PACKAGE.parent / "custom_ops", PACKAGE / "custom_ops")
FLAGS = ("-std=c++17", "-O3", "-fopenmp", "-fPIC", "-shared", "-fvisibility=hidden")
CUDA_FLAGS = ("-std=c++17", "-O3", "--expt-relaxed-constexpr", "-w", "-Xcompiler", "-fPIC,-fvisibility=hidden")
CUDA_DEFINITIONS = ("-DPADDLE_WITH_CUDA", "-DPADDLE_WITH_CUSTOM_KERNEL", "-DPPEFFCONV_WITH_CUDA")
CUDA_ARCHITECTURES = (75, 80, 90)  # where no GPU says its own
# Paddle bundles oneDNN 3.6 without complete headers; these have the same major version and interface
ONEDNN_HEADERS = "onednn-devel==2025.1.0"


class BuildError(RuntimeError):
    """Why the kernels could not be compiled, in words."""


def source_folder() -> Path:
    """Return custom_ops/; BuildError if this installation has none."""
    for folder in SOURCE_FOLDERS:
        if folder.is_dir():
            return folder
    raise BuildError(f"there are no kernel sources: expected {' or '.join(map(str, SOURCE_FOLDERS))}")


def key() -> str:
    """Fingerprint of the library: sources, headers, flags, the headers of oneDNN, Paddle's build and the machine."""
    versions = (ONEDNN_HEADERS, paddle.version.full_version, paddle.version.commit)
    facts = (flags(), CUDA_FLAGS, *versions, sys.platform, platform.machine())
    digest = hashlib.sha256(repr(facts).encode())
    folder = source_folder()
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".h", ".cc", ".cu", ".cuh")):
        contents = path.read_bytes()
        digest.update(f"{path.relative_to(folder)} {len(contents)}\n".encode())
        digest.update(contents)
    return digest.hexdigest()[:16]


def candidates() -> list[Path]:
    """Where a library for these sources may lie: in the package (installed with it), or in the cache.

    Where Paddle is for GPUs, one with kernels for them comes first.
    """
    kinds = (True, False) if paddle.is_compiled_with_cuda() else (False,)
    folders = (PACKAGE / "lib", home() / "ops")
    return [folder / _name(with_cuda) for with_cuda in kinds for folder in folders]


def _name(with_cuda: bool) -> str:
    return f"ppeffconv_ops_{key()}{'_cuda' if with_cuda else ''}.so"


def has_cuda(library: Path) -> bool:
    """Whether a library was built with the kernels for GPUs."""
    return library.stem.endswith("_cuda")


def find() -> Path | None:
    """Return the library that was built from these very sources for this Paddle, if there is one."""
    return next((path for path in candidates() if path.is_file()), None)


def flags() -> tuple[str, ...]:
    """The compiler's options, and behind them those in ``$PPEFFCONV_OPS_FLAGS``, as for a sanitizer."""
    return (*FLAGS, *shlex.split(os.environ.get("PPEFFCONV_OPS_FLAGS", "")))


def compiler() -> str | None:
    """Path of the C++ compiler: ``$CXX``, else g++."""
    return shutil.which(os.environ.get("CXX") or "g++")


def cuda_compiler() -> str | None:
    """Path of nvcc, from ``$CUDA_HOME`` or ``PATH``; None also where Paddle is not for NVIDIA's GPUs."""
    from paddle.utils.cpp_extension.extension_utils import find_cuda_home

    if not paddle.is_compiled_with_cuda() or paddle.is_compiled_with_rocm():
        return None
    return shutil.which(str(Path(find_cuda_home() or "") / "bin" / "nvcc"))


def build(target: Path | None = None) -> Path:
    """Compile the kernels unless that has been done, and return the library; safe in many processes at once.

    Args:
        target: folder for the library; default: the cache, ``$PPEFFCONV_HOME/ops`` or ``~/.cache/ppeffconv/ops``.

    Raises:
        BuildError: there is no compiler, the headers of oneDNN cannot be had, or the compiler fails.
    """
    path = (home() / "ops" if target is None else Path(target)) / _name(cuda_compiler() is not None)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if not path.is_file():
            with replacing(path) as temporary:
                _compile(temporary)
    return path


def _compile(output: Path) -> None:
    program = compiler()
    if program is None:
        raise BuildError("there is no C++ compiler: install g++, or name another one in CXX")
    headers, nvcc = onednn_headers(), cuda_compiler()
    minutes = "half a minute" if nvcc is None else "minutes, as there are some for GPUs"
    get_logger().info(f"compiling the kernels, {minutes}: {output.parent}")
    with tempfile.TemporaryDirectory() as scratch:
        objects = [] if nvcc is None else _compile_cuda(nvcc, program, Path(scratch))
        _run(command(program, output, headers, nvcc, objects))


def _compile_cuda(nvcc: str, program: str, folder: Path) -> list[Path]:
    """Compile every .cu into an object in ``folder``."""
    objects = []
    for source in cuda_sources():
        objects.append(folder / f"{source.stem}.o")
        _run(cuda_command(nvcc, source, objects[-1], _architectures(), "-ccbin", program))
    return objects


def _run(arguments: list[str]) -> None:
    result = subprocess.run(arguments, capture_output=True, text=True, errors="replace", check=False)
    if result.returncode:
        raise BuildError(f"{arguments[0]} failed:\n{result.stderr[-4000:]}\nThe command was: {' '.join(arguments)}")


def command(program: str, output: Path, headers: Path, nvcc: str | None, objects: list[Path]) -> list[str]:
    """The compiler's command line, with the objects that nvcc made, if it did.

    Paddle's own OpenMP runtime is linked, not the compiler's: two in one process hang a forked worker of a DataLoader.
    """
    from paddle.utils.cpp_extension import CppExtension, CUDAExtension

    folder = source_folder()
    sources = sorted(str(path) for path in (folder / "cpu").glob("*.cc"))
    options = {"cxx": [], "nvcc": []}  # Paddle adds its own
    kind = CppExtension if nvcc is None else CUDAExtension
    paddles = kind(sources=sources, extra_compile_args=options)
    includes = [*(f"-isystem{path}" for path in (*paddles.include_dirs, headers)), f"-I{folder}"]
    definitions = [] if nvcc is None else ["-DPPEFFCONV_WITH_CUDA"]
    inputs = [*sources, *map(str, objects)]
    libraries = [option for path in paddles.library_dirs for option in (f"-L{path}", f"-Wl,-rpath,{path}")]
    libraries += [*paddles.extra_link_args, "-l:libdnnl.so.3", "-l:libiomp5.so"]
    # --as-needed, the last of Paddle's own options, leaves out the libgomp that -fopenmp would add
    arguments = [*flags(), *options["cxx"], *definitions, *includes]
    return [program, *arguments, *inputs, "-o", str(output), *libraries]


def cuda_sources() -> list[Path]:
    """The sources that nvcc compiles."""
    return sorted((source_folder() / "cuda").glob("*.cu"))


def cuda_command(nvcc: str, source: Path, output: Path, architectures: Iterable[int], *options: str) -> list[str]:
    """The command line that compiles one .cu: machine code for each architecture, and for GPUs after the last."""
    from paddle.utils.cpp_extension import CppExtension

    last = max(architectures)
    targets = [f"-gencode=arch=compute_{a},code=sm_{a}" for a in architectures]
    targets.append(f"-gencode=arch=compute_{last},code=compute_{last}")
    # CUDA 13 has its C++ library in a folder of its own
    paddles = CppExtension(sources=[str(source)], extra_compile_args={"cxx": [], "nvcc": []})
    folders = [*paddles.include_dirs, Path(nvcc).parents[1] / "include" / "cccl"]
    includes = [*(f"-isystem={path}" for path in folders), f"-I{source_folder()}"]
    return [nvcc, "-c", str(source), "-o", str(output), *CUDA_FLAGS, *CUDA_DEFINITIONS, *includes, *targets, *options]


def _architectures() -> list[int]:
    """Those of the GPUs here, else the usual ones."""
    devices = range(paddle.device.cuda.device_count())
    found = {10 * major + minor for major, minor in map(paddle.device.cuda.get_device_capability, devices)}
    return sorted(found or CUDA_ARCHITECTURES)


def onednn_headers() -> Path:
    """Return a folder with oneDNN's headers: ``$ONEDNN_INCLUDE``, an installed copy, or one that pip downloads."""
    cached = home() / "include" / ONEDNN_HEADERS.replace("==", "-")
    for folder in (os.environ.get("ONEDNN_INCLUDE"), Path(sys.prefix) / "include", cached):
        if folder and (Path(folder) / "oneapi" / "dnnl" / "dnnl.hpp").is_file():
            return Path(folder)
    cached.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{cached}.lock"), tempfile.TemporaryDirectory() as scratch:
        if not cached.is_dir():
            _download_headers(Path(scratch))
            unpacked = next(Path(scratch).glob("*/*.data/data/include"))
            staged = Path(tempfile.mkdtemp(dir=cached.parent))
            shutil.copytree(unpacked, staged, dirs_exist_ok=True)
            os.replace(staged, cached)
    return cached


def _download_headers(folder: Path) -> None:
    """Let pip fetch the headers, 200 kB, into ``folder``/headers; without its dependencies, 50 MB of libraries."""
    fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), ONEDNN_HEADERS]
    if importlib.util.find_spec("pip") is None:
        raise BuildError(f"the headers of oneDNN ({ONEDNN_HEADERS}) are missing, and pip too: set ONEDNN_INCLUDE")
    result = subprocess.run(fetch, capture_output=True, text=True, check=False)
    if result.returncode:
        reason = result.stderr.strip().splitlines()[-1:] or ["pip failed"]
        raise BuildError(
            f"the headers of oneDNN cannot be had ({reason[0]}). Where there is a network: pip download --no-deps "
            f"{ONEDNN_HEADERS}; unpack it and set ONEDNN_INCLUDE to its include folder"
        )
    # not in this process: Paddle 2.6 for GPUs brings a zlib that takes the place of Python's, and crashes
    wheel = next(folder.glob("*.whl"))
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(folder / "headers")], check=True)
