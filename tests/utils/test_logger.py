"""Logging to the console and to a run's train.log."""

from __future__ import annotations

import logging

import pytest

from ppeffconv.utils import logger as module
from ppeffconv.utils.logger import get_logger, setup


@pytest.fixture(autouse=True)
def _restore():
    yield
    module.close()


def test_console_and_file(tmp_path, capsys):
    setup(tmp_path / "run")
    get_logger().info("epoch 1")
    assert "INFO: epoch 1" in capsys.readouterr().err
    assert "INFO: epoch 1" in (tmp_path / "run" / "train.log").read_text()


def test_setup_again_replaces_the_handlers(tmp_path, capsys):
    setup(tmp_path)
    setup(tmp_path)
    get_logger().info("once")
    assert capsys.readouterr().err.count("once") == 1
    assert (tmp_path / "train.log").read_text().count("once") == 1


def test_a_second_run_appends(tmp_path):
    for word in ("first", "second"):
        setup(tmp_path)
        get_logger().info(word)
    assert [line.split()[-1] for line in (tmp_path / "train.log").read_text().splitlines()] == ["first", "second"]


def test_what_was_told_before_the_run_had_a_folder_is_in_its_log(tmp_path):
    setup()
    get_logger().info("early")
    for name in ("one", "two"):
        setup(tmp_path / name)
        get_logger().info(name)
    setup(tmp_path / "other", rank=1)
    lines = {name: (tmp_path / name / "train.log").read_text().splitlines() for name in ("one", "two")}
    assert [line.split()[-1] for line in lines["one"]] == ["early", "one"]
    assert [line.split()[-1] for line in lines["two"]] == ["two"]


def test_other_ranks_only_warn_and_write_no_file(tmp_path, capsys):
    setup(tmp_path, rank=1)
    get_logger().info("chatter")
    get_logger().warning("trouble")
    error = capsys.readouterr().err
    assert "trouble" in error
    assert "chatter" not in error
    assert not (tmp_path / "train.log").exists()


def test_root_handlers_do_not_repeat_a_line(capsys):
    root = logging.StreamHandler()
    logging.getLogger().addHandler(root)
    try:
        setup()
        get_logger().info("once")
    finally:
        logging.getLogger().removeHandler(root)
    assert capsys.readouterr().err.count("once") == 1


def test_a_failing_disk_is_told_once_and_never_raises(tmp_path, capsys):
    class FullDisk:
        def write(self, text):
            raise OSError(28, "No space left on device")

        flush = close = lambda self: None

    logger = setup(tmp_path)
    handler = next(h for h in logger.handlers if isinstance(h, logging.FileHandler))
    handler.stream.close()
    handler.stream = FullDisk()
    for step in range(3):
        logger.info(f"step {step}")
    error = capsys.readouterr().err
    assert error.count("cannot write") == 1
    assert "train.log" in error
    assert "Traceback" not in error
    assert "step 2" in error


def test_closing_on_a_full_disk_does_not_raise(tmp_path):
    class FullDisk:
        def flush(self):
            raise OSError(28, "No space left on device")

        write = lambda self, text: None  # noqa: E731
        close = flush

    logger = setup(tmp_path)
    handler = next(h for h in logger.handlers if isinstance(h, logging.FileHandler))
    handler.stream.close()
    handler.stream = FullDisk()
    setup()


def test_a_folder_that_cannot_be_made_is_a_warning(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    setup(tmp_path / "file" / "run")
    assert "no log file: cannot write" in capsys.readouterr().err


def test_close_gives_the_logger_back(tmp_path):
    setup(tmp_path)
    module.close()
    assert get_logger().propagate
    assert get_logger().handlers == []
