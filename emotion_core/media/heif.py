"""HEIC and HEIF, as telephones store photos; decoded by libheif, for OpenCV has no decoder of them.

FFmpeg is no replacement: such photos consist of tiles, of which PyAV gives one after the other.
"""

from __future__ import annotations

import io

import numpy as np

from emotion_core.errors import EmotionError
from emotion_core.types import Picture

_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


def is_heif(content: bytes) -> bool:
    """Whether the file calls itself so; an AVIF may as well, and is to be asked first."""
    if content[4:8] != b"ftyp":
        return False
    end = min(int.from_bytes(content[:4], "big"), 256)
    return any(content[at : at + 4] in _BRANDS for at in (8, *range(16, end, 4)))


def decode(content: bytes) -> Picture:
    """The main picture, (H, W, 3) uint8 BGR, turned and mirrored as the file says.

    Raises:
        EmotionError: pillow-heif is missing, or it cannot decode the file.
    """
    try:
        import pillow_heif
    except ImportError:
        raise EmotionError(
            "HEIC and HEIF pictures take pillow-heif: pip install pillow-heif, or pip install emotion-perception[heif]"
        ) from None
    try:
        image = pillow_heif.open_heif(io.BytesIO(content), convert_hdr_to_8bit=True)
        pixels = np.asarray(image)
    except (OSError, ValueError, EOFError, SyntaxError, RuntimeError) as error:
        raise EmotionError(f"expected a whole HEIF picture, but libheif cannot decode it: {error}") from None
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.shape[2] < 3:  # grey, perhaps with alpha
        return np.repeat(pixels[..., :1], 3, axis=2)
    return np.ascontiguousarray(pixels[..., 2::-1])
