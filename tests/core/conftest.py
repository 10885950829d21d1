"""What tests of training share."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared"


@pytest.fixture
def two_processes(tmp_path: Path) -> Callable[..., list[str]]:
    """Run a script in two processes, as torchrun does without its launcher: gloo over the loopback interface.

    Takes the script and the test module that it may import as ``cases``; returns what each process printed.
    """

    def run(script: str, cases: str) -> list[str]:
        (tmp_path / "cases.py").write_text(Path(cases).read_text())
        (tmp_path / "worker.py").write_text(script)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        root = Path(__file__).resolve().parents[2]
        shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "GLOO_SOCKET_IFNAME": "lo"}
        processes = [
            subprocess.Popen(
                [sys.executable, str(tmp_path / "worker.py"), str(tmp_path / "run")],
                env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank),
                     "PYTHONPATH": f"{root}:{tmp_path}", "OMP_NUM_THREADS": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in range(2)
        ]  # fmt: skip
        try:
            results = [process.communicate(timeout=240) for process in processes]
        finally:
            for process in processes:
                process.kill()
        assert [p.returncode for p in processes] == [0, 0], [errors[-2000:] for _, errors in results]
        return [output for output, _ in results]

    return run


@pytest.fixture(scope="session")
def faces_and_voices() -> tuple[np.ndarray, Callable[[int, int], tuple[np.ndarray, int]]]:
    """Real ones: FER+ faces (40, 48, 48) uint8, and a reader of RAVDESS by emotion and actor: (samples, rate)."""
    cv2 = pytest.importorskip("cv2")
    pytest.importorskip("av")
    if not SHARED.is_dir():
        pytest.skip("no ../shared with real faces and voices beside this checkout")
    sheet = cv2.imread(str(SHARED / "data/ferplus/faces-000.png"), cv2.IMREAD_GRAYSCALE)
    faces = sheet[:48].reshape(48, -1, 48).transpose(1, 0, 2)

    def voice(emotion: int, actor: int) -> tuple[np.ndarray, int]:
        from emotion_core.media.sound import read_sound

        name = f"Actor_{actor:02d}/03-01-{emotion:02d}-01-01-01-{actor:02d}.flac"
        sound = read_sound(SHARED / "data/ravdess_audio" / name)
        return sound.samples, sound.rate_hz

    return faces, voice


@pytest.fixture
def mux() -> Callable[..., Path]:
    """Writes a video: pictures (H, W, 3) uint8 BGR at their times in seconds, and with them a sound from a time on.

    In .mkv the pictures are as they were, in .mp4 they are compressed.
    """
    av = pytest.importorskip("av")

    def write(
        path: Path,
        pictures: list[np.ndarray],
        times_s: list[float] | np.ndarray,
        sound: tuple[np.ndarray, int] | None = None,
        sound_start_s: float = 0.0,
    ) -> Path:
        tick = Fraction(1, 90000)
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            lossless = path.suffix == ".mkv"
            video = container.add_stream("ffv1" if lossless else "mpeg4", rate=30)
            video.height, video.width = pictures[0].shape[:2]
            video.pix_fmt = "yuv444p" if lossless else "yuv420p"
            video.codec_context.time_base = Fraction(1, 30000)
            if not lossless:
                video.bit_rate = 4_000_000
            audio = None
            if sound is not None:
                audio = container.add_stream("aac", rate=sound[1])
                audio.layout = "mono"
            for picture, time_s in zip(pictures, times_s, strict=True):
                frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
                frame.pts, frame.time_base = round(time_s / tick), tick
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
            if audio is not None:
                samples, rate_hz = sound
                for start in range(0, len(samples), 1024):
                    part = av.AudioFrame.from_ndarray(
                        np.asarray(samples[None, start : start + 1024], np.float32), "fltp", "mono"
                    )
                    part.rate, part.time_base = rate_hz, Fraction(1, rate_hz)
                    part.pts = start + round(sound_start_s * rate_hz)
                    container.mux(audio.encode(part))
                container.mux(audio.encode(None))
        return path

    return write


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Untrained networks as ONNX files, with their weights beside them.

    small: grey, 32 px, two branches, with affect; masking: colour, 64 px, framed otherwise, the same labels in another
    order; seven: the same with the labels of FER2013.
    """
    pytest.importorskip("torch", reason="the networks are made with torch")
    from emotion_core.export.onnx_export import export_onnx
    from emotion_core.export.weights import save_network
    from emotion_core.labels import AFFECTNET, FER2013
    from emotion_core.models.registry import build, describe

    layer = {"channels": 4, "kernel": 3, "padding": 1, "pool": True, "skip": False}
    small = {"type": "esr", "branches": 2, "in_channels": 1, "input_size": 32, "base": [layer], "branch": [layer]}
    masking = {"type": "residual_masking", "image_size": 64, "colour": "rgb", "width": 4}
    kinds = {
        "small": (small, AFFECTNET, "random"),
        "masking": ({**masking, "num_classes": 8}, AFFECTNET[::-1], ""),
        "seven": (masking, FER2013, ""),
    }
    folder, paths = tmp_path_factory.mktemp("models"), {}
    for seed, (name, (entry, labels, affect)) in enumerate(kinds.items()):
        model, paths[name] = build(entry, seed=seed), folder / f"{name}.onnx"
        card = describe(entry, name, labels, "for tests", affect=affect)
        save_network(model, card, folder / f"{name}.safetensors")
        export_onnx(model, card, paths[name])
    return paths
