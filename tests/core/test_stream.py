"""Cameras in the network: MJPEG over HTTP and RTSP, that stop in the middle, come back, or never do."""

from __future__ import annotations

import csv
import io
import logging
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from emotion_core.errors import EmotionError
from emotion_core.media.frames import FrameSource, open_frames
from emotion_core.media.multipart import parts
from emotion_core.media.stream import StreamSource

from .web_server import BOUNDARY, Server, endless, jpeg, multipart, silent, whole

CAMERA = f"multipart/x-mixed-replace; boundary={BOUNDARY}"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server.running() as made:
        yield made


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emotion_core.media.stream._PAUSES_S", (0.01,))


def camera(server: Server, *rounds: int, stays: bool = False) -> Callable[[Any], None]:
    """Of each connection, one picture of that grey again and again until the next is asked for; later ones are 404."""
    left = list(rounds)

    def answer(handler: Any) -> None:
        if not left:
            handler.send_error(404)
            return
        grey = left.pop(0)
        handler.head(Content_Type=CAMERA)
        last = stays and not left
        count = 0
        while not server.over.wait(0.01) and (last or count < 5):
            count += 1
            for part in multipart([jpeg(grey=grey)]):
                handler.wfile.write(part)

    return answer


def greys(source: FrameSource, until: int) -> list[int]:
    """Different grey values in their order, until one has come."""
    seen: list[int] = []
    last_s = -1.0
    for image, time_s in source:
        assert time_s > last_s and image.shape == (48, 64, 3) and not image.flags.writeable
        last_s = time_s
        grey = round(float(image.mean()) / 10) * 10
        if not seen or seen[-1] != grey:
            seen.append(grey)
        if grey == until:
            break
    return seen


