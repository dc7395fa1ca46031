"""Transfers from a server that breaks off, stalls, is busy, redirects, lies and changes its file."""

from __future__ import annotations

import io
import logging
import re
import threading
import urllib.request
from datetime import datetime, timedelta, timezone
from email.message import Message
from email.utils import format_datetime

import pytest

from ppeffconv.utils import progress, transfer
from ppeffconv.utils.transfer import TransferError

from .http_server import CONTENT, OTHER, Server, chunked, cut, ranges, status, unknown_length, whole

LIMIT = 2_000_000
HALF = len(CONTENT) // 2


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """The seconds that were waited between attempts; nobody really waits."""
    waits = []
    monkeypatch.setattr(transfer, "sleep", waits.append)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return waits


@pytest.fixture
def server():
    with Server() as server:
        yield server


@pytest.fixture
def part(tmp_path):
    return tmp_path / ".x.part"


def left(part):
    return sorted(path.name for path in part.parent.iterdir())


@pytest.mark.parametrize("step", [whole(), unknown_length(), ranges(), whole(length="what")])
def test_servers_that_behave(server, part, step):
    assert transfer.transfer(server.plan("/x", step), part, LIMIT) is False
    assert part.read_bytes() == CONTENT


def test_it_goes_on_where_it_broke_off(server, part):
    url = server.plan("/x", cut(HALF, tag='"one"'), cut(HALF, tag='"one"'), ranges())
    assert transfer.transfer(url, part, LIMIT) is True
    assert part.read_bytes() == CONTENT
    assert server.requests("/x")[1]["If-Range"] == '"one"'
    assert server.requests("/x")[2]["Range"] == f"bytes={HALF}-"


def test_it_goes_on_by_the_date_too(server, part):
    date = "Wed, 21 Oct 2015 07:28:00 GMT"
    url = server.plan("/x", cut(HALF, Last_Modified=date), ranges(tag=date))
    transfer.transfer(url, part, LIMIT)
    assert part.read_bytes() == CONTENT
    assert server.requests("/x")[1]["If-Range"] == date


@pytest.mark.parametrize("tag", [None, 'W/"weak"'])
def test_without_a_validator_it_starts_anew(server, part, tag):
    transfer.transfer(server.plan("/x", cut(HALF, tag=tag), ranges()), part, LIMIT)
    assert part.read_bytes() == CONTENT
    assert "Range" not in server.requests("/x")[1]


@pytest.mark.parametrize(
    "after",
    [
        whole(OTHER),  # ignores ranges
        ranges(OTHER, tag='"two"'),  # the file has changed
        ranges(OTHER, tag='"two"', obey_if_range=False),  # it goes on in a changed file, and its tag says so
        ranges(OTHER, shift=1),  # it goes on elsewhere
        ranges(OTHER[:-1], obey_if_range=False),  # it goes on in a file of another size
        ranges(OTHER[: HALF - 1], obey_if_range=False),  # the file has shrunk: 416
    ],
)
def test_only_the_rest_of_the_same_file_is_appended(server, part, after):
    url = server.plan("/x", cut(HALF, tag='"one"'), after)
    assert transfer.transfer(url, part, LIMIT) is False
    assert part.read_bytes() in (OTHER, OTHER[:-1], OTHER[: HALF - 1])


def test_an_answer_to_a_range_that_nobody_asked_for(server, part):
    url = server.plan("/x", lambda handler: handler.begin(206, Content_Length=0, Content_Range="bytes 5-9/10"))
    with pytest.raises(TransferError, match="did not go on"):
        transfer.transfer(url, part, LIMIT)


@pytest.mark.parametrize("step", [cut(HALF), chunked(100), cut(0, Content_Type="x")])
def test_it_gives_up_after_some_attempts_and_leaves_nothing_useless(server, part, step, waits):
    with pytest.raises(TransferError, match=r"\(5 attempts\)"):
        transfer.transfer(server.plan("/x", step), part, LIMIT)
    assert len(server.seen) == transfer.ATTEMPTS
    assert left(part) == []
    assert len(waits) == 4
    assert all(0.5 * 2**n <= wait <= 0.75 * 2**n for n, wait in enumerate(waits))
    assert len({wait / 2**n for n, wait in enumerate(waits)}) == 4  # by chance, so that not all come back at once


