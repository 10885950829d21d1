"""Pictures at http addresses: what is fetched, what is refused, and how each failure ends."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator

import pytest

from emotion_core.errors import EmotionError
from emotion_core.media import addresses
from emotion_core.media.addresses import is_public, is_url, look_up, shown
from emotion_core.media.web import Answer, fetch_picture

from .web_server import Server, endless, jpeg, moved, silent, whole

HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\n"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server.running() as made:
        yield made


def refused(url: str, said: str, **settings: object) -> str:
    with pytest.raises(EmotionError, match=said) as caught:
        fetch_picture(url, **{"allow_private": True, **settings})  # type: ignore[arg-type]
    text = str(caught.value)
    assert shown(url) in text and "\n" not in text
    return text


def test_a_picture_is_fetched_with_the_login_of_its_address(server: Server) -> None:
    server.answers["/a%20b.jpg?x=1"] = whole(jpeg(70), "text/plain")  # what it is, its bytes say
    url = server.url("/a%20b.jpg?x=1").replace("//", "//me:se%3Acret@")
    picture = fetch_picture(url, allow_private=True)
    assert (picture.width, picture.height) == (70, 48)
    assert server.asked == ["/a%20b.jpg?x=1"]
    assert server.heads[0]["Authorization"] == "Basic " + base64.b64encode(b"me:se:cret").decode()
    assert server.heads[0]["Host"] == f"127.0.0.1:{server.server_port}"


def test_the_own_machine_is_refused_unless_asked(server: Server) -> None:
    server.answers["/a.jpg"] = whole(jpeg())
    said = "is 127.0.0.1, an address of this machine or a private network: refused unless --allow-private"
    refused(server.url("/a.jpg"), said, allow_private=False)
    assert server.asked == []


def test_no_redirect_leads_into_a_private_network(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first server stands in for a public one."""
    server.answers |= {"/a": moved("http://10.0.0.1/b.jpg"), "/b": moved(server.url("/c.jpg")), "/c.jpg": whole(jpeg())}
    monkeypatch.setattr(addresses, "is_public", lambda number: number == "127.0.0.1")
    refused(server.url("/a"), "10.0.0.1 is 10.0.0.1, an address of this machine or a private", allow_private=False)
    assert fetch_picture(server.url("/b")).width == 64
    assert server.asked == ["/a", "/b", "/c.jpg"]


