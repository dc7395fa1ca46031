"""Transforms named from YAML: Paddle's own on images, then two of ours that end in an array for the network."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from paddle.vision import transforms as paddle_transforms
from PIL import Image

from ..registry import Registry, check_arguments

TRANSFORMS = Registry("transform")
ENDS = (("ToArray",), ("ToArray", "Normalize"), ("PointSampledPair",))  # of images, and of pairs

for _name in (
    "BrightnessTransform",
    "CenterCrop",
    "ColorJitter",
    "ContrastTransform",
    "Grayscale",
    "HueTransform",
    "Pad",
    "RandomAffine",
    "RandomHorizontalFlip",
    "RandomPerspective",
    "RandomResizedCrop",
    "RandomVerticalFlip",
    "Resize",
    "SaturationTransform",
):
    TRANSFORMS.register(_name)(getattr(paddle_transforms, _name))


class _GreyAsColour:
    """Hands a grey image over as a colour one and back, for the transforms that take every PIL image for such."""

    def _apply_image(self, image: Image.Image) -> Image.Image:
        if image.mode != "L":
            return super()._apply_image(image)
        return super()._apply_image(image.convert("RGB")).getchannel(0)


@TRANSFORMS.register()
class RandomErasing(_GreyAsColour, paddle_transforms.RandomErasing):
    """Paddle's RandomErasing, for grey images as well."""


@TRANSFORMS.register()
class RandomRotation(_GreyAsColour, paddle_transforms.RandomRotation):
    """Paddle's RandomRotation, for grey images as well."""


@TRANSFORMS.register()
class RandomCrop(paddle_transforms.RandomCrop):
    """Paddle's RandomCrop, which says what is wrong with an image that is too small."""

    def _get_param(self, image: Image.Image, output_size: Sequence[int]) -> tuple[int, int, int, int]:
        height, width = output_size
        if image.width < width or image.height < height:
            raise ValueError(
                f"the crop of {width}x{height} does not fit into {image.width}x{image.height}, with padding: put "
                f"`Resize: {{size: [{height}, {width}]}}` before it, or give it pad_if_needed: true"
            )
        return super()._get_param(image, output_size)


@TRANSFORMS.register()
class ToArray:
    """Turn an image of size (W, H) into a float32 array [C, H, W] with values in [0, 1]."""

    def __call__(self, image: Image.Image) -> np.ndarray:
        pixels = np.asarray(image, dtype=np.uint8)
        pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
        return np.ascontiguousarray(pixels, dtype=np.float32) / np.float32(255)


@TRANSFORMS.register()
class Normalize:
    """Return ``(x - mean) / std`` of an array [C, H, W].

    Args:
        mean, std: one value per channel, or one for all, on the scale of [0, 1].
    """

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        self.mean = np.asarray(mean, dtype=np.float32).reshape(-1, 1, 1)
        self.std = np.asarray(std, dtype=np.float32).reshape(-1, 1, 1)
        if not np.all(self.std > 0):
            raise ValueError(f"std must be > 0, got {std}")

    def __call__(self, image: np.ndarray) -> np.ndarray:
        if not isinstance(image, np.ndarray) or image.ndim != 3:
            raise ValueError("Normalize works on an array [C, H, W]: put ToArray before it")
        channels = {len(self.mean), len(self.std)} - {1, len(image)}
        if channels:
            raise ValueError(f"the image has {len(image)} channels, but mean or std has {channels.pop()} values")
        return (image - self.mean) / self.std


class Pipeline:
    """Transforms in a row, from an image to a float32 array [C, H, W], or from a pair of arrays to two.

    Args:
        steps: (name, transform) pairs; see `build_transforms` for the last ones.
    """

    def __init__(self, steps: Sequence[tuple[str, Callable]]) -> None:
        self.steps = list(steps)

    def __call__(self, image: Any) -> Any:
        """Transform a PIL image, a uint8 array [H, W, C] or [H, W], or a pair of arrays [H, W, ...].

        Raises:
            ValueError: a transform has failed; the message names it.
        """
        if isinstance(image, np.ndarray):
            image = Image.fromarray(image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image)
        size = image[0].shape[1::-1] if isinstance(image, tuple) else image.size
        for name, transform in self.steps:
            try:
                image = transform(image)
            except (ValueError, TypeError, IndexError, AttributeError) as error:
                raise ValueError(f"transform {name} failed on an image of {size[0]}x{size[1]}: {error}") from error
        return image


def build_transforms(specs: Sequence[str | Mapping[str, Any]]) -> Pipeline:
    """Build a pipeline from its YAML form, ``[{RandomCrop: {size: 32, padding: 4}}, ToArray]``.

    Raises:
        ValueError: an unknown name or argument, an argument that does not fit, or another end than one of `ENDS`.
    """
    steps = [_build_step(spec) for spec in specs]
    names = [name for name, _ in steps]
    if not any(names[-len(end) :] == list(end) for end in ENDS):
        ends = ", or in ".join(" and ".join(end) for end in ENDS)
        raise ValueError(f"the transforms must end in {ends}; got {', '.join(names) or 'none'}")
    return Pipeline(steps)


def _build_step(spec: str | Mapping[str, Any]) -> tuple[str, Callable]:
    if isinstance(spec, Mapping) and len(spec) == 1:
        name, arguments = next(iter(spec.items()))
        arguments = {} if arguments is None else arguments
    else:
        name, arguments = spec, {}
    if not isinstance(name, str):
        raise ValueError(f"a transform is written `- Name` or `- Name: {{argument: value}}`, got {spec!r}")
    factory = TRANSFORMS.get(name)
    if not isinstance(arguments, Mapping):
        first = next(iter(inspect.signature(factory).parameters), "argument")
        raise ValueError(
            f"a transform is written `- {name}: {{argument: value}}`, got {spec!r}: write "
            f"`- {name}: {{{first}: {arguments}}}`"
        )
    check_arguments(factory, arguments, f"transform {name}")
    try:
        inspect.signature(factory).bind(**arguments)
        return name, factory(**arguments)
    except (TypeError, ValueError, AssertionError) as error:  # Paddle checks its arguments with assert
        raise ValueError(f"transform {name}: {error}") from None