def test_what_can_be_continued_is_kept(server, part):
    url = server.plan("/x", cut(HALF, tag='"one"'), status(500))
    with pytest.raises(TransferError, match="answered 500"):
        transfer.transfer(url, part, LIMIT)
    assert left(part) == [".x.part", ".x.part.origin"]
    server.plan("/x", ranges())
    assert transfer.transfer(url, part, LIMIT) is True
    assert part.read_bytes() == CONTENT


def test_a_part_of_another_address_is_not_taken(server, part):
    with pytest.raises(TransferError):
        transfer.transfer(server.plan("/other", cut(HALF, OTHER, tag='"one"'), status(500)), part, LIMIT)
    transfer.transfer(server.plan("/x", ranges()), part, LIMIT)
    assert part.read_bytes() == CONTENT


def test_a_whole_part_needs_no_server(server, part):
    url = server.plan("/x", ranges())
    transfer.transfer(url, part, LIMIT)
    assert transfer.transfer(url, part, LIMIT) is True
    assert len(server.seen) == 1


def test_a_damaged_note_of_the_origin(server, part):
    part.write_bytes(b"abc")
    part.with_name(f"{part.name}.origin").write_text("{")
    transfer.transfer(server.plan("/x", ranges()), part, LIMIT)
    assert part.read_bytes() == CONTENT


def test_a_stalling_server(server, part, monkeypatch):
    monkeypatch.setattr(transfer, "TIMEOUT", 0.2)
    url = server.plan("/x", lambda handler: handler.server.stop.wait(), ranges())
    server.stop = threading.Event()
    transfer.transfer(url, part, LIMIT)
    server.stop.set()
    assert part.read_bytes() == CONTENT


def test_a_server_that_stalls_in_the_middle(server, part, monkeypatch):
    """What has come before is kept."""
    monkeypatch.setattr(transfer, "TIMEOUT", 0.2)
    stop = threading.Event()

    def stall(handler):
        handler.begin(200, Content_Length=len(CONTENT), ETag='"one"')
        handler.wfile.write(CONTENT[:HALF])
        handler.wfile.flush()
        stop.wait()

    url = server.plan("/x", stall, ranges())
    assert transfer.transfer(url, part, LIMIT) is True
    stop.set()
    assert part.read_bytes() == CONTENT
    assert server.requests("/x")[1]["Range"] == f"bytes={HALF}-"


def test_no_server(part, waits):
    with pytest.raises(TransferError, match="Connection refused"):
        transfer.transfer("http://127.0.0.1:1/x", part, LIMIT)
    assert len(waits) == 4


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 501])
def test_refusals_are_final(server, part, code):
    with pytest.raises(TransferError, match=f"answered {code}"):
        transfer.transfer(server.plan("/x", status(code)), part, LIMIT)
    assert len(server.seen) == 1


def test_a_success_without_a_file(server, part):
    with pytest.raises(TransferError, match="answered 204"):
        transfer.transfer(server.plan("/x", status(204)), part, LIMIT)


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_a_busy_server(server, part, code):
    transfer.transfer(server.plan("/x", status(code), whole()), part, LIMIT)
    assert part.read_bytes() == CONTENT


def test_retry_after(server, part, waits):
    date = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=30), usegmt=True)
    steps = [status(429, Retry_After=after) for after in ("7", date, "soon", "-3")]
    transfer.transfer(server.plan("/x", *steps, whole()), part, LIMIT)
    assert waits[0] == 7
    assert 25 < waits[1] <= 30
    assert 2 <= waits[2] <= 3  # not understood: as without
    assert 4 <= waits[3] <= 6


def test_retry_after_has_a_limit(server, part, waits):
    with pytest.raises(TransferError, match="answered 429.*asks to come back in 3600 s"):
        transfer.transfer(server.plan("/x", status(429, Retry_After="3600"), whole()), part, LIMIT)
    assert waits == []


def test_redirects(server, part):
    url = server.plan("/a", status(301, Location="/b"))
    server.plan("/b", status(307, Location="/x"))
    server.plan("/x", whole())
    transfer.transfer(url, part, LIMIT)
    assert part.read_bytes() == CONTENT


