"""What C libraries print: OpenCV, libpng and libjpeg write to the process's stderr themselves, past every logger."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Iterator

_LOCK = threading.Lock()
_DECODERS = re.compile(
    rb"libpng |Corrupt JPEG|Invalid (SOS|JPEG)|Unsupported marker|Premature end of JPEG|Inconsistent progression"
    rb"|Warning: unknown JFIF|\[ ?[A-Z]+:\d+@"
)
"""How lines of the decoders begin."""


@contextlib.contextmanager
def collected() -> Iterator[list[str]]:
    """Collect the lines that image decoders write to stderr; the list is filled when the block is left.

    Other threads go on writing to stderr meanwhile, the node's log among them: their lines come out, unchanged and in
    order, when the block is left. So keep it short. Two blocks at once wait for each other.
    """
    lines: list[str] = []
    with _LOCK, contextlib.ExitStack() as files:
        try:
            catcher = files.enter_context(os.fdopen(os.memfd_create("stderr"), "rb", buffering=0))
            kept = files.enter_context(os.fdopen(os.dup(2), "wb", buffering=0))
        except OSError:  # there is no stderr, and so nobody to be spared
            yield lines
            return
        os.dup2(catcher.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(kept.fileno(), 2)
            size = os.fstat(catcher.fileno()).st_size
            for line in os.pread(catcher.fileno(), size, 0).splitlines(keepends=True) if size else ():
                if _DECODERS.match(line):
                    lines.append(line.decode(errors="replace").strip())
                else:
                    with contextlib.suppress(OSError):  # nobody reads it any more
                        kept.write(line)
