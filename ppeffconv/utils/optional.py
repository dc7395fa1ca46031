"""Packages that only some commands need, and that this package does not install by itself."""

from __future__ import annotations

from importlib.util import find_spec


def require(package: str, extra: str) -> None:
    """Check that a package is there, before any work is done that needs it in the end.

    Args:
        package: as it is imported.
        extra: of this package, which installs it.

    Raises:
        RuntimeError: it is not; the message says what to type.
    """
    if find_spec(package) is None:
        raise RuntimeError(f"{package} is not installed: pip install 'ppeffconv[{extra}]'")
