"""Everything that is written from the records: the figure, the section of both READMEs, and the methods' cards."""

from __future__ import annotations

from pathlib import Path

from ppeffconv.utils.markers import write_between

from . import figures
from .large import large_networks
from .measure import read_speed
from .record import read_records
from .rows import BASELINE, ROWS
from .tables import LANGUAGES, Records, Speed, measured_on, of_method, runs_table, summary, weights_table

MARKER = "results"
FOLDER = "configs/results"
RECORDS, SPEED, FIGURE = "runs", "speed.json", "accuracy.png"
CAPTION = {
    "en": "Accuracy on Fashion-MNIST against multiply-adds and milliseconds",
    "zh": "Fashion-MNIST 准确率与乘加次数、毫秒",
}
READMES = {"README.md": "en", "README_zh.md": "zh"}


def write_documents(root: Path) -> list[Path]:
    """Write the figure and all tables under ``root``, the repository; returns the files.

    Raises:
        FileNotFoundError, ValueError: a document is missing, or does not hold its markers.
    """
    folder = root / FOLDER
    records, speed = read_records(folder / RECORDS), read_speed(folder / SPEED)
    texts = {folder / "README.md": _details(records, speed)}
    for name, language in READMES.items():
        texts[root / name] = _section(records, speed, language)
    for method in dict.fromkeys(row.method for row in ROWS.values()):
        card = _joined(_card(records, speed, method), large_networks(root, method))
        texts[root / "configs" / method / "README.md"] = card
    if BASELINE in records:
        figures.draw(records, speed, folder / FIGURE)
    for document, text in texts.items():
        write_between(document, MARKER, text)
    return list(texts)


def _section(records: Records, speed: Speed, language: str) -> str:
    """Of a README: the figure first, and the rows that are trained."""
    trained = [name for name in ROWS if name in records]
    if not trained:
        return LANGUAGES[language].nothing
    figure = f"![{CAPTION[language]}]({FOLDER}/{FIGURE})" if BASELINE in records else ""
    return _joined(figure, summary(records, speed, trained, language), measured_on(speed, language))


def _card(records: Records, speed: Speed, method: str) -> str:
    only = of_method(method)
    own = only if method == "baselines" else only[1:]
    return _joined(summary(records, speed, only), measured_on(speed), weights_table(records, own))


def _details(records: Records, speed: Speed) -> str:
    figure = f"![{CAPTION['en']}]({FIGURE})" if BASELINE in records else ""
    runs = runs_table(records) if records else ""
    return _joined(figure, summary(records, speed), measured_on(speed), weights_table(records), runs)


def _joined(*parts: str) -> str:
    return "\n\n".join(filter(None, parts))
