"""JPEG and PNG files whose end is missing, damaged or followed by something else: whole ones are read, cut ones not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from emotion_core.errors import EmotionError
from emotion_core.media.pictures import decode_picture

PROGRESSIVE = cv2.IMWRITE_JPEG_PROGRESSIVE
SAMPLING = cv2.IMWRITE_JPEG_SAMPLING_FACTOR


def photo() -> NDArray[np.uint8]:
    """(200, 300, 3): soft noise."""
    noise = np.random.default_rng(5).integers(0, 256, (25, 38, 3), np.uint8)
    return np.asarray(cv2.resize(noise, (300, 200), interpolation=cv2.INTER_CUBIC), np.uint8)


def encoded(suffix: str, image: NDArray[np.uint8], *settings: int) -> bytes:
    return cv2.imencode(suffix, image, settings)[1].tobytes()


JPEGS = {
    "baseline": lambda: encoded(".jpg", photo()),
    "best": lambda: encoded(".jpg", photo(), cv2.IMWRITE_JPEG_QUALITY, 100, SAMPLING, 0x111111),
    "grey": lambda: encoded(".jpg", photo()[..., 0]),
    "restarts": lambda: encoded(".jpg", photo(), cv2.IMWRITE_JPEG_RST_INTERVAL, 3),
    "progressive": lambda: encoded(".jpg", photo(), PROGRESSIVE, 1),
    "flat": lambda: encoded(".jpg", np.full((200, 300, 3), 90, np.uint8)),
}


@pytest.mark.parametrize("name", JPEGS)
@pytest.mark.parametrize("end", ["", "half", "zeros", "half and zeros", "data after it"])
def test_a_jpeg_with_all_rows_is_whole_whatever_its_end(name: str, end: str) -> None:
    whole = JPEGS[name]()
    assert whole.endswith(b"\xff\xd9")
    content = {
        "": whole[:-2],
        "half": whole[:-1],
        "zeros": whole[:-2] + bytes(3000),
        "half and zeros": whole[:-1] + bytes(3000),
        "data after it": whole + bytes(range(256)) * 50,
    }[end]
    np.testing.assert_array_equal(decode_picture(content).image, cv2.imdecode(np.frombuffer(whole, np.uint8), 1))


@pytest.mark.parametrize("name", [name for name in JPEGS if name != "flat"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8, 0.95, 0.99])
@pytest.mark.parametrize("filled", [False, True])
def test_a_jpeg_that_lacks_rows_is_refused(name: str, share: float, filled: bool) -> None:
    whole = JPEGS[name]()
    content = whole[: int(len(whole) * share)] + bytes(4096 * filled)
    with pytest.raises(EmotionError, match="without its end"):
        decode_picture(content)


def test_a_progressive_jpeg_that_ends_between_two_scans_is_refused() -> None:
    whole, ends = JPEGS["progressive"](), []
    at = whole.index(b"\xff\xda")
    while (at := whole.find(b"\xff\xda", at + 1)) >= 0:
        ends.append(at)
    assert len(ends) > 4
    for end in ends:
        with pytest.raises(EmotionError, match="details are missing"):
            decode_picture(whole[:end])


def test_a_cut_off_jpeg_says_so_in_one_line(tmp_path: Path) -> None:
    """libjpeg must not complain on its own beside the error."""
    (tmp_path / "cut.jpg").write_bytes(JPEGS["baseline"]()[:2500])
    code = "import sys; from emotion_core.media.pictures import read_picture; read_picture(sys.argv[1])"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, str(tmp_path / "cut.jpg")]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert result.stderr.startswith("Traceback") and "are missing" in result.stderr
    assert "Corrupt" not in result.stderr and "Premature" not in result.stderr


@pytest.mark.parametrize("cut", [12, 11, 8, 4, 0])
def test_a_png_with_all_rows_is_whole_whatever_its_end(cut: int) -> None:
    whole = encoded(".png", photo())
    assert whole[-8:-4] == b"IEND"
    content = whole[: len(whole) - cut] if cut else whole + bytes(9000)
    np.testing.assert_array_equal(decode_picture(content).image, photo())


def test_a_png_whose_last_checksum_is_cut_off_is_whole_too() -> None:
    whole = encoded(".png", photo())
    for cut in (13, 14, 16):
        np.testing.assert_array_equal(decode_picture(whole[:-cut]).image, photo())


@pytest.mark.parametrize("share", [0.001, 0.01, 0.3, 0.7, 0.95])
def test_a_png_that_lacks_rows_is_refused(share: float) -> None:
    whole = encoded(".png", photo())
    with pytest.raises(EmotionError, match="cut off"):
        decode_picture(whole[: max(9, int(len(whole) * share))])
