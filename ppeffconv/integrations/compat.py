"""What the integrations share: finding the toolkit, and giving its modules, and only them, corrected functions."""

from __future__ import annotations

import types
from importlib import metadata
from typing import Any

import paddle


def require(distribution: str, version: str, paddle_versions: tuple[str, ...], extra: str) -> None:
    """Check that a toolkit is installed in the version that the fixes are for, beside a Paddle that they are for.

    Args:
        distribution: its name for pip.
        version: of the toolkit.
        paddle_versions: of Paddle, such as "3.3", without the last number.
        extra: this package's extra that installs it.

    Raises:
        ImportError: it is not installed.
        RuntimeError: another version of it or of Paddle is.
    """
    command = f"pip install 'ppeffconv[cpu,{extra}]'"
    try:
        found = metadata.version(distribution)
    except metadata.PackageNotFoundError:
        raise ImportError(f"{distribution} is not installed: {command}") from None
    if found != version:
        raise RuntimeError(
            f"{distribution} {found} is installed, but the fixes in ppeffconv are for {version}: {command}"
        )
    if paddle.__version__.rsplit(".", 1)[0] not in paddle_versions:
        raise RuntimeError(
            f"Paddle {paddle.__version__} is installed, but the fixes for {distribution} were tested with "
            f"{' and '.join(paddle_versions)}: {command}"
        )


class ModuleProxy(types.ModuleType):
    """A module as another module should see it: the same but for a few functions.

    A toolkit's module that holds a proxy under the name ``paddle`` gets the corrected functions, and whoever imports
    ``paddle`` itself gets Paddle's own.
    """

    def __init__(self, module: types.ModuleType, **replaced: Any) -> None:
        super().__init__(module.__name__)
        self.__dict__.update(replaced, _proxied=module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._proxied, name)


def at_least_1d(tensor: paddle.Tensor) -> paddle.Tensor:
    """``tensor``, or its one element as [1]: Paddle 2.4 and before knew no tensor without axes, only [1]."""
    return paddle.reshape(tensor, [1]) if tensor.ndim == 0 else tensor


def concat(x: Any, axis: int = 0, name: str | None = None) -> paddle.Tensor:
    """`paddle.concat` of tensors of which some may be without axes."""
    if isinstance(x, (list, tuple)):
        x = [at_least_1d(tensor) for tensor in x]
    return paddle.concat(x, axis=axis, name=name)