def test_a_redirect_loop(server, part):
    url = server.plan("/a", status(302, Location="/b"))
    server.plan("/b", status(302, Location="/a"))
    with pytest.raises(TransferError, match="infinite loop"):
        transfer.transfer(url, part, LIMIT)
    assert len(server.seen) <= 12


@pytest.mark.parametrize("address", ["ftp://127.0.0.1/x", "file:///etc/passwd", "data:,x"])
def test_a_redirect_to_elsewhere(server, part, address):
    with pytest.raises(TransferError, match=f"(?i)redirect.*{address}"):
        transfer.transfer(server.plan("/a", status(302, Location=address)), part, LIMIT)
    assert left(part) == []


def redirect(before, after):
    request, body = urllib.request.Request(before), io.BytesIO()
    return transfer._Redirects().redirect_request(request, body, 302, "Found", Message(), after)


def test_never_from_https_to_http():
    with pytest.raises(TransferError, match="from https to http is refused"):
        redirect("https://host/x", "http://host/x")
    assert redirect("http://host/x", "https://host/x").full_url == "https://host/x"
    assert redirect("https://host/x", "https://other/x").full_url == "https://other/x"


def test_a_length_that_is_too_small(server, part):
    """Not a byte is read past the end that the server has named."""
    transfer.transfer(server.plan("/x", whole(length=1000)), part, LIMIT)
    assert part.read_bytes() == CONTENT[:1000]


def test_a_length_that_is_too_large(server, part):
    with pytest.raises(TransferError, match=f"broke off after {len(CONTENT)} of {len(CONTENT) + 5} bytes"):
        transfer.transfer(server.plan("/x", whole(length=len(CONTENT) + 5)), part, LIMIT)


@pytest.mark.parametrize("step", [whole(), unknown_length(), cut(10, tag='"one"')])
def test_the_size_limit(server, part, step):
    with pytest.raises(TransferError, match="1000 bytes is the limit"):
        transfer.transfer(server.plan("/x", step), part, 1000)
    assert len(server.seen) == 1
    assert left(part) == []


def test_a_rest_that_exceeds_the_limit(server, part):
    """The whole counts, not what is still to come."""
    url = server.plan("/x", cut(HALF, tag='"one"'), status(500))
    with pytest.raises(TransferError):
        transfer.transfer(url, part, LIMIT)
    server.plan("/x", ranges())
    with pytest.raises(TransferError, match="is the limit"):
        transfer.transfer(url, part, HALF + 10)


def test_a_full_disk_is_not_a_lost_connection(server, tmp_path, waits):
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(TransferError, match="/dev/full: No space left"):
        transfer._write(full, CONTENT)
    with pytest.raises(TransferError, match="cannot write .*: No such file"):
        transfer.transfer(server.plan("/x", whole()), tmp_path / "absent" / "x.part", LIMIT)
    assert waits == []


def test_a_proxy(server, part, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.delenv("no_proxy", raising=False)
    server.plan("http://example.invalid/x", whole())
    transfer.transfer("http://example.invalid/x", part, LIMIT)
    assert part.read_bytes() == CONTENT


class TestProgress:
    def test_lines(self, monkeypatch, caplog):
        monkeypatch.setattr(logging.getLogger("ppeffconv"), "propagate", True)
        caplog.set_level(logging.INFO, "ppeffconv")
        now = iter((0.0, 3.0, 6.0, 6.0, 9.0, 12.0, 12.0))
        monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
        with progress.progress("x.bin", 4 << 20, 1 << 20) as advance:
            for _ in range(3):
                advance(1 << 19)
        assert [record.message for record in caplog.records] == ["x.bin: 2.0 of 4.0 MB (50%)"]
        with progress.progress("x.bin", None) as advance:
            advance(1 << 20)

    def test_a_bar(self, monkeypatch, capsys):
        monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
        with progress.progress("x.bin", 1 << 20, 1 << 19) as advance:
            advance(1 << 19)
        shown = capsys.readouterr().err
        assert re.search(r"x\.bin: +50%", shown)
        assert "1.00M/1.00M" in shown
