"""Downloads from servers of the test's own: whole or absent, whatever the server does."""

from __future__ import annotations

import argparse
import errno
import hashlib
import http.server
import io
import json
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from emotion_core.cli import download as command
from emotion_core.errors import EmotionError
from emotion_core.store import artifacts as published
from emotion_core.store import download as module
from emotion_core.store.artifacts import ARTIFACTS, Artifact, fetch, is_here
from emotion_core.store.download import download
from emotion_core.store.finding import KNOWN_FILES, find_file

DATA = bytes(range(256)) * 2000  # 512 kB: more than the sockets' buffers hold back
SHA = hashlib.sha256(DATA).hexdigest()
BLOB = hashlib.sha1(b"blob %d\0" % len(DATA) + DATA).hexdigest()

Answer = Callable[["Handler"], None]


class Handler(http.server.BaseHTTPRequestHandler):
    """Plays the server's answers in turn, the last one for ever; notes what was asked for."""

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        server.asked.append((self.path, self.headers.get("Range"), self.headers.get("If-Range")))
        answer = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
        answer(self)

    def reply(self, status: int, body: bytes = b"", **headers: object) -> None:
        self.send_response(status)
        for name, value in ({"Content_Length": len(body)} | headers).items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[Answer] = [whole]
        self.asked: list[tuple[str, str | None, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/file.bin"

    @property
    def ranges(self) -> list[str | None]:
        return [item[1] for item in self.asked]


def whole(handler: Handler) -> None:
    """As a good server does: ranges, and the whole file again when it is another version."""
    asked, version = handler.headers.get("Range"), handler.headers.get("If-Range")
    start = int(asked[6:-1]) if asked and version in (None, '"v1"') else 0
    if start:
        span = f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"
        handler.reply(206, DATA[start:], ETag='"v1"', Content_Range=span)
    else:
        handler.reply(200, DATA, ETag='"v1"')


def without_ranges(handler: Handler) -> None:
    handler.reply(200, DATA)


def truncated(handler: Handler) -> None:
    handler.reply(200, DATA[:100_000], Content_Length=len(DATA), ETag='"v1"')
    handler.close_connection = True


def status(code: int) -> Answer:
    return lambda handler: handler.reply(code, b"no")


def redirect(url: str) -> Answer:
    return lambda handler: handler.reply(302, Location=url)


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy, no mirror and no long pauses."""
    for name in ("http_proxy", "HTTP_PROXY", "ftp_proxy", "FTP_PROXY", "all_proxy", "ALL_PROXY", "EMOTION_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(module, "BACKOFF_S", 0.001)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "file.bin"


def only(path: Path) -> bool:
    """Whether the file is whole and the only thing in its folder."""
    return path.read_bytes() == DATA and [p.name for p in path.parent.iterdir()] == [path.name]


def nothing(path: Path) -> bool:
    return not list(path.parent.iterdir())


def test_a_file_comes_whole_and_checked(server, path):
    seen: list[tuple[int, int | None]] = []
    result = download(
        server.url, path, sha256=SHA, git_blob=BLOB, size=len(DATA), on_progress=lambda *step: seen.append(step)
    )
    assert result == path
    assert only(path)
    assert seen[0] == (0, len(DATA))
    assert seen[-1] == (len(DATA), len(DATA))
    assert seen == sorted(seen)
    assert server.asked == [("/file.bin", None, None)]


def test_an_older_file_is_replaced(server, path):
    path.parent.mkdir()
    path.write_bytes(b"old")
    download(server.url, path)
    assert only(path)


def test_truncated_bodies_are_continued_in_the_same_call(server, path):
    server.answers = [truncated, whole]
    download(server.url, path)
    assert only(path)
    assert server.asked[1:] == [("/file.bin", "bytes=100000-", '"v1"')]


def test_a_later_call_continues(server, path):
    server.answers = [truncated]
    with pytest.raises(EmotionError, match=r"in 1 attempts \(only 100000 of 512000 bytes came\)"):
        download(server.url, path, retries=0)
    assert not path.exists()
    assert path.with_name("file.bin.part").read_bytes() == DATA[:100_000]
    server.answers = [whole]
    download(server.url, path)
    assert only(path)
    assert server.ranges == [None, "bytes=100000-"]


def test_a_part_of_another_version_is_not_continued(server, path):
    path.parent.mkdir()
    path.with_name("file.bin.part").write_bytes(b"x" * 1000)
    path.with_name("file.bin.part.json").write_text(json.dumps({"url": server.url, "version": '"v0"'}))
    download(server.url, path)
    assert only(path)
    assert server.asked == [("/file.bin", "bytes=1000-", '"v0"')]


def test_a_part_of_unknown_origin_is_continued_only_towards_a_hash(server, path):
    for known, asked in ((None, None), (SHA, "bytes=1000-")):
        path.parent.mkdir(exist_ok=True)
        path.with_name("file.bin.part").write_bytes(DATA[:1000])
        download(server.url, path, sha256=known)
        assert only(path)
        assert server.ranges[-1] == asked


def test_a_complete_part_needs_no_request(server, path):
    path.parent.mkdir()
    path.with_name("file.bin.part").write_bytes(DATA)
    download(server.url, path, sha256=SHA, size=len(DATA))
    assert only(path)
    assert server.asked == []


def test_a_part_that_is_too_long_starts_over(server, path):
    path.parent.mkdir()
    path.with_name("file.bin.part").write_bytes(DATA + b"more")
    server.answers = [status(416), whole]
    download(server.url, path, sha256=SHA)
    assert only(path)
    assert server.ranges == [f"bytes={len(DATA) + 4}-", None]


def test_a_server_that_ignores_ranges_starts_over(server, path):
    path.parent.mkdir()
    path.with_name("file.bin.part").write_bytes(DATA[:1000])
    server.answers = [without_ranges]
    download(server.url, path, sha256=SHA)
    assert only(path)
    assert server.ranges == ["bytes=1000-"]


def test_a_wrong_range_starts_over(server, path):
    path.parent.mkdir()
    path.with_name("file.bin.part").write_bytes(DATA[:1000])

    def shifted(handler: Handler) -> None:
        handler.reply(206, DATA[900:], Content_Range=f"bytes 900-{len(DATA) - 1}/{len(DATA)}")

    server.answers = [shifted, whole]
    download(server.url, path, sha256=SHA)
    assert only(path)
    assert server.ranges == ["bytes=1000-", None]


def test_silence_ends_an_attempt(server, path):
    release = threading.Event()

    def stalls(handler: Handler) -> None:
        handler.reply(200, DATA[:200_000], Content_Length=len(DATA), ETag='"v1"')
        handler.wfile.flush()
        release.wait(20)
        handler.close_connection = True

    server.answers = [stalls]
    with pytest.raises(EmotionError, match=r"no answer for 0\.3 s"):
        download(server.url, path, timeout_s=0.3, retries=0)
    server.answers = [whole]
    download(server.url, path, timeout_s=5)
    release.set()
    assert only(path)
    assert server.ranges == [None, "bytes=200000-"]


def test_errors_that_pass_are_tried_again(server, path):
    server.answers = [status(500), status(503), whole]
    download(server.url, path)
    assert only(path)
    assert len(server.asked) == 3
    server.answers = [status(500)]
    with pytest.raises(EmotionError, match=r"in 3 attempts \(HTTP status 500\)"):
        download(server.url, path.with_name("other"), retries=2)


def test_a_missing_file_is_not_asked_for_twice(server, path):
    server.answers = [status(404), whole]
    with pytest.raises(EmotionError, match="got HTTP status 404"):
        download(server.url, path)
    assert len(server.asked) == 1
    assert nothing(path)


def test_nobody_listens(path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/file.bin"
        with pytest.raises(EmotionError, match=r"in 2 attempts .*refused"):
            download(url, path, retries=1)
    assert nothing(path)


def test_redirects_are_followed(server, path):
    server.answers = [redirect("/moved.bin"), whole]
    download(server.url, path)
    assert only(path)
    assert [item[0] for item in server.asked] == ["/file.bin", "/moved.bin"]


def test_redirects_keep_the_range(server, path):
    path.parent.mkdir()
    path.with_name("file.bin.part").write_bytes(DATA[:1000])
    server.answers = [redirect("/moved.bin"), whole]
    download(server.url, path, sha256=SHA)
    assert only(path)
    assert server.ranges == ["bytes=1000-", "bytes=1000-"]


def test_redirects_in_a_circle_end(server, path):
    server.answers = [redirect("/file.bin")]
    with pytest.raises(EmotionError, match=r"HTTP status 302 .*loop"):
        download(server.url, path)
    assert nothing(path)


@pytest.mark.parametrize("elsewhere", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_redirects_stay_with_http(server, path, elsewhere):
    server.answers = [redirect(elsewhere)]
    with pytest.raises(EmotionError, match=r"redirects to|not allowed"):
        download(server.url, path)
    assert nothing(path)


def test_redirects_never_leave_https():
    import urllib.request

    request = urllib.request.Request("https://example.org/a")
    with pytest.raises(EmotionError, match=r"redirects to http://example.org/b: expected https, refused"):
        module._Redirects().redirect_request(request, io.BytesIO(), 302, "Found", {}, "http://example.org/b")
    moved = module._Redirects().redirect_request(request, io.BytesIO(), 302, "Found", {}, "https://example.org/b")
    assert moved is not None
    assert moved.full_url == "https://example.org/b"


@pytest.mark.parametrize("known", [{"sha256": SHA}, {"git_blob": BLOB}])
def test_another_content_leaves_nothing(server, path, known):
    other = bytes(len(DATA))
    server.answers = [lambda handler: handler.reply(200, other)]
    name, expected = next(iter(known.items()))
    found = {
        "sha256": hashlib.sha256(other).hexdigest(),
        "git_blob": hashlib.sha1(b"blob %d\0" % len(other) + other).hexdigest(),
    }[name]
    with pytest.raises(EmotionError, match=f"expected {name.replace('_', ' ')} {expected}, found {found}"):
        download(server.url, path, **known)
    assert nothing(path)


@pytest.mark.parametrize("length", [len(DATA), None])
def test_another_size_leaves_nothing(server, path, length):
    def sized(handler: Handler) -> None:
        handler.send_response(200)
        if length:
            handler.send_header("Content-Length", str(length))
        handler.end_headers()
        handler.wfile.write(DATA)
        handler.close_connection = True

    server.answers = [sized]
    with pytest.raises(EmotionError, match="expected 400000 bytes"):
        download(server.url, path, size=400_000)
    assert nothing(path)


def test_a_full_disk_is_a_clear_error(server, path, monkeypatch):
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    original = Path.open

    def opened(self: Path, mode: str = "r", *args: object, **kwargs: object) -> object:
        return Full() if mode == "ab" else original(self, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(EmotionError, match=r"file\.bin cannot be written: the disk is full"):
        download(server.url, path)
    assert len(server.asked) == 1
    item = Artifact("file.bin", (server.url, server.url + "2"), None, None, "none", "a file")
    with pytest.raises(EmotionError, match="the disk is full"):
        fetch(item, path.parent)
    assert len(server.asked) == 2


def test_a_folder_that_cannot_be_made(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EmotionError, match="cannot be written: File exists"):
        download(server.url, tmp_path / "file" / "x.bin")


@pytest.mark.parametrize("url", ["data:,x", "/etc/passwd", "gopher://127.0.0.1/x", "http:///x", "http://[::1"])
def test_other_urls_are_refused(path, url):
    with pytest.raises(EmotionError, match=r"URL|attempts"):
        download(url, path, retries=0)
    assert not path.exists()


class Ftp(socketserver.StreamRequestHandler):
    """The little of RFC 959 that one download takes."""

    def handle(self) -> None:
        self.say("220 hello")
        with socket.create_server(("127.0.0.1", 0)) as passive:
            for line in self.rfile:
                word = line.decode().split()[0].upper()
                if word == "EPSV":
                    self.say(f"229 here (|||{passive.getsockname()[1]}|)")
                elif word == "PASV":
                    port = passive.getsockname()[1]
                    self.say(f"227 here (127,0,0,1,{port >> 8},{port & 255})")
                elif word == "RETR":
                    self.say(f"150 coming ({len(DATA)} bytes)")
                    with passive.accept()[0] as data:
                        data.sendall(DATA)
                    self.say("226 done")
                else:
                    self.say({"USER": "331 password?", "PASS": "230 in", "QUIT": "221 bye"}.get(word, "200 fine"))

    def say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


def test_ftp(path):
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Ftp) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        path.parent.mkdir()
        path.with_name("file.bin.part").write_bytes(b"never continued")
        download(f"ftp://127.0.0.1:{server.server_address[1]}/demo/file.bin", path, sha256=SHA, timeout_s=10)
        server.shutdown()
    assert only(path)


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    folder = tmp_path / "a stick"
    folder.mkdir()
    (folder / "file.bin").write_bytes(DATA)
    return folder


def test_a_mirror_is_asked_first(server, stick, tmp_path, monkeypatch):
    item = Artifact("file.bin", (server.url,), len(DATA), SHA, "none", "a file", folder="sub")
    monkeypatch.setenv("EMOTION_MIRROR", f"{(tmp_path / 'absent').as_uri()} {stick.as_uri()}")
    assert not is_here(item, tmp_path / "to")
    assert fetch(item, tmp_path / "to") == tmp_path / "to" / "sub" / "file.bin"
    assert only(tmp_path / "to" / "sub" / "file.bin")
    assert server.asked == []
    assert is_here(item, tmp_path / "to")
    (stick / "file.bin").unlink()
    fetch(item, tmp_path / "to")  # is here: nobody is asked


def test_a_damaged_mirror_gives_way_to_the_publisher(server, stick, tmp_path, monkeypatch):
    item = Artifact("file.bin", (server.url,), len(DATA), SHA, "none", "a file")
    (stick / "file.bin").write_bytes(bytes(len(DATA)))
    monkeypatch.setenv("EMOTION_MIRROR", stick.as_uri())
    assert only(fetch(item, tmp_path / "to"))
    server.answers = [status(404)]
    with pytest.raises(EmotionError, match=r"found .*; .*HTTP status 404"):
        fetch(item, tmp_path / "elsewhere")


def test_a_mirror_without_scheme_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("EMOTION_MIRROR", "/media/usb")
    with pytest.raises(EmotionError, match=r"EMOTION_MIRROR: .* got '/media/usb'"):
        fetch(ARTIFACTS["yunet"][0], tmp_path)


def test_what_is_known_is_complete():
    for artifacts in ARTIFACTS.values():
        assert len({(artifact.folder, artifact.licence) for artifact in artifacts}) == 1
        for artifact in artifacts:
            assert artifact.licence
            assert artifact.description
            assert all(url.endswith(f"/{artifact.remote_name}") for url in artifact.urls)
            assert all(len(value) in (40, 64) for value in (artifact.sha256, artifact.git_blob) if value)
    esr9 = [artifact.name for artifact in ARTIFACTS["esr9"]]
    assert esr9 == ["Net-Base-Shared_Representations.pt", *(f"Net-Branch_{i}.pt" for i in range(1, 10))]
    (yunet,) = ARTIFACTS["yunet"]
    assert KNOWN_FILES[yunet.name].sha256 == yunet.sha256
    assert yunet.folder == ""  # where find_file looks


def emotion(*args: object) -> int:
    parser = argparse.ArgumentParser()
    command.add(parser)
    parsed = parser.parse_args(list(map(str, args)))
    return int(parsed.run(parsed))


@pytest.fixture
def known(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two entries in place of the real ones: of one file, and of two without hashes."""
    one = Artifact("file.bin", (server.url,), len(DATA), SHA, "MIT", "one file")
    two = tuple(
        Artifact(f"{i}.bin", (server.url.replace("file", str(i)),), None, None, "non-commercial", "two files", "pair")
        for i in (1, 2)
    )
    monkeypatch.setattr(published, "ARTIFACTS", {"one": (one,), "two": two})


def test_the_list_says_what_is_here(known, server, capsys, empty_store, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    (empty_store / "pair").mkdir()
    (empty_store / "pair" / "1.bin").write_bytes(b"x")
    (empty_store / "file.bin").write_bytes(bytes(len(DATA)))  # another file under the same name
    assert emotion("--list") == 0
    listed = capsys.readouterr().out
    for words in ("one", "0.51 MB", "MIT", "one file", "no", "two", "unknown", "non-commercial", "1 of 2"):
        assert words in listed
    assert emotion("--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["size"], row["here"]) for row in rows] == [("one", len(DATA), 0), ("two", None, 1)]
    assert server.asked == []


def test_downloading_takes_a_yes(known, server, capsys, empty_store, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))  # not a terminal: no answer counts
    with pytest.raises(EmotionError, match="add --yes"):
        emotion("one")
    shown = capsys.readouterr().out
    for words in ("one file", "0.51 MB", "MIT", server.url.rpartition("/")[0], str(empty_store)):
        assert words in shown
    for answer, count in (("n\n", 0), ("\n", 0), ("yes\n", 1)):
        stdin = io.StringIO(answer)
        monkeypatch.setattr(stdin, "isatty", lambda: True)
        monkeypatch.setattr("sys.stdin", stdin)
        if count:
            assert emotion("one") == 0
        else:
            with pytest.raises(EmotionError, match="nothing was downloaded"):
                emotion("one")
        assert len(server.asked) == count
    assert only(empty_store / "file.bin")


def test_into_a_folder_with_json_and_never_twice(known, server, capsys, tmp_path):
    to = tmp_path / "to"
    assert emotion("two", "--to", to, "--yes", "--json") == 0
    out, err = capsys.readouterr()
    files = [{"path": str(to / "pair" / f"{i}.bin"), "size": len(DATA), "sha256": SHA, "fetched": True} for i in (1, 2)]
    assert json.loads(out) == {"name": "two", "files": files}
    assert "1.bin: 0.51 MB of 0.51 MB" in err
    assert len(server.asked) == 2
    assert emotion("two", "--to", to) == 0  # nothing to ask about
    assert capsys.readouterr().out.count(f"is here already, sha256 {SHA}") == 2
    assert len(server.asked) == 2


def test_mistakes_are_clear(known):
    with pytest.raises(EmotionError, match="'three': expected one of one, two"):
        emotion("three")


def test_a_downloaded_detector_is_found(stick, monkeypatch, empty_store):
    """The real entry, from a mirror with another content: refused; then with the hash of that content."""
    name = ARTIFACTS["yunet"][0].name
    (stick / name).write_bytes(DATA)
    item = Artifact(name, (f"{stick.as_uri()}/{name}",), None, SHA, "MIT", "a detector")
    fetch(item)
    with pytest.raises(EmotionError, match="not the published file"):
        find_file(name)
    monkeypatch.setitem(KNOWN_FILES, name, type(KNOWN_FILES[name])("yunet", SHA, "MIT"))
    assert find_file(name) == empty_store / name
