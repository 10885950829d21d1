"""Where real data may lie, and small stand-ins for it."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# The networks of tests are small, and several tests run at a time: threads would only wait for each other.
# Set before torch is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Gives a file to one process, with what its tests share, and all with ROS to one, for they measure times."""
    from xdist.scheduler import LoadScopeScheduling

    class FileByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "ros" if "/ros/" in f"/{file}" else file

    config.option.loadscopereorder = False
    return FileByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """For several processes: what takes longest comes first, so that no process works alone at the end."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: (item.path.parent.name != "ros", item.path not in slow))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with reference outputs and real media; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared with reference outputs and real media beside this checkout")
    return SHARED


@pytest.fixture(autouse=True)
def empty_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model store of the test's own, so that nothing depends on what a developer has downloaded."""
    store = tmp_path / "store"
    store.mkdir()
    monkeypatch.setenv("EMOTION_MODEL_DIR", str(store))
    return store


@pytest.fixture(scope="session")
def portrait() -> np.ndarray:
    """A real face, 512 x about 600 px, uint8 BGR: the sample picture that comes with matplotlib."""
    cv2 = pytest.importorskip("cv2")
    cbook = pytest.importorskip("matplotlib.cbook")
    with cbook.get_sample_data("grace_hopper.jpg") as file:
        data = np.frombuffer(file.read(), np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


@pytest.fixture(scope="session")
def bounded() -> Callable[[], None]:
    """For ``preexec_fn``: takes from root what lets it read and write everything (prctl PR_CAPBSET_DROP)."""
    library = ctypes.CDLL(None)

    def drop() -> None:
        for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            library.prctl(24, capability, 0, 0, 0)

    return drop


@pytest.fixture(scope="session")
def write_bag() -> Callable[..., Path]:
    """Writes a rosbag2: a folder, of (topic, message, time in ns) with messages of ``make_typestore()``'s types.

    ``storage`` is mcap or sqlite3, ``compression`` file or message, by zstd.
    """
    pytest.importorskip("rosbags", reason="rosbags comes with the extra [bags]")

    def write(path: Path, messages: Any, store: Any, storage: str = "mcap", compression: str = "none") -> Path:
        from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

        writer = Writer(path, version=8, storage_plugin=StoragePlugin[storage.upper()])
        writer.set_compression(CompressionMode[compression.upper()], CompressionFormat.ZSTD)
        with writer:
            connections: dict[tuple[str, str], Any] = {}
            for topic, message, time_ns in messages:
                kind = message.__msgtype__
                if (topic, kind) not in connections:
                    connections[topic, kind] = writer.add_connection(topic, kind, typestore=store)
                writer.write(connections[topic, kind], time_ns, store.serialize_cdr(message, kind))
        return path

    return write
