"""What is downloaded, when, and where it lies; the server is real."""

from __future__ import annotations

import hashlib
import logging
import multiprocessing
import os
import signal
import threading
import time

import pytest

from ppeffconv.utils import download as module
from ppeffconv.utils import transfer
from ppeffconv.utils.download import download

from .http_server import CONTENT, OTHER, Server, cut, ranges, status, whole

SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = "md5:" + hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("PPEFFCONV_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(transfer, "FIRST_WAIT", 0.001)
    for name in ("PPEFFCONV_OFFLINE", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


@pytest.fixture
def server(home):
    with Server() as server:
        yield server


def files(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


@pytest.mark.parametrize("checksum", [SHA256, SHA256.upper(), f"sha256:{SHA256}", MD5])
def test_downloads_once(server, home, checksum):
    url = server.plan("/a%20b.bin", whole())
    assert download(url, checksum) == home / "a b.bin"
    assert (home / "a b.bin").read_bytes() == CONTENT
    assert download(url, checksum) == home / "a b.bin"
    assert len(server.seen) == 1
    assert files(home) == ["a b.bin"]


def test_a_damaged_copy_is_replaced(server, home):
    home.mkdir()
    (home / "x").write_bytes(b"half of it")
    assert download(server.plan("/good", whole()), SHA256, "x").read_bytes() == CONTENT


def test_a_folder_for_it(server, home):
    assert download(server.plan("/good", whole()), SHA256, "host/x.bin") == home / "host" / "x.bin"


def test_wrong_checksum(server, home):
    with pytest.raises(RuntimeError, match=f"the file has sha256 {SHA256}, not sha256 {'0' * 64}"):
        download(server.plan("/good", whole()), "0" * 64)
    assert len(server.seen) == 1
    assert files(home) == []


def test_a_failure_keeps_the_old_file_and_says_what_to_do(server, home):
    home.mkdir()
    (home / "absent").write_bytes(b"old")
    with pytest.raises(RuntimeError, match="the server answered 404") as error:
        download(f"{server.url}/absent", SHA256)
    for part in (f"{server.url}/absent", str(home / "absent"), f"sha256 {SHA256}", "PPEFFCONV_HOME", "https_proxy"):
        assert part in str(error.value)
    assert (home / "absent").read_bytes() == b"old"


def test_offline(server, home, monkeypatch):
    url = server.plan("/good", whole())
    monkeypatch.setenv("PPEFFCONV_OFFLINE", "1")
    with pytest.raises(RuntimeError, match="PPEFFCONV_OFFLINE is set.*save it as"):
        download(url, SHA256)
    assert server.seen == []
    monkeypatch.setenv("PPEFFCONV_OFFLINE", "0")
    download(url, SHA256)
    monkeypatch.setenv("PPEFFCONV_OFFLINE", "1")
    assert download(url, SHA256).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("url", "checksum", "filename"),
    [
        ("file:///etc/passwd", SHA256, None),
        ("https:///x", SHA256, None),
        ("https://host/", SHA256, None),
        ("https://host/..", SHA256, None),
        ("https://host/%2e%2e", SHA256, None),
        ("https://host/x", SHA256, "../x"),
        ("https://host/x", SHA256, "/x"),
        ("https://host/x", "abc", None),
        ("https://host/x", "md5:" + "0" * 64, None),
        ("https://host/x", "crc:" + "0" * 64, None),
    ],
)
def test_bad_arguments(home, url, checksum, filename):
    with pytest.raises(ValueError, match="expected an? |a checksum is"):
        download(url, checksum, filename)
    assert not home.exists()


class TestWithoutAChecksum:
    def test_the_first_download_pins_it(self, server, home, caplog, monkeypatch):
        monkeypatch.setattr(logging.getLogger("ppeffconv"), "propagate", True)
        url = server.plan("/x", whole(), whole(OTHER))
        download(url)
        assert (home / "x.sha256").read_text() == f"{SHA256}  x\n"
        assert SHA256 in caplog.text
        assert download(url).read_bytes() == CONTENT
        assert len(server.seen) == 1
        (home / "x").unlink()
        with pytest.raises(RuntimeError, match=r"as when it was first downloaded.*remove .*x\.sha256"):
            download(url)
        assert not (home / "x").exists()

    def test_only_https(self, home):
        with pytest.raises(RuntimeError, match="without a checksum only https is safe"):
            download("http://example.invalid/x")

    def test_a_copy_put_there_by_hand(self, home):
        home.mkdir()
        (home / "x").write_bytes(CONTENT)
        assert download("https://example.invalid/x") == home / "x"
        (home / "x").write_bytes(OTHER)
        with pytest.raises(RuntimeError, match="pinned in"):
            download("http://127.0.0.1:1/x")

    def test_a_damaged_pin(self, home):
        home.mkdir()
        (home / "x").write_bytes(CONTENT)
        (home / "x.sha256").write_text("what")
        with pytest.raises(RuntimeError, match=r"x\.sha256 is damaged"):
            download("https://example.invalid/x")


def test_a_changed_file_that_the_server_does_not_own_up_to(server, home):
    """A cache may answer with the rest of another file under the same name."""
    url = server.plan("/x", cut(300_000, OTHER, tag='"one"'), ranges())
    assert download(url, SHA256).read_bytes() == CONTENT
    assert [headers.get("Range") for headers in server.requests("/x")] == [None, "bytes=300000-", None]


def test_two_processes_download_once(server, home):
    url = server.plan("/slow", lambda handler: (time.sleep(0.3), whole()(handler)))
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=download, args=(url, SHA256)) for _ in range(2)]
    threads = [threading.Thread(target=download, args=(url, SHA256)) for _ in range(2)]
    for worker in processes + threads:
        worker.start()
    for worker in processes + threads:
        worker.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert (home / "slow").read_bytes() == CONTENT
    assert len(server.seen) == 1


def test_a_killed_process_is_continued(server, home):
    url = server.plan("/x", cut(500_000, tag='"one"', stall=20), ranges())
    process = multiprocessing.get_context("fork").Process(target=download, args=(url, SHA256))
    process.start()
    part = home / ".x.part"
    deadline = time.monotonic() + 20
    while not (part.exists() and part.stat().st_size):  # the buffer is written out in pieces
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    begun = part.stat().st_size
    assert 0 < begun <= 500_000
    assert download(url, SHA256).read_bytes() == CONTENT
    assert server.requests("/x")[1]["Range"] == f"bytes={begun}-"
    assert files(home) == ["x"]


def test_a_busy_server_and_a_redirect(server, home):
    url = server.plan("/from", status(302, Location="/to"))
    server.plan("/to", status(503), whole())
    assert download(url, SHA256) == home / "from"
    assert len(server.requests("/to")) == 2


def test_a_folder_that_cannot_be_written(home):
    home.write_text("a file where the folder should be")
    with pytest.raises(RuntimeError, match="PPEFFCONV_HOME names another folder"):
        download("https://example.invalid/x", SHA256)


def test_home_defaults_to_the_cache_folder(monkeypatch):
    monkeypatch.delenv("PPEFFCONV_HOME", raising=False)
    monkeypatch.setenv("HOME", "/nowhere")
    assert str(module.home()) == "/nowhere/.cache/ppeffconv"
