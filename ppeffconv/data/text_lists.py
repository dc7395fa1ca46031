"""Text files that name images and classes, as editors of all systems write them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath

from ..utils.logger import get_logger

LARGEST_LABEL = 1 << 22
MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file in UTF-8, with or without a byte order mark, without white space at their ends.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is written in another encoding; the message says in which, or where.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    content = path.read_bytes()
    encoding = MARKS.get(content[:2]) or ("UTF-16" if b"\0" in content else None)
    if encoding:
        raise ValueError(f"{path} is written in {encoding}: save it in UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, byte = content[: error.start].count(b"\n") + 1, content[error.start]
        raise ValueError(
            f"{path}, line {line}: byte 0x{byte:02x} is not UTF-8, perhaps Latin-1 or a Windows code page: save the "
            "file in UTF-8"
        ) from None
    return [line.strip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]


def read_class_names(names: Sequence[object] | str) -> list[str]:
    """Return class names, those given or those of a text file with one in a line.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: there are none, one is there twice, or is no text.
    """
    source = f"{names}" if isinstance(names, str) else "class_names"
    found = [name for name in read_lines(Path(names).expanduser()) if name] if isinstance(names, str) else list(names)
    for name in found:
        if isinstance(name, (bool, float)) or not isinstance(name, (str, int)):
            raise ValueError(f"{source}: a class name must be text, got {name!r}: put it into quotes, as '{name}'")
    found = [str(name) for name in found]
    twice = [name for name, count in Counter(found).items() if count > 1]
    if twice or not found:
        raise ValueError(f"{source}: " + (f"there twice: {', '.join(twice[:5])}" if twice else "no class names"))
    return found


def read_list(path: Path, root: Path, class_names: Sequence[str] | None) -> tuple[list[str], list[int], list[str]]:
    """Read a list of ``path label`` lines; a path may hold spaces, stand in quotes, and be relative to ``root``.

    Returns:
        The paths, the labels, and the class names, which are the numbers if none are given.

    Raises:
        FileNotFoundError: there is no such file, or nothing in it.
        ValueError: a line that cannot be understood.
    """
    files: list[str] = []
    labels: list[int] = []
    for number, line in enumerate(read_lines(path), start=1):
        if line:
            file, label = _parse(line, f"{path}, line {number}", class_names)
            files.append(_on_this_system(file, root))
            labels.append(label)
    if not files:
        raise FileNotFoundError(f"no images in the list file {path}")
    names = list(class_names) if class_names is not None else [str(label) for label in range(max(labels) + 1)]
    _say_gaps(path, labels, names)
    return files, labels, names


def unused_labels(labels: Sequence[int], num_classes: int) -> list[int]:
    """Return the classes without an image."""
    return sorted(set(range(num_classes)).difference(labels))


def _parse(line: str, where: str, class_names: Sequence[str] | None) -> tuple[str, int]:
    *file, label = line.rsplit(None, 1)
    if not file or not label.isdecimal():
        raise ValueError(f"{where}: expected 'path label' with a whole number >= 0, got {line!r}")
    if class_names is not None and int(label) >= len(class_names):
        raise ValueError(f"{where}: label {label}, but there are {len(class_names)} class names, for labels from 0 on")
    if int(label) > LARGEST_LABEL:
        raise ValueError(f"{where}: label {label} is no number of a class: they count from 0 on")
    name = file[0].rstrip()
    return (name[1:-1] if len(name) > 2 and name[0] == name[-1] and name[0] in "\"'" else name), int(label)


def _on_this_system(file: str, root: Path) -> str:
    """Return a path that was written on Windows as one of this system, unless a file has just this name."""
    if "\\" not in file or (root / file).exists():
        return file
    return PureWindowsPath(file).as_posix()


def _say_gaps(path: Path, labels: Sequence[int], names: Sequence[str]) -> None:
    unused = unused_labels(labels, len(names))
    if unused:
        advice = ": labels count from 0 on, so perhaps subtract 1 from each" if unused == [0] else ""
        shown = ", ".join(map(str, unused[:5])) + (", ..." if len(unused) > 5 else "")
        get_logger().warning(f"{path}: no image has label {shown}, of {len(names)} classes{advice}")
