"""Picture files of every kind and size, and what they claim to be."""

from __future__ import annotations

import io
import os
import struct
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from emotion_core.data.folder import load_folder
from emotion_core.errors import EmotionError
from emotion_core.media import avif, pictures
from emotion_core.media.frames import is_still, pictures_in
from emotion_core.media.headers import KINDS, SUFFIXES, kind_of, measure
from emotion_core.media.pictures import decode_picture, read_picture, write_picture
from emotion_core.media.pixels import decode_compressed

WIDTH, HEIGHT = 83, 61


def scene(width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """Soft colours, of which nothing is like its mirror image."""
    noise = np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)
    image = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 4), None, 0, 255, cv2.NORM_MINMAX)
    return np.asarray(image, np.uint8)


def encoded(suffix: str, image: NDArray[Any] | None = None, *settings: int) -> bytes:
    try:
        return cv2.imencode(suffix, scene() if image is None else image, settings)[1].tobytes()
    except cv2.error:
        pytest.skip(f"this OpenCV does not write {suffix}")


def with_pillow(kind: str, orientation: int = 1, image: NDArray[np.uint8] | None = None, **settings: Any) -> bytes:
    pillow = pytest.importorskip("PIL.Image")
    data, exif = io.BytesIO(), pillow.Exif()
    exif[0x0112] = orientation
    rgb = np.ascontiguousarray((scene() if image is None else image)[..., ::-1])
    try:
        pillow.fromarray(rgb).save(data, kind, exif=exif, **settings)
    except (KeyError, OSError):
        pytest.skip(f"this Pillow does not write {kind}")
    return data.getvalue()


def heic(orientation: int = 1, image: NDArray[np.uint8] | None = None) -> bytes:
    """As telephones write it: the turn is in the boxes."""
    pillow_heif, pillow = pytest.importorskip("pillow_heif"), pytest.importorskip("PIL.Image")
    data, exif = io.BytesIO(), pillow.Exif()
    exif[0x0112] = orientation
    rgb = np.ascontiguousarray((scene() if image is None else image)[..., ::-1])
    pillow_heif.from_pillow(pillow.fromarray(rgb)).save(data, quality=95, exif=exif.tobytes())
    return data.getvalue()


def big_endian_tiff(width: int, height: int, tag_type: int = 4) -> bytes:
    pack = {3: ">HHIHH", 4: ">HHII"}[tag_type]
    values = [(256, width), (257, height)]
    entries = [struct.pack(pack, tag, tag_type, 1, value, *([0] if tag_type == 3 else [])) for tag, value in values]
    return b"MM\0*\0\0\0\x08" + struct.pack(">H", len(entries)) + b"".join(entries)


