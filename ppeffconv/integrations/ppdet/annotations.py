"""COCO files as they come: what cannot be used is left out and counted, before PaddleDetection stumbles over it."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

from PIL import Image, ImageFile

from ...data.image_files import UnreadableImageError, read_image
from ...utils.files import replacing
from ...utils.logger import get_logger
from ..places import how_to_get

TOLERANCE = 1.0  # pixels by which a box may stand out of its image, as some of COCO's do


def sound_copy(annotation: Path, image_dir: Path, num_classes: int, target: Path) -> Path:
    """Return ``annotation`` if all of it can be used, else ``target``, a copy without what cannot.

    Left out, and counted in the log: images that are missing or damaged; boxes of unknown images or categories, without
    area, or outside their image. Boxes that stand out of their image are cut.

    Args:
        annotation: a COCO file.
        image_dir: where its images are.
        num_classes: of the detector.
        target: where the copy goes, if one is needed.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: it is not a COCO file, it has another number of categories than the detector, or no image or no
            box is left.
    """
    content = _read(annotation, num_classes)
    if not image_dir.is_dir():
        raise FileNotFoundError(
            f"no image folder {image_dir}{how_to_get(image_dir)}; see image_dir and dataset_dir in the configuration"
        )
    counts: Counter[str] = Counter()
    images = [image for image in content["images"] if _usable(image, image_dir, counts)]
    sizes = {image["id"]: (image["width"], image["height"]) for image in images}
    left_out = {image["id"] for image in content["images"]} - sizes.keys()
    categories = {category["id"] for category in content["categories"]}
    boxes = []
    for box in content.get("annotations", []):
        if box.get("image_id") not in left_out and _repair(box, sizes, categories, counts):
            boxes.append(box)
    if not images:
        raise ValueError(f"{annotation}: none of its {len(content['images'])} images in {image_dir} can be used")
    if all(box["iscrowd"] for box in boxes):
        raise ValueError(
            f"{annotation}: none of its {len(content.get('annotations', []))} boxes can be used to train or to judge a "
            f"detector{_listed(counts)}{f', {len(boxes)} of crowds' if boxes else ''}"
        )
    if not counts:
        return annotation
    with replacing(target) as temporary:
        temporary.write_text(json.dumps({**content, "images": images, "annotations": boxes}), encoding="utf-8")
    get_logger().warning(
        f"{annotation}{_listed(counts)}; {len(images)} images with {len(boxes)} boxes are used: {target}"
    )
    return target


def categories(annotation: Path) -> dict[int, str]:
    """The categories of a COCO file in the order of a detector's classes: id -> name."""
    content = json.loads(annotation.read_text(encoding="utf-8"))
    return {row["id"]: str(row.get("name", row["id"])) for row in content["categories"]}


def check_same_classes(train: Path, evaluation: Path) -> None:
    """Refuse to evaluate on other classes than are trained: PaddleDetection goes by their order alone.

    Raises:
        ValueError: ids or names of the categories of the two COCO files differ.
    """
    first, second = categories(train), categories(evaluation)
    if list(first.items()) != list(second.items()):
        pairs = zip([*first.items(), None], [*second.items(), None])
        a, b = next((a, b) for a, b in pairs if a != b)
        raise ValueError(
            f"the categories of {train} and {evaluation} must be the same, in the same order: they have {len(first)} "
            f"and {len(second)}, and differ first in {a} and {b} (id, name)"
        )


def _listed(counts: Counter[str]) -> str:
    found = ", ".join(f"{number} {what}" for what, number in sorted(counts.items()))
    return f": {found}" if found else ""


def damage(path: Path) -> str:
    """Return why an image file cannot be used, "" if it can.

    A JPEG or PNG file that ends as it should is taken for whole; any other is decoded.
    """
    try:
        with path.open("rb") as file:
            head = file.read(8)
            file.seek(max(0, path.stat().st_size - 12))
            tail = file.read()
    except OSError as error:
        return error.strerror
    jpeg = head.startswith(b"\xff\xd8\xff") and tail.endswith(b"\xff\xd9")
    png = head == b"\x89PNG\r\n\x1a\n" and tail[4:8] == b"IEND"
    return "" if jpeg or png else _decoding_error(path)


def _decoding_error(path: Path) -> str:
    tolerant, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False  # PaddleDetection sets it
    try:
        read_image(path)
    except UnreadableImageError as error:
        return str(error).removeprefix(f"cannot read image {path}: ")
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = tolerant
    return ""


def _read(annotation: Path, num_classes: int) -> dict[str, Any]:
    if not annotation.is_file():
        raise FileNotFoundError(
            f"no annotation file {annotation}{how_to_get(annotation)}; see anno_path and dataset_dir in the "
            "configuration"
        )
    try:
        content = json.loads(annotation.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{annotation}: not a JSON file: {error}") from None
    missing = [key for key in ("images", "categories") if not isinstance(content, dict) or key not in content]
    if missing:
        raise ValueError(f"{annotation}: not a COCO file: it has no {' and no '.join(missing)}")
    number = len(content["categories"])
    if number != num_classes:  # one too many would be a class that nothing trains, and no evaluation can name
        raise ValueError(
            f"{annotation} has {number} categories, but num_classes is {num_classes}: -o num_classes={number}"
        )
    return content


def _usable(image: dict[str, Any], image_dir: Path, counts: Counter[str]) -> bool:
    path = image_dir / image["file_name"]
    if not path.is_file():
        counts["images missing"] += 1
        return False
    if problem := damage(path):
        counts["images damaged"] += 1
        get_logger().warning(f"{path}: {problem}")
        return False
    if "width" not in image or "height" not in image:
        counts["images without a size"] += 1
        with Image.open(path) as file:
            image["width"], image["height"] = file.size
    return True


def _repair(box: dict[str, Any], sizes: dict[Any, Any], categories: set[Any], counts: Counter[str]) -> bool:
    """Whether a box can be used, perhaps after it was cut and completed, both in place."""
    problem = _problem(box, sizes, categories)
    if problem:
        counts[f"boxes {problem}"] += 1
        return False
    width, height = sizes[box["image_id"]]
    x, y, w, h = box["bbox"]
    if min(x, y) < -TOLERANCE or x + w > width + TOLERANCE or y + h > height + TOLERANCE:
        counts["boxes cut at the image's edge"] += 1
        left, top, right, bottom = max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)
        box["bbox"] = [left, top, right - left, bottom - top]
        box["area"] = min(box.get("area", math.inf), (right - left) * (bottom - top))
    for key, value in (("area", w * h), ("iscrowd", 0)):
        if key not in box:
            counts[f"boxes whose {key} is not given"] += 1
            box[key] = value
    return True


def _problem(box: dict[str, Any], sizes: dict[Any, Any], categories: set[Any]) -> str:
    if box.get("image_id") not in sizes:
        return "of unknown images"
    if box.get("category_id") not in categories:
        return "of unknown categories"
    numbers = box.get("bbox")
    if not isinstance(numbers, list) or len(numbers) != 4 or not all(_finite(number) for number in numbers):
        return "without four numbers"
    x, y, w, h = numbers
    if w <= 0 or h <= 0 or box.get("area", 1) <= 0:
        return "without area"
    width, height = sizes[box["image_id"]]
    return "outside their image" if x >= width or y >= height or x + w <= 0 or y + h <= 0 else ""


def _finite(number: Any) -> bool:
    return isinstance(number, (int, float)) and math.isfinite(number)
