"""What a file's packets hold, whatever is broken among them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


def decoded(container: Any, stream: Any, skip: Callable[[], None]) -> Iterator[Any]:
    """Every frame of a PyAV stream that can be decoded.

    Args:
        container, stream: opened by PyAV.
        skip: called for each packet that cannot.
    """
    import av

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            frames = [] if packet is None else packet.decode()
        except av.error.FFmpegError:
            skip()
            continue  # an error while demuxing has ended the packets: the next one is None
        if packet is None:
            return
        yield from frames
