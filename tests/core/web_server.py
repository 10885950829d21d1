"""A server on the loopback interface that behaves as badly as the path says."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Callable, Iterator

import cv2
import numpy as np

BOUNDARY = "picture"


def jpeg(width: int = 64, grey: int = 90) -> bytes:
    return cv2.imencode(".jpg", np.full((48, width, 3), grey, np.uint8))[1].tobytes()


def multipart(pictures: list[bytes], with_length: bool = True) -> Iterator[bytes]:
    for picture in pictures:
        length = f"Content-Length: {len(picture)}\r\n" if with_length else ""
        yield f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\n{length}\r\n".encode() + picture + b"\r\n"


class Server(http.server.ThreadingHTTPServer):
    """``answers`` maps paths to functions that write an answer; ``asked`` lists the paths, ``heads`` their headers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []
        self.heads: list[dict[str, str]] = []
        self.answers: dict[str, Callable[[_Handler], None]] = {}
        self.over = threading.Event()

    @classmethod
    @contextlib.contextmanager
    def running(cls) -> Iterator[Server]:
        """One that answers until the end of the block."""
        with cls() as made:
            thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
            thread.start()
            yield made
            made.over.set()
            made.shutdown()
            thread.join()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are what is tested."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.heads.append(dict(self.headers))
        answer = self.server.answers.get(self.path)
        if answer is None:
            self.send_error(404)
        else:
            answer(self)

    def head(self, status: int = 200, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on stderr."""


def whole(content: bytes, kind: str = "image/jpeg") -> Callable[[_Handler], None]:
    def answer(handler: _Handler) -> None:
        handler.head(Content_Type=kind, Content_Length=len(content))
        handler.wfile.write(content)

    return answer


def moved(place: str, status: int = 302) -> Callable[[_Handler], None]:
    return lambda handler: handler.head(status, Location=place, Content_Length=0)


def endless(chunk: bytes, first: bytes = b"", kind: str = "image/jpeg") -> Callable[[_Handler], None]:
    def answer(handler: _Handler) -> None:
        handler.head(Content_Type=kind)
        handler.wfile.write(first)
        while not handler.server.over.is_set():
            handler.wfile.write(chunk)

    return answer


def silent(first: bytes = b"") -> Callable[[_Handler], None]:
    """Sends what is given, even of the status line, and then nothing."""

    def answer(handler: _Handler) -> None:
        handler.wfile.write(first)
        handler.wfile.flush()
        handler.server.over.wait(60)

    return answer