def test_the_address_that_was_checked_is_connected_to(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that says another address each time it is looked up is looked up once."""
    server.answers["/a.jpg"] = whole(jpeg())
    asked: list[str] = []

    def changing(host: str, port: int, *_: object, **__: object) -> list[tuple[object, ...]]:
        asked.append(host)
        number = "127.0.0.1" if len(asked) == 1 else "127.0.0.99"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (number, port))]

    monkeypatch.setattr(socket, "getaddrinfo", changing)
    assert fetch_picture(f"http://camera.test:{server.server_port}/a.jpg", allow_private=True).width == 64
    assert asked == ["camera.test"] and server.heads[0]["Host"] == f"camera.test:{server.server_port}"


def test_one_private_address_among_public_ones_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (number, 80)) for number in ("8.8.8.8", "192.168.1.2")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: entries)
    with pytest.raises(EmotionError, match=r"host is 192\.168\.1\.2"):
        look_up("host", 80)
    assert [found.socket_address[0] for found in look_up("host", 80, allow_private=True)] == ["8.8.8.8", "192.168.1.2"]


@pytest.mark.parametrize(
    ("number", "public"),
    [
        ("8.8.8.8", True), ("2606:4700:4700::1111", True), ("64:ff9b::808:808", True), ("::ffff:8.8.8.8", True),
        ("127.0.0.1", False), ("127.9.9.9", False), ("::1", False), ("0.0.0.0", False), ("::", False),
        ("10.1.2.3", False), ("172.16.0.1", False), ("192.168.0.1", False), ("100.64.0.1", False),
        ("169.254.169.254", False), ("fe80::1", False), ("fe80::1%eth0", False), ("fc00::1", False),
        ("::ffff:127.0.0.1", False), ("64:ff9b::7f00:1", False), ("2002:7f00:1::", False),
        ("224.0.0.1", False), ("ff02::1", False), ("255.255.255.255", False), ("240.0.0.1", False),
    ],
)  # fmt: skip
def test_which_addresses_are_public(number: str, public: bool) -> None:
    assert is_public(number) == public


@pytest.mark.parametrize("written", ["2130706433", "0x7f.1", "127.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"])
def test_other_ways_to_write_the_own_machine(server: Server, written: str) -> None:
    """What the system takes for an address is what is checked. Some of them are unknown on some systems."""
    refused(f"http://{written}:{server.server_port}/a.jpg", "this machine|is not known", allow_private=False)
    assert server.asked == []


def test_what_servers_say(server: Server) -> None:
    server.answers |= {
        "/page": whole(b"<html>no picture</html>", "text/html; charset=utf-8"),
        "/cut.jpg": whole(jpeg()[:200]),
        "/empty": whole(b""),
        "/round": moved("/round"),
        "/file": moved("file:///etc/passwd"),
        "/nowhere": lambda handler: handler.wfile.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n"),
    }
    refused(server.url("/none.jpg"), "the server answers 404 Not Found")
    refused(server.url("/page"), "expected a picture, got text/html")
    refused(server.url("/cut.jpg"), "is not a readable picture")
    refused(server.url("/empty"), "expected a picture, got image/jpeg")
    refused(server.url("/round"), "redirects more than 5 times")
    refused(server.url("/file"), "redirects to file:///etc/passwd: expected http or https")
    refused(server.url("/nowhere"), "the answer is no whole HTTP")


def test_half_a_picture(server: Server) -> None:
    content = jpeg()
    head = HEAD + f"Content-Length: {len(content)}\r\n\r\n".encode()
    server.answers["/half.jpg"] = lambda handler: handler.wfile.write(head + content[:300])
    refused(server.url("/half.jpg"), f"the connection ended after 300 of {len(content)} bytes")


def test_ten_gigabytes(server: Server) -> None:
    server.answers |= {
        "/said": lambda handler: handler.wfile.write(
            HEAD + b"Content-Length: 10000000000\r\n\r\n" + jpeg() + bytes(9000)
        ),
        "/unsaid": endless(bytes(1 << 16), jpeg()),
    }
    for path in ("/said", "/unsaid"):
        refused(server.url(path), "a picture of at most 1 MB, more is coming", max_bytes=1_000_000)


@pytest.mark.parametrize("first", [b"", b"HTTP/1.0 200 OK\r\nX: ", HEAD + b"\r\n" + jpeg()[:300]])
def test_silence_ends(server: Server, first: bytes) -> None:
    server.answers["/a.jpg"] = silent(first)
    refused(server.url("/a.jpg"), r"no whole answer within 0\.5 s", limit_s=0.5)


def test_an_answer_that_drips_ends_too(server: Server) -> None:
    """Each byte is in time; all of them are not."""

    def drip(handler: object) -> None:
        handler.wfile.write(b"HTTP/1.0 200 OK\r\nX: ")  # type: ignore[attr-defined]
        while not server.over.wait(0.02):
            handler.wfile.write(b"x")  # type: ignore[attr-defined]

    server.answers["/a.jpg"] = drip
    refused(server.url("/a.jpg"), r"no whole answer within 0\.5 s", limit_s=0.5)


def test_nobody_there() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        refused(f"http://127.0.0.1:{unused.getsockname()[1]}/a.jpg", "cannot be reached: Connection refused")


@pytest.mark.parametrize(
    "url", ["http:///a.jpg", "http://[::1", "http://host:99999/a", "http://ho st/a", "http://h/\n"]
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(EmotionError, match="expected an address such as"):
        Answer(url)


def test_passwords_are_never_shown() -> None:
    assert shown("http://me:secret@host:80/a@b?c=@d") == "http://host:80/a@b?c=@d"
    assert shown("rtsp://me:se@cret@host") == "rtsp://host"
    assert is_url("HTTPS://host") and not is_url("file:///a") and not is_url("a://b") and not is_url("http:/a")
