"""What dependencies would write without being asked (ONNX Runtime: ``emotion_core/__init__.py``), and is prevented."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile


def matplotlib_apart() -> None:
    """Call before importing matplotlib: its list of fonts goes to a temporary folder and not below the home folder.

    Pictures then look the same for everybody, for a ``matplotlibrc`` in the home folder is not read; one in the
    working folder, ``$MATPLOTLIBRC`` and ``$MPLCONFIGDIR`` are. A matplotlib that is imported already stays as it is.
    """
    if "matplotlib" in sys.modules or os.environ.get("MPLCONFIGDIR"):
        return
    folder = tempfile.mkdtemp(prefix="emotion-matplotlib-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["MPLCONFIGDIR"] = folder
    try:
        import matplotlib

        # Both are remembered, so that programs started from here decide for themselves.
        matplotlib.get_configdir()
        matplotlib.get_cachedir()
    except ImportError:
        pass  # whoever needs it says so
    finally:
        del os.environ["MPLCONFIGDIR"]
