"""A real HTTP server on the loopback interface that misbehaves as told."""

from __future__ import annotations

import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTENT = bytes(range(256)) * 5000
OTHER = CONTENT[::-1]


class Server(ThreadingHTTPServer):
    """``plans`` maps a path to what happens to its requests, one after the other; the last one repeats.

    A step is a function of the request's handler. ``seen`` lists (path, headers) of every request.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.plans, self.seen, self.lock = {}, [], threading.Lock()

    def plan(self, path, *steps):
        self.plans[path] = list(steps)
        return self.url + path

    def requests(self, path):
        return [headers for seen, headers in self.seen if seen == path]

    def __enter__(self):
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return super().__enter__()

    def __exit__(self, *error):
        self.shutdown()
        return super().__exit__(*error)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        with self.server.lock:
            self.server.seen.append((self.path, dict(self.headers)))
            steps = self.server.plans.get(self.path) or [status(404)]
            step = steps.pop(0) if len(steps) > 1 else steps[0]
        step(self)

    def log_message(self, *arguments):
        """Keep the test's output clean."""

    def begin(self, code, **headers):
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()


def whole(content=CONTENT, length=None, tag=None):
    """The file; ``length`` is what Content-Length says. Ranges are ignored."""

    def step(handler):
        handler.begin(200, Content_Length=len(content) if length is None else length, **({"ETag": tag} if tag else {}))
        handler.wfile.write(content)
        handler.close_connection = True

    return step


def cut(after, content=CONTENT, tag=None, stall=0.0, **headers):
    """The first ``after`` bytes of the file, then silence for a while, and the end of the line."""

    def step(handler):
        handler.begin(200, Content_Length=len(content), **({"ETag": tag} if tag else {}), **headers)
        handler.wfile.write(content[:after])
        handler.wfile.flush()
        time.sleep(stall)
        handler.close_connection = True

    return step


def chunked(after):
    """A chunk that breaks off, of a file of unknown length."""

    def step(handler):
        handler.begin(200, Transfer_Encoding="chunked")
        handler.wfile.write(b"1000\r\n" + CONTENT[:after])
        handler.close_connection = True

    return step


def unknown_length(content=CONTENT):
    """The file without its length: it ends where the line does."""

    def step(handler):
        handler.begin(200, Connection="close")
        handler.wfile.write(content)
        handler.close_connection = True

    return step


def ranges(content=CONTENT, tag='"one"', obey_if_range=True, name_tag=True, shift=0):
    """The file or, if it is still that of If-Range, its rest: a server as it should be, but for the options."""

    def step(handler):
        start = re.match(r"bytes=(\d+)-$", handler.headers.get("Range", ""))
        same = handler.headers.get("If-Range") == tag or not obey_if_range
        if not start or not same:
            whole(content, tag=tag)(handler)
            return
        begin = int(start[1]) + shift
        if begin >= len(content):
            handler.begin(416, Content_Length=0)
            return
        place = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        tags = {"ETag": tag} if name_tag else {}
        handler.begin(206, Content_Length=len(content) - begin, Content_Range=place, **tags)
        handler.wfile.write(content[begin:])

    return step


def status(code, **headers):
    """An error, or a redirect with ``Location=``."""
    return lambda handler: handler.begin(code, Content_Length=0, **headers)
