"""Downloads from a server on the loopback interface."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ppeffconv.utils import download as module
from ppeffconv.utils.download import download

CONTENT = bytes(range(256)) * 5000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """/good serves the content; /flaky breaks off the first time; /broken breaks off each time; else 404."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.paths.append(self.path)
        name = self.path.strip("/")
        if name not in ("good", "flaky", "broken", "chunked"):
            self.send_error(404)
            return
        self.send_response(200)
        breaks = name in ("broken", "chunked") or (name == "flaky" and len(self.server.paths) == 1)
        if name == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"1000\r\n" + CONTENT[:100])
        else:
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[: len(CONTENT) // 2] if breaks else CONTENT)
        self.close_connection = breaks

    def log_message(self, *arguments):
        """Keep the test's output clean."""


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("PPEFFCONV_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.paths = []
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def files(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_downloads_once(server, tmp_path):
    path = download(f"{server.url}/good", SHA256)
    assert path == tmp_path / "home" / "good"
    assert path.read_bytes() == CONTENT
    assert download(f"{server.url}/good", SHA256.upper()) == path
    assert server.paths == ["/good"]


def test_a_damaged_copy_is_replaced(server, tmp_path):
    target = tmp_path / "home" / "weights.bin"
    target.parent.mkdir()
    target.write_bytes(b"half of it")
    assert download(f"{server.url}/good", SHA256, "weights.bin") == target
    assert target.read_bytes() == CONTENT


def test_an_interrupted_transfer_is_tried_again(server):
    assert download(f"{server.url}/flaky", SHA256).read_bytes() == CONTENT
    assert server.paths == ["/flaky"] * 2


@pytest.mark.parametrize("name", ["broken", "chunked"])
def test_gives_up_after_some_attempts_and_leaves_nothing(server, tmp_path, name):
    with pytest.raises(RuntimeError) as error:
        download(f"{server.url}/{name}", SHA256)
    assert server.paths == [f"/{name}"] * module.ATTEMPTS
    assert files(tmp_path / "home") == []
    for part in (f"{server.url}/{name}", str(tmp_path / "home" / name), SHA256):
        assert part in str(error.value)


def test_a_failure_keeps_the_old_file(server, tmp_path):
    target = tmp_path / "home" / "broken"
    target.parent.mkdir()
    target.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="broke off after 640000 of 1280000 bytes"):
        download(f"{server.url}/broken", SHA256)
    assert target.read_bytes() == b"old"


def test_wrong_checksum(server, tmp_path):
    with pytest.raises(RuntimeError, match=f"the file has sha256 {SHA256}.*sha256 {'0' * 64}"):
        download(f"{server.url}/good", "0" * 64)
    assert server.paths == ["/good"]
    assert files(tmp_path / "home") == []


def test_missing_on_the_server(server):
    with pytest.raises(RuntimeError, match="the server answered 404"):
        download(f"{server.url}/absent", SHA256)
    assert server.paths == ["/absent"]


def test_no_server(tmp_path, monkeypatch, server):
    with pytest.raises(RuntimeError, match="Connection refused"):
        download("http://127.0.0.1:1/good", SHA256)


def test_two_processes_download_once(server):
    """Threads stand in for processes: the file lock holds between both."""
    paths = []
    threads = [threading.Thread(target=lambda: paths.append(download(f"{server.url}/good", SHA256))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(paths)) == 1
    assert len(paths) == 4
    assert server.paths == ["/good"]


def test_home_defaults_to_the_cache_folder(monkeypatch):
    monkeypatch.delenv("PPEFFCONV_HOME", raising=False)
    monkeypatch.setenv("HOME", "/nowhere")
    assert str(module.home()) == "/nowhere/.cache/ppeffconv"