SAMPLES = {
    "jpg": ("JPEG", lambda: encoded(".jpg")),
    "progressive": ("JPEG", lambda: encoded(".jpg", None, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
    "png": ("PNG", lambda: encoded(".png")),
    "webp lossless": ("WebP", lambda: encoded(".webp")),
    "webp lossy": ("WebP", lambda: encoded(".webp", None, cv2.IMWRITE_WEBP_QUALITY, 80)),
    "webp extended": ("WebP", lambda: with_pillow("WEBP")),
    "bmp": ("BMP", lambda: encoded(".bmp")),
    "tiff": ("TIFF", lambda: encoded(".tiff")),
    "big tiff": ("TIFF", lambda: with_pillow("TIFF", big_tiff=True)),
    "gif": ("GIF", lambda: encoded(".gif")),
    "ppm": ("PNM", lambda: encoded(".ppm")),
    "ppm with comments": ("PNM", lambda: encoded(".ppm").replace(b"P6\n", b"P6\n# 7 9\n", 1)),
    "pgm": ("PNM", lambda: encoded(".pgm", scene()[..., 0])),
    "pam": ("PNM", lambda: encoded(".pam")),
    "jp2": ("JPEG 2000", lambda: encoded(".jp2")),
    "avif": ("AVIF", lambda: encoded(".avif")),
    "heic": ("HEIF", lambda: heic()),
    "ras": ("Sun raster", lambda: encoded(".ras")),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_every_kind_is_measured_and_read(name: str) -> None:
    kind, make = SAMPLES[name]
    content = make()
    assert kind_of(content) == kind
    size = (84, 64) if name == "heic" else (WIDTH, HEIGHT)  # HEVC codes whole blocks, which are cut
    assert measure(content) == (kind, *size)
    picture = decode_picture(content)
    assert (picture.width, picture.height, picture.scale) == (WIDTH, HEIGHT, 1)
    assert picture.image.shape == (HEIGHT, WIDTH, 3) and picture.image.dtype == np.uint8
    expected = np.repeat(scene()[..., :1], 3, axis=2) if name == "pgm" else scene()
    assert np.abs(picture.image.astype(int) - expected).mean() < (25 if name == "gif" else 6)


def test_heic_is_turned_as_telephones_note_it() -> None:
    image = scene(96, 64)
    upright = decode_picture(heic(6, image))  # 6: the camera was turned by 90 degrees
    assert (upright.width, upright.height) == (64, 96)
    assert np.abs(upright.image.astype(int) - np.rot90(image, -1)).mean() < 6


def test_without_pillow_heif_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    content = heic()
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(EmotionError, match=r"take pillow-heif: pip install pillow-heif"):
        decode_picture(content)


def test_every_kind_has_a_sample() -> None:
    assert {kind for kind, _ in SAMPLES.values()} == set(KINDS)


@pytest.mark.parametrize(("kind", "suffix"), [(kind, suffix) for kind in SUFFIXES for suffix in SUFFIXES[kind]])
def test_every_suffix_is_found_and_read_wherever_pictures_are(tmp_path: Path, kind: str, suffix: str) -> None:
    content = next(make for named, make in SAMPLES.values() if named == kind)()
    path = tmp_path / "faces" / "happy" / f"face{suffix.upper()}"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert pictures_in(path.parent) == [path]
    faces = load_folder(tmp_path / "faces")
    assert faces.names == (f"happy/{path.name}",)
    assert faces.face(0).shape == (HEIGHT, WIDTH, 3)
    assert is_still(path) == (kind != "GIF")


def test_rarer_headers() -> None:
    top_down = bytearray(encoded(".bmp"))
    top_down[22:26] = struct.pack("<i", -HEIGHT)
    assert measure(bytes(top_down)) == ("BMP", WIDTH, HEIGHT)
    assert measure(b"BM" + bytes(12) + struct.pack("<IHHHH", 12, 300, 200, 1, 24)) == ("BMP", 300, 200)
    assert measure(big_endian_tiff(70000, 500)) == ("TIFF", 70000, 500)
    assert measure(big_endian_tiff(700, 500, 3)) == ("TIFF", 700, 500)
    assert measure(b"\xff\x4f\xff\x51\0\x2f\0\0" + struct.pack(">II", 640, 480)) == ("JPEG 2000", 640, 480)
    assert measure(b"P1 # a comment\n# another\n 12\n 34 0 1") == ("PNM", 12, 34)
    garbage = encoded(".jpg")
    garbage = garbage[:20] + b"\0junk\xff\xff\xff" + garbage[21:]  # between two markers, as libjpeg allows
    assert measure(garbage) == ("JPEG", WIDTH, HEIGHT)
    assert decode_picture(garbage).image.shape == (HEIGHT, WIDTH, 3)


def claiming(name: str, width: int, height: int) -> bytes:
    """A small file of a kind whose header says that the picture is so large."""
    content = bytearray(SAMPLES[name][1]())
    little, big = struct.pack("<II", width, height), struct.pack(">II", width, height)
    at, data = {
        "jpg": (content.find(b"\xff\xc0") + 5, struct.pack(">HH", height, width)),
        "progressive": (content.find(b"\xff\xc2") + 5, struct.pack(">HH", height, width)),
        "png": (16, big),
        "webp lossless": (21, struct.pack("<I", (width - 1) | (height - 1) << 14)),
        "webp lossy": (26, struct.pack("<HH", width, height)),
        "webp extended": (24, (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")),
        "bmp": (18, little),
        "gif": (6, struct.pack("<HH", width, height)),
        "jp2": (content.find(b"\xff\x4f\xff\x51") + 8, big),
        "avif": (content.find(b"ispe") + 8, big),
        "ras": (4, big),
    }[name]
    content[at : at + len(data)] = data
    return bytes(content)


BOMBS = {
    **{name: lambda name=name: claiming(name, 60000, 50000) for name in ("gif", "png", "progressive", "bmp", "jp2")},
    **{name: lambda name=name: claiming(name, 60000, 50000) for name in ("webp extended", "avif", "ras")},
    **{name: lambda name=name: claiming(name, 16383, 16383) for name in ("webp lossless", "webp lossy")},
    "tiff": lambda: big_endian_tiff(60000, 50000),
    "ppm": lambda: b"P6\n60000 50000\n255\n" + bytes(99),
    "pam": lambda: b"P7\nWIDTH 60000\nHEIGHT 50000\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_before_anything_is_decoded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = BOMBS[name]()

    def boom(*args: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(cv2, "imdecode", boom)
    with pytest.raises(EmotionError, match=r"of at most 250000000 px, got (60000 x 50000|16383 x 16383)"):
        decode_picture(content)
    with pytest.raises(EmotionError, match=r"expected a JPEG or PNG picture, got|got 60000 x 50000"):
        decode_compressed(content)


@pytest.mark.parametrize("name", [name for name, (kind, _) in SAMPLES.items() if kind not in ("JPEG", "PNG")])
def test_messages_hold_jpeg_or_png_only(name: str) -> None:
    kind, make = SAMPLES[name]
    with pytest.raises(EmotionError, match=rf"expected a JPEG or PNG picture, got {kind} \(format 'jpeg'\)"):
        decode_compressed(make(), "jpeg")


def flat(kind: str, width: int, height: int, orientation: int = 1) -> bytes:
    """A grey picture with a bright left half, small as a file."""
    pillow = pytest.importorskip("PIL.Image")
    pillow.MAX_IMAGE_PIXELS = None
    image = np.full((height, width), 40, np.uint8)
    image[:, : width // 2] = 200
    data, exif = io.BytesIO(), pillow.Exif()
    exif[0x0112] = orientation
    pillow.fromarray(image).save(data, kind, exif=exif)
    return data.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize(
    ("size", "shrunk"),
    [
        ((17001, 300), (8501, 150)),
        ((16384, 30), (16384, 30)),
        ((40000, 101), (10000, 26)),
        ((12000, 9000), (6000, 4500)),
    ],
)
def test_large_pictures_are_shrunk(kind: str, size: tuple[int, int], shrunk: tuple[int, int]) -> None:
    picture = decode_picture(flat(kind, *size))
    assert (picture.width, picture.height) == size
    assert picture.image.shape == (*shrunk[::-1], 3)
    assert picture.scale == pytest.approx(size[0] / shrunk[0])
    left, right = picture.image[:, : shrunk[0] // 2 - 8], picture.image[:, shrunk[0] // 2 + 8 :]
    assert abs(left.mean() - 200) < 2 and abs(right.mean() - 40) < 2


def test_a_photo_of_200_megapixels() -> None:
    picture = decode_picture(flat("JPEG", 16320, 12240))
    assert (picture.width, picture.height, picture.image.shape) == (16320, 12240, (6120, 8160, 3))


def test_a_large_picture_is_turned_upright() -> None:
    picture = decode_picture(flat("JPEG", 17001, 300, orientation=6))  # to be turned clockwise
    assert (picture.width, picture.height) == (300, 17001)
    assert picture.image.shape == (8501, 150, 3)
    assert picture.image[:4000].mean() > 190 and picture.image[4600:].mean() < 50


def test_only_jpegs_that_come_row_by_row_may_be_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_WHOLE_PIXELS", 5000)
    monkeypatch.setattr(pictures, "MAX_PIXELS", 2000)
    assert decode_picture(encoded(".jpg")).image.shape == (31, 42, 3)
    for content in (encoded(".jpg", None, cv2.IMWRITE_JPEG_PROGRESSIVE, 1), encoded(".png")):
        with pytest.raises(EmotionError, match=r"of at most 5000 px, got 83 x 61: shrink it"):
            decode_picture(content)


def test_a_side_that_is_too_long_even_when_shrunk() -> None:
    with pytest.raises(EmotionError, match=r"a side of at most 131072 px, got 131073 x 1"):
        decode_picture(b"P6\n131073 1\n255\n" + bytes(3 * 131073))


@pytest.mark.parametrize("size", [(0, 60), (60, 0)])
def test_nothing_to_see(size: tuple[int, int]) -> None:
    with pytest.raises(EmotionError, match="at least 1 x 1"):
        decode_picture(encoded(".png")[:16] + struct.pack(">II", *size) + encoded(".png")[24:])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["AVIF", "JPEG", "PNG", "WEBP", "TIFF"])
def test_pictures_are_turned_upright(kind: str, orientation: int) -> None:
    if kind == "AVIF":
        encoded(".avif")  # skips where OpenCV has none
    content = with_pillow(kind, orientation)
    pillow, operations = pytest.importorskip("PIL.Image"), pytest.importorskip("PIL.ImageOps")
    upright = np.array(operations.exif_transpose(pillow.open(io.BytesIO(content))).convert("RGB"))[..., ::-1]
    picture = decode_picture(content)
    if (
        kind == "WEBP"
        and orientation > 1
        and np.array_equal(
            picture.image,
            cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION),
        )
    ):
        pytest.skip("this OpenCV knows no orientation of a WebP")
    assert picture.image.shape == upright.shape == ((HEIGHT, WIDTH, 3) if orientation < 5 else (WIDTH, HEIGHT, 3))
    assert (picture.width, picture.height) == upright.shape[1::-1]
    assert np.abs(picture.image.astype(int) - upright).mean() < 3
    if kind == "AVIF" and orientation > 1:
        header = avif.read_header(content)
        assert 1 <= len(header.turns) <= 2
        assert avif.read_header(avif.stored(content, header)).turns == ()


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(SAMPLES)), st.floats(0, 1), st.binary(max_size=12), st.booleans())
def test_damaged_headers_are_measured_or_refused(name: str, at: float, junk: bytes, cut: bool) -> None:
    content = SAMPLES[name][1]()
    start = int(at**3 * len(content))  # mostly in the header
    content = content[:start] + junk + (b"" if cut else content[start + len(junk) :])
    try:
        found = measure(content)
    except EmotionError as error:
        assert "\n" not in str(error)
    else:
        assert found is None or (found.kind in KINDS and found.width >= 0 and found.height >= 0)


def latin(folder: Path) -> Path:
    """A folder whose name is not UTF-8."""
    path = Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9"))
    path.mkdir()
    return path


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
def test_names_that_are_not_utf8(tmp_path: Path, suffix: str) -> None:
    path = latin(tmp_path) / f"na\udcefve{suffix}"
    write_picture(path, scene())
    assert np.abs(read_picture(path).image.astype(int) - scene()).mean() < 4
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("absent.png", None, r"absent\.png does not exist"),
        (".", None, "cannot be read: Is a directory"),
        ("zero\0byte.png", None, "null byte"),
        ("empty.jpg", b"", r"empty\.jpg is not a readable picture: .* no data at all"),
        ("text.png", b"this is no picture", "18 bytes that OpenCV cannot decode"),
        ("photo.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "expected a whole AVIF or HEIF, got 24 bytes"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, name: str, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(EmotionError, match=said) as caught:
        read_picture(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(EmotionError, match=r"OpenCV cannot write 83 x 61 px as \.xyz: use \.png"):
        write_picture(tmp_path / "a.xyz", scene())
    with pytest.raises(EmotionError, match=r"OpenCV cannot write 83 x 61 px as \.p\udcff"):
        write_picture(tmp_path / "a.p\udcff", scene())
    with pytest.raises(EmotionError, match=r"as a file without suffix"):
        write_picture(tmp_path / "a", scene())
    with pytest.raises(EmotionError, match=r"a\.png cannot be written: No such file or directory"):
        write_picture(tmp_path / "absent" / "a.png", scene())
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
