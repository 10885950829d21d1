"""Pictures and streams from http(s) addresses: within bounds of size and time, from the address that was checked.

Only ever asked for what a user named. Proxies are not used: behind one, nobody could tell which address is reached.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import socket
import ssl
import threading
import time
from urllib.parse import urljoin

from emotion_core.errors import EmotionError
from emotion_core.media.addresses import PICTURES, Found, is_url, login, look_up, shown, split
from emotion_core.media.headers import kind_of
from emotion_core.media.pictures import StoredPicture, decode_picture

MAX_BYTES = 100_000_000
"""More than any picture that can be decoded has, those of 250 megapixels without compression excepted."""

LIMIT_S = 30.0
"""For a picture in all: connecting, redirects and every byte."""

MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_HEAD = 4096  # bytes in which every kind of picture shows itself
_CHUNK = 1 << 16


class Answer:
    """What a server answers, from its first byte on.

    Args:
        url: of which; redirects are followed, to public addresses only unless others are allowed.
        allow_private: take addresses of the own machine and network.
        limit_s: for everything, until ``stay`` is called.

    Attributes:
        url: as shown in messages.
        type: the media type that the server claims, in small letters; boundary: its parameter of that name.
        length: bytes to come, None where the server does not say.

    Raises:
        EmotionError: there is no such host, address or answer, or it is not allowed; one line with the address.
    """

    def __init__(self, url: str, allow_private: bool = False, limit_s: float = LIMIT_S) -> None:
        self.url, self._limit_s = shown(url), limit_s
        self._late = False
        self._socket: socket.socket | None = None
        self._response: http.client.HTTPResponse | None = None
        self._end_s = time.monotonic() + limit_s
        self._timer = threading.Timer(limit_s, self._cut)
        self._timer.daemon = True
        self._timer.start()
        try:
            self._response = self._follow(url, allow_private)
        except BaseException as error:
            self.close()
            raise self._told(error) from None
        self.type = self._response.headers.get_content_type()
        self.boundary = self._response.headers.get_boundary("")
        self.length = self._response.length
        self._read, self._head = 0, b""

    def peek(self) -> bytes:
        """The first bytes, some thousand or all there are; ``read`` gives them too."""
        while len(self._head) < _HEAD and (chunk := self._next(_HEAD - len(self._head))):
            self._head += chunk
        return self._head

    def read(self, size: int = _CHUNK) -> bytes:
        """Up to so many bytes; none at the end. Raises EmotionError where the connection breaks or time is up."""
        if self._head:
            part, self._head = self._head[:size], self._head[size:]
            return part
        return self._next(size)

    def stay(self, silence_s: float) -> None:
        """From now on only silence of so many seconds ends it."""
        self._timer.cancel()
        self._limit_s = silence_s
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it ended already
                self._socket.settimeout(silence_s)

    def close(self) -> None:
        """End the connection."""
        self._timer.cancel()
        if self._socket is not None:
            self._socket.close()
        if self._response is not None:
            self._response.close()

    def _next(self, size: int) -> bytes:
        try:
            data = b"" if self._response is None else self._response.read1(size)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise self._told(error) from None
        if self._late:
            raise self._told(TimeoutError())
        self._read += len(data)
        if not data and self.length is not None and self._read < self.length:
            raise EmotionError(f"{self.url}: the connection ended after {self._read} of {self.length} bytes: try again")
        return data

    def _follow(self, url: str, allow_private: bool) -> http.client.HTTPResponse:
        for _ in range(MAX_REDIRECTS + 1):
            response = self._ask(url, allow_private)
            place = response.headers.get("Location")
            if response.status not in _REDIRECTS or not place:
                if response.status != 200:
                    raise EmotionError(f"{self.url}: the server answers {response.status} {response.reason}")
                return response
            response.close()
            target = urljoin(url, place)
            kinds = PICTURES if url.lower().startswith("http:") else ("https",)
            if not is_url(target, kinds):
                raise EmotionError(f"{self.url}: redirects to {shown(target)}: expected {' or '.join(kinds)}")
            url = target
        raise EmotionError(f"{self.url}: redirects more than {MAX_REDIRECTS} times")

    def _ask(self, url: str, allow_private: bool) -> http.client.HTTPResponse:
        parts, host, port = split(url)
        secure = parts.scheme == "https"
        headers = {"User-Agent": "emotion-perception", "Accept-Encoding": "identity", "Connection": "close"}
        if (user := login(parts)) is not None:
            headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()
        raw = self._connect(look_up(host, port, allow_private))
        if secure:
            context = ssl.create_default_context()
            self._socket = raw = context.wrap_socket(raw, server_hostname=host, do_handshake_on_connect=False)
            raw.do_handshake()
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(host, port, context=context)
        else:
            connection = http.client.HTTPConnection(host, port)
        connection.sock = raw  # which was checked: the connection would look the name up again
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", target, headers=headers)
        return connection.getresponse()

    def _connect(self, addresses: list[Found]) -> socket.socket:
        """To the first that answers."""
        if self._socket is not None:
            self._socket.close()
        failure: OSError = TimeoutError()
        for address in addresses:
            left_s = self._end_s - time.monotonic()
            if left_s <= 0:
                break
            self._socket = socket.socket(address.family, socket.SOCK_STREAM)
            self._socket.settimeout(left_s)
            try:
                self._socket.connect(address.socket_address)
                return self._socket
            except OSError as error:
                self._socket.close()
                failure = error
        raise failure

    def _cut(self) -> None:
        """Time is up: whoever waits for the server waits no more."""
        self._late = True
        if self._socket is not None:
            with contextlib.suppress(OSError):  # not connected yet, or no more
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # TLS's own would say good-bye, and wait

    def _told(self, error: BaseException) -> BaseException:
        """The error for users; what is no mistake of theirs or the server's stays as it is."""
        if self._late or isinstance(error, TimeoutError):
            return EmotionError(f"{self.url}: no whole answer within {self._limit_s:g} s: try again later")
        if isinstance(error, EmotionError):
            text = str(error)
            return error if text.startswith(self.url) else EmotionError(f"{self.url}: {text}")
        if isinstance(error, OSError):
            return EmotionError(f"{self.url}: cannot be reached: {error.strerror or error}")
        if isinstance(error, http.client.HTTPException | ValueError):
            said = ascii(str(error))[:60]  # of the server, whatever it is
            return EmotionError(f"{self.url}: the answer is no whole HTTP: {type(error).__name__} {said}")
        return error


def fetch_picture(
    url: str, allow_private: bool = False, limit_s: float = LIMIT_S, max_bytes: int = MAX_BYTES
) -> StoredPicture:
    """The picture at an http(s) address; raises EmotionError, with the address, for whatever is wrong with it."""
    answer = Answer(url, allow_private, limit_s)
    try:
        return read_picture_of(answer, max_bytes)
    finally:
        answer.close()


def read_picture_of(answer: Answer, max_bytes: int = MAX_BYTES) -> StoredPicture:
    """The picture that an answer holds; not read to its end where it is none, or too large."""
    if kind_of(answer.peek()) is None:
        raise EmotionError(f"{answer.url}: expected a picture, got {answer.type}")
    content = bytearray()
    while (answer.length or 0) <= max_bytes and len(content) <= max_bytes:
        if not (chunk := answer.read()):
            break
        content += chunk
    else:
        raise EmotionError(f"{answer.url}: expected a picture of at most {max_bytes / 1e6:g} MB, more is coming")
    try:
        return decode_picture(bytes(content))
    except EmotionError as error:
        raise EmotionError(f"{answer.url} is not a readable picture: {error}") from None
