"""How ONNX Runtime is set up here, whatever network it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnxruntime

from emotion_core.cores import bound_opencv
from emotion_core.errors import EmotionError

CPU = ("CPUExecutionProvider",)


def open_session(source: str | bytes, threads: int = 1, providers: Sequence[Any] = CPU) -> onnxruntime.InferenceSession:
    """A network, ready to run.

    Args:
        source: path of the ONNX file, or its content.
        threads: CPU threads; 0 takes all cores that this process may use.
        providers: what is to run it, in order of preference, each a name or (name, options).

    Raises:
        EmotionError: ONNX Runtime cannot run it; the message is its own, in one line.
    """
    options = onnxruntime.SessionOptions()
    cores = bound_opencv()  # here, for every process that estimates passes here
    options.intra_op_num_threads = threads or cores
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Waiting threads would otherwise spin and take the cores from detection and drawing.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(source, options, providers=list(providers))
    except Exception as error:  # its exceptions share no base class
        raise EmotionError(reason(error)) from None


def reason(error: Exception) -> str:
    """The first line of what ONNX Runtime or OpenCV raised, or the name of it."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
