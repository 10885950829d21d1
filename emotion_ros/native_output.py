"""What C libraries print: OpenCV, libpng and libjpeg write to the process's stderr themselves, past every logger."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Iterator

_LOCK = threading.Lock()
_DECODERS = re.compile(rb"^(libpng |Corrupt JPEG|Invalid SOS|Unsupported marker|Premature end of JPEG|\[ ?[A-Z]+:\d+@)")
"""How lines of the decoders begin."""


@contextlib.contextmanager
def collected() -> Iterator[list[str]]:
    """Collect the lines that image decoders write to stderr; the list is filled when the block is left.

    Other threads go on writing to stderr meanwhile, the node's log among them: their lines come out, unchanged and in
    order, when the block is left. So keep it short. Two blocks at once wait for each other.
    """
    lines: list[str] = []
    with _LOCK:
        try:
            kept, catcher = os.dup(2), os.memfd_create("stderr")
        except (AttributeError, OSError):  # no stderr, or no such file: nothing can be collected
            yield lines
            return
        try:
            os.dup2(catcher, 2)
            try:
                yield lines
            finally:
                os.dup2(kept, 2)
                size = os.fstat(catcher).st_size
                for line in os.pread(catcher, size, 0).splitlines(keepends=True) if size else ():
                    if _DECODERS.match(line):
                        lines.append(line.decode(errors="replace").strip())
                    else:
                        os.write(kept, line)
        finally:
            os.close(kept)
            os.close(catcher)
