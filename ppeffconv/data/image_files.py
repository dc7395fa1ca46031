"""The one reader of image files: what a file becomes is the same in training, prediction, drawings and the toolkits.

Every file becomes 8 bits, "RGB" or "L", upright:

======================================  ===================================================================
file                                    what becomes of it
======================================  ===================================================================
1 bit, 8 bits, palette, CMYK, YCbCr     converted by Pillow; grey is 0.299 R + 0.587 G + 0.114 B
16 bits (PNG, TIFF, PGM)                the higher byte
32-bit integers (TIFF)                  the higher byte of 16 bits; an error beyond 0 to 65535
floats (TIFF)                           0 to 1 is black to white; 0 to 255 if some value is above 1; else an error
transparency                            is left out: the colour as it is stored
EXIF orientation                        is applied
several frames (GIF, TIFF, WebP)        the first
truncated, damaged, no image            `UnreadableImageError`, which names the file
======================================  ===================================================================
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

SUFFIXES = "apng avif bmp dib gif j2k jfif jp2 jpe jpeg jpg pbm pgm png pnm ppm tga tif tiff webp"
EXTENSIONS = tuple(f".{suffix}" for suffix in SUFFIXES.split())
LEFT_OVERS = {"__MACOSX", "@eaDir", "lost+found", "System Volume Information"}  # folders that systems leave behind


class UnreadableImageError(ValueError):
    """A file is missing, damaged or no image."""


def is_image_name(name: str) -> bool:
    """Whether a file is to be taken for an image: by its suffix in any case, and not hidden as ``._a.jpg`` is."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in EXTENSIONS


def is_left_over(name: str) -> bool:
    """Whether a folder is hidden or one that a system has left behind."""
    return name.startswith((".", "$")) or name in LEFT_OVERS


def images_below(folder: str | Path) -> list[Path]:
    """Return the images in a folder and the folders below it, sorted; symbolic links are followed, in circles once."""
    found: list[Path] = []
    seen: set[str] = set()
    for place, folders, members in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = [] if real in seen else [name for name in folders if not is_left_over(name)]
        if real not in seen:
            found += [Path(place, name) for name in members if is_image_name(name)]
            seen.add(real)
    return sorted(file for file in found if not file.is_dir())


def known_suffixes() -> str:
    """Which files are taken for images, in words."""
    return f"files ending in {', '.join(EXTENSIONS)}"


def read_image(path: str | Path, mode: str = "RGB", size: tuple[int, int] | None = None) -> Image.Image:
    """Read an image file, as the table above says.

    Args:
        path: the file.
        mode: "RGB" or "L".
        size: (W, H) that others have noted of the file. If the orientation would change it, it was noted without the
            orientation, which is then left out.

    Raises:
        UnreadableImageError: the file is missing, truncated, damaged or no image, or its values have no known meaning.
    """
    try:
        with Image.open(path) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of palettes, orientation data, size
            file.load()
            image = _upright(file)
            if size is not None and image.size != size == file.size:
                image = file
            return _eight_bits(image).convert(mode)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - decoders raise anything
        raise UnreadableImageError(f"cannot read image {path}: {_reason(error, path)}") from None


def read_values(path: str | Path) -> np.ndarray:
    """Read the values of a file that is no picture, such as labels or depths, as they are; see `read_image` for errors.

    The orientation is applied as to the image that they belong to.
    """
    try:
        with Image.open(path) as file:
            file.load()
            return np.asarray(_upright(file))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - decoders raise anything
        raise UnreadableImageError(f"cannot read {path}: {_reason(error, path)}") from None


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001 - a damaged note of the orientation does not damage the image
        return image


def _eight_bits(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        return _from_floats(np.asarray(image))
    if image.mode.startswith("I"):
        values = np.asarray(image)
        low, high = int(values.min()), int(values.max())
        if low < 0 or high > 65535:
            raise ValueError(
                f"its whole numbers go from {low} to {high}, expected 0 to 65535: save it with 8 or 16 bits"
            )
        return Image.fromarray((values // 256).astype(np.uint8))
    if image.mode in ("PA", "La", "RGBa"):
        return image.convert({"PA": "RGBA", "La": "LA", "RGBa": "RGBA"}[image.mode])
    return image


def _from_floats(values: np.ndarray) -> Image.Image:
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 255):  # also NaN
        raise ValueError(
            f"its floats go from {low:g} to {high:g}, expected 0 to 1 or 0 to 255: scale them, or save 8 bits"
        )
    scaled = values * (255 if high <= 1 else 1)
    return Image.fromarray(np.round(scaled).astype(np.uint8))


def _reason(error: Exception, path: str | Path) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, IsADirectoryError):
        return "it is a folder"
    if isinstance(error, Image.UnidentifiedImageError):
        return "it is empty" if Path(path).stat().st_size == 0 else "cannot identify image file: damaged, or no image"
    return str(error) or type(error).__name__