def test_a_camera_that_stops_and_comes_back(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.answers["/video"] = camera(server, 50, 100, 200, stays=True)
    with open_frames(server.url("/video"), allow_private=True) as source:
        assert source.is_live and not source.is_picture
        assert greys(source, 200)[-1] == 200
        assert source.reconnected == 2  # type: ignore[attr-defined]
    said = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(said) == 2 and all("connecting again: the stream ended" in one for one in said)


def test_a_camera_that_never_comes_back(server: Server) -> None:
    server.answers["/video"] = camera(server, 50)
    with StreamSource(server.url("/video"), allow_private=True, patience_s=0.3) as source:
        seen = 0
        with pytest.raises(EmotionError, match=r"/video: no picture for 0\.3 s: the server answers 404 Not Found$"):
            for _ in source:
                seen += 1
        assert seen  # what came before is not lost


def test_a_camera_that_falls_silent(server: Server) -> None:
    """The connection stays, as when the cable of the camera behind a server is pulled."""
    head = f"HTTP/1.0 200 OK\r\nContent-Type: {CAMERA}\r\n\r\n".encode()
    server.answers["/video"] = silent(head + b"".join(multipart([jpeg()] * 3)))
    with StreamSource(server.url("/video"), allow_private=True, silence_s=0.2, patience_s=0.5) as source:
        frames = iter(source)
        assert next(frames)[0].shape == (48, 64, 3)
        assert next(frames)[0].shape == (48, 64, 3)  # of the next connection
        assert source.reconnected >= 1


def test_a_slow_reader_gets_the_newest_frame(server: Server) -> None:
    sent, go = threading.Event(), threading.Event()

    def answer(handler: Any) -> None:
        handler.head(Content_Type=CAMERA)
        for part in multipart([jpeg(grey=50)]):
            handler.wfile.write(part)
        go.wait(30)
        for part in multipart([jpeg(grey=grey) for grey in (100, 150, 200)]):
            handler.wfile.write(part)
        sent.set()
        server.over.wait(60)

    server.answers["/video"] = answer
    with StreamSource(server.url("/video"), allow_private=True) as source:
        frames = iter(source)
        assert round(float(next(frames)[0].mean())) == 50
        taken: list[float] = []
        hand = source._hand
        three = threading.Event()

        def counted(*given: Any) -> None:
            hand(*given)
            taken.append(0)
            if len(taken) == 3:
                three.set()

        source._hand = counted  # type: ignore[method-assign]
        go.set()
        assert sent.wait(30) and three.wait(30)
        assert round(float(next(frames)[0].mean())) == 200


def test_a_damaged_picture_is_counted(server: Server) -> None:
    def answer(handler: Any) -> None:
        handler.head(Content_Type=CAMERA)
        while not server.over.wait(0.01):
            for part in multipart([jpeg()[:300]]):
                handler.wfile.write(part)
            if source and source[0].skipped:
                for part in multipart([jpeg(grey=200)]):
                    handler.wfile.write(part)

    source: list[FrameSource] = []
    server.answers["/video"] = answer
    source.append(open_frames(server.url("/video"), allow_private=True))
    with source[0]:
        assert greys(source[0], 200) == [200]
        assert source[0].skipped


def test_what_is_no_stream(server: Server) -> None:
    def refused(path: str, said: str) -> None:
        with pytest.raises(EmotionError, match=said) as caught:
            list(open_frames(server.url(path), allow_private=True))
        assert server.url(path) in str(caught.value) and "\n" not in str(caught.value)

    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{server.url('/secret.ts')}\n#EXT-X-ENDLIST\n".encode()
    server.answers |= {
        "/page": whole(b"<html></html>" * 9, "text/html"),
        "/list": lambda handler: (handler.head(Content_Type="text/plain"), handler.wfile.write(playlist)),
        "/zeros": endless(bytes(1 << 16), kind=CAMERA),
    }
    refused("/none", "the server answers 404 Not Found")
    refused("/page", "expected a picture or the stream of a camera, got text/html of 117 bytes")
    refused("/list", "expected a stream of pictures")
    assert "/secret.ts" not in server.asked
    source = StreamSource(server.url("/zeros"), allow_private=True, patience_s=0.2)
    with source, pytest.raises(EmotionError, match="expected pictures between lines --picture, got none"):
        list(source)
    with pytest.raises(EmotionError, match=r"127\.0\.0\.1, an address of this machine"):
        open_frames(server.url("/page"))
    with pytest.raises(EmotionError, match=r"127\.0\.0\.1, an address of this machine"):
        open_frames("rtsp://me:secret@127.0.0.1/video")


def test_a_picture_at_an_address_is_a_picture(server: Server) -> None:
    server.answers["/a"] = whole(jpeg(grey=150), "application/octet-stream")
    with open_frames(server.url("/a"), allow_private=True) as source:
        assert source.is_picture and not source.is_live
        ((image, time_s),) = source
    assert (round(float(image.mean())), time_s) == (150, 0)


@pytest.mark.parametrize("with_length", [True, False])
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_parts_are_whole_however_they_arrive(with_length: bool, size: int) -> None:
    pictures = [jpeg(grey=grey) for grey in (10, 20, 30)]
    content = b"a preamble\r\n" + b"".join(multipart(pictures, with_length)) + f"--{BOUNDARY}--\r\n".encode()
    stream = io.BytesIO(content)
    found = list(parts(lambda: stream.read(size), f'"--{BOUNDARY}"', "test"))
    assert [part[: len(picture)] for part, picture in zip(found, pictures, strict=True)] == pictures
    assert all(len(part) - len(picture) in (0, 2) for part, picture in zip(found, pictures, strict=True))


# ---- RTSP ------------------------------------------------------------------------------------------------------------


def transport_stream(grey: int, count: int = 30) -> bytes:
    av = pytest.importorskip("av")
    data = io.BytesIO()
    with av.open(data, "w", format="mpegts") as container:
        stream = container.add_stream("mpeg2video", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 64, 48, "yuv420p", 1
        for _ in range(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), grey, np.uint8), "bgr24")))
        container.mux(stream.encode(None))
    return data.getvalue()


class RtspCamera(threading.Thread):
    """RFC 2326, interleaved: an MPEG transport stream in RTP (RFC 2250), one of each grey for each connection."""

    def __init__(self, *rounds: int) -> None:
        super().__init__(daemon=True)
        self._streams = [transport_stream(grey) for grey in rounds]
        self.over = threading.Event()
        self.asked: list[str] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]

    def run(self) -> None:
        for content in self._streams:
            try:
                connection, _ = self._listening.accept()
                with connection:
                    self._serve(connection, content)
            except OSError:
                continue

    def close(self) -> None:
        self.over.set()
        self._listening.close()

    def _serve(self, connection: socket.socket, content: bytes) -> None:
        reader = connection.makefile("rb")
        while line := reader.readline().decode():
            head = dict(one.split(": ", 1) for one in iter(lambda: reader.readline().decode().strip(), ""))
            method = line.split()[0]
            self.asked.append(line.split()[1])
            body = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:track\r\n"
            more = {
                "OPTIONS": "Public: DESCRIBE, SETUP, PLAY\r\n\r\n",
                "DESCRIBE": f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n{body}",
                "SETUP": "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n",
            }.get(method, "\r\n")
            connection.sendall(f"RTSP/1.0 200 OK\r\nCSeq: {head['CSeq']}\r\nSession: 7\r\n{more}".encode())
            if method == "PLAY":
                for number, at in enumerate(range(0, len(content), 7 * 188)):
                    packet = struct.pack(">BBHII", 0x80, 33, number, number * 3600, 1) + content[at : at + 7 * 188]
                    connection.sendall(b"$\0" + struct.pack(">H", len(packet)) + packet)
                    self.over.wait(0.005)
                return


def test_rtsp_that_stops_and_comes_back() -> None:
    camera = RtspCamera(50, 200)
    camera.start()
    try:
        with open_frames(f"rtsp://localhost:{camera.port}/live?a=1", allow_private=True) as source:
            assert greys(source, 200)[-1] == 200
            assert source.reconnected  # type: ignore[attr-defined]
        assert camera.asked[0] == f"rtsp://127.0.0.1:{camera.port}/live?a=1"  # the address that was checked
    finally:
        camera.close()


def test_http_streams_that_are_no_mjpeg(server: Server) -> None:
    contents = [transport_stream(50), transport_stream(200)]

    def answer(handler: Any) -> None:
        handler.head(Content_Type="video/mp2t")
        handler.wfile.write(contents.pop(0) if contents else b"")

    server.answers["/live.ts"] = answer
    with open_frames(server.url("/live.ts"), allow_private=True) as source:
        assert greys(source, 200)[-1] == 200


def test_rtsp_with_nobody_there() -> None:
    pytest.importorskip("av")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(EmotionError, match=rf"^rtsp://127\.0\.0\.1:{port}/a: expected a stream of pictures: Conn"):
            open_frames(f"rtsp://me:secret@127.0.0.1:{port}/a", allow_private=True)


def test_the_command_watches_a_camera_in_the_network(server: Server, portrait: np.ndarray, tmp_path: Path) -> None:
    from emotion_core.cli import main

    picture = cv2.imencode(".jpg", cv2.resize(portrait, (256, 300)))[1].tobytes()

    def answer(handler: Any) -> None:
        handler.head(Content_Type=CAMERA)
        while not server.over.wait(0.02):
            for part in multipart([picture]):
                handler.wfile.write(part)

    server.answers["/video"] = answer
    table, out = tmp_path / "seen.csv", tmp_path / "seen.mp4"
    words = ["video", server.url("/video"), "--detector", "haar", "--duration", "1.5", "--out", str(out)]
    assert main([*words, "--csv", str(table)]) == 2  # nobody said that an address may lead to this machine
    assert main([*words, "--csv", str(table), "--allow-private"]) == 0
    with table.open() as file:
        rows = list(csv.DictReader(file))
    times = [float(row["stamp_s"]) for row in rows]
    assert len(rows) > 3 and {row["label"] for row in rows} == {rows[0]["label"]}
    assert times == sorted(times) and times[-1] < 1.6
    with open_frames(str(out)) as source:
        assert sum(1 for _ in source) > 3
