"""Tests with ROS: each run has a domain of its own on this machine, so that no two hear each other."""

from __future__ import annotations

import fcntl
import hashlib
import importlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
INTERFACES = Path(__file__).resolve().parent / "interfaces"


@cache
def missing() -> str:
    """Why these tests cannot run, empty when they can."""
    for name in ("emotion_perception", "rclpy"):  # the cheap one first: importing rclpy may restart Python
        if find_spec(name) is None:
            return f"{name} is not installed: make test and scripts/run set ROS 2 and the messages up"
    for name in ("rclpy", "emotion_perception.msg"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            return f"{name} does not import: {error}"
    return ""


class SkippedModule(pytest.Module):
    def collect(self) -> Any:
        pytest.skip(missing())


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    return SkippedModule.from_parent(parent, path=module_path) if missing() else None


@pytest.fixture(scope="session")
def ros_domain() -> Iterator[int]:
    """A domain of its own, in this process's environment and so in that of the nodes that it starts."""
    from emotion_ros.process.domains import free_domain

    # Workers of pytest-xdist that begin at the same moment take different ones.
    worker, count = os.environ.get("PYTEST_XDIST_WORKER", "gw0"), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
    own = int(worker.removeprefix("gw"))
    domain = next((d for d in (free_domain() for _ in range(1000)) if d % count == own), free_domain())
    settings = {"ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    if os.environ.get("ROS_DISTRO") == "humble":  # which does not know the discovery range
        settings["ROS_LOCALHOST_ONLY"] = "1"
    profile = ROOT / "config" / "fastdds_shm.xml"
    if profile.exists():
        settings["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(profile)
        settings["FASTDDS_DEFAULT_PROFILES_FILE"] = str(profile)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        yield domain


@pytest.fixture(scope="session")
def interfaces(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, str]]:
    """Call with the names of other projects' message packages to have them built; returns an environment for processes.

    A name is that of a folder in tests/ros/interfaces, ``project/package``, with definitions in its ``msg``. A process
    that is started with the environment imports the messages for real::

        env = interfaces("ros_drivers/audio_common_msgs", "ros4hri/hri_msgs")
        subprocess.run([sys.executable, "-c", "from hri_msgs.msg import IdsList"], env=env, check=True)

    This process, which has started already, cannot. Packages of one call are built at once, about ten seconds for each;
    in ``.venv`` they are kept for the next run. Packages of the same name lie apart: name one of them in a call.
    """
    kept = ROOT / ".venv" / "emotion_perception"
    inside = str(kept.parent) == os.environ.get("VIRTUAL_ENV") and os.access(kept, os.W_OK)
    folder = kept / "interfaces" if inside else tmp_path_factory.mktemp("interfaces")

    def build(*names: str) -> dict[str, str]:
        with ThreadPoolExecutor() as pool:
            prefixes = list(pool.map(lambda name: built_package(INTERFACES / name, folder), names))
        env = dict(os.environ)
        places = {"AMENT_PREFIX_PATH": "", "LD_LIBRARY_PATH": "lib", "PYTHONPATH": "**/*-packages"}
        for variable, place in places.items():
            added = [str(path) for prefix in prefixes for path in (prefix.glob(place) if place else [prefix])]
            env[variable] = os.pathsep.join([*added, *filter(None, [env.get(variable)])])
        return env

    return build


def built_package(source: Path, folder: Path) -> Path:
    """The prefix below ``folder`` into which the definitions in ``source`` are installed; built unless it is there."""
    definitions = sorted(source.glob("msg/*.msg"))
    assert definitions, f"no messages in {source}"
    files = [*definitions, *(path for path in INTERFACES.iterdir() if path.is_file())]
    tools = [sys.version, os.environ.get("ROS_DISTRO", ""), os.environ.get("VIRTUAL_ENV", "")]
    content = "\n".join([*tools, *(f"{path.name}\n{path.read_text()}" for path in files)])
    work = folder / f"{source.parent.name}-{source.name}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs on one checkout
        if not (work / "done").exists():
            build_package(source, definitions, work)
            (work / "done").touch()
    return work / "prefix"


def build_package(source: Path, definitions: Sequence[Path], work: Path) -> None:
    for name in ("source", "build", "prefix"):  # what an interrupted build left
        shutil.rmtree(work / name, ignore_errors=True)
    shutil.copytree(source, work / "source")
    shutil.copy(INTERFACES / "CMakeLists.txt", work / "source")
    manifest = (INTERFACES / "package.xml.in").read_text().replace("@PACKAGE@", source.name)
    (work / "source" / "package.xml").write_text(manifest)
    used = {name for path in definitions for name in re.findall(r"^(\w+)/\w+", path.read_text(), re.MULTILINE)}
    settings = {
        "PACKAGE": source.name,
        "MESSAGES": ";".join(f"msg/{path.name}" for path in definitions),
        "DEPENDENCIES": ";".join(sorted(used - {source.name})),
        "ONLY_C": "ON" if "_ROS_WHEELS_BOOTSTRAP_COMPLETE" in os.environ else "OFF",
        "Python3_EXECUTABLE": sys.executable,
        "BUILD_TESTING": "OFF",
        "CMAKE_INSTALL_PREFIX": str(work / "prefix"),
    }
    configure = ["cmake", "-S", work / "source", "-B", work / "build", *(f"-D{k}={v}" for k, v in settings.items())]
    for command in (configure, ["cmake", "--build", work / "build", "--target", "install", "--parallel", "2"]):
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=280)
        assert result.returncode == 0, f"{source.name} cannot be built:\n{result.stdout[-4000:]}"
    shutil.rmtree(work / "build")


@pytest.fixture
def end_all() -> Callable[..., None]:
    """Call with processes of nodes to end those that still run; killed ones would leave their shared memory behind."""

    def end(processes: Sequence[subprocess.Popen[Any]]) -> None:
        for process in processes:
            if process.poll() is None:
                process.terminate()
        for process in processes:
            try:
                process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()

    return end


@pytest.fixture
def ros_node(ros_domain: int) -> Iterator[Any]:
    """A node of the test's own, to subscribe, publish and call with; spun by ``spin_until``."""
    import rclpy
    from rclpy.context import Context
    from rclpy.executors import SingleThreadedExecutor

    context = Context()
    rclpy.init(context=context, domain_id=ros_domain)
    node = rclpy.create_node("test", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        yield node
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown(context=context)


@pytest.fixture
def spin_until(ros_node: Any) -> Callable[..., bool]:
    """Call with a condition to spin ``ros_node`` until it holds; False when it does not within timeout_s."""

    def spin(condition: Callable[[], bool], timeout_s: float = 60.0) -> bool:
        end = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > end:
                return False
            ros_node.executor.spin_once(timeout_sec=0.1)
        return True

    return spin


@pytest.fixture
def client_of(ros_node: Any, spin_until: Callable[..., bool]) -> Callable[..., Any]:
    """Call with a kind and the name of a service to get a client of which both sides know.

    A client may see its service before the service sees it, and rmw drops what it would answer then: an empty request,
    which changes nothing with any kind used here, is sent again until one is answered.
    """

    def make(kind: Any, name: str) -> Any:
        client = ros_node.create_client(kind, name)
        assert spin_until(client.service_is_ready), f"there is no service {name}"
        for _ in range(20):
            if spin_until(client.call_async(kind.Request()).done, timeout_s=3.0):
                return client
        raise AssertionError(f"the service {name} does not answer")

    return make


@pytest.fixture
def spin_with(ros_node: Any) -> Iterator[Callable[..., Any]]:
    """Call with a class of nodes to have one made in this process and spun together with ``ros_node``."""
    nodes: list[Any] = []

    def add(node_class: Any, name: str, *remappings: str, use_sim_time: bool = False, **values: Any) -> Any:
        from rclpy.parameter import Parameter

        overrides = [Parameter(key, value=value) for key, value in {"use_sim_time": use_sim_time, **values}.items()]
        arguments = ["--ros-args", *(word for rule in remappings for word in ("-r", rule))]
        node = node_class(name, context=ros_node.context, parameter_overrides=overrides, cli_args=arguments)
        ros_node.executor.add_node(node)
        nodes.append(node)
        return node

    yield add
    for node in nodes:
        ros_node.executor.remove_node(node)
        node.destroy_node()


class Health:
    """What a node says on /diagnostics: all its statuses, the newest last."""

    def __init__(self, ros_node: Any, name: str) -> None:
        from diagnostic_msgs.msg import DiagnosticArray

        from emotion_ros.base import qos

        self.name, self.statuses, self.stamps = name, [], []  # type: ignore[var-annotated]
        ros_node.create_subscription(DiagnosticArray, "/diagnostics", self._note, qos.ESTIMATES)

    def _note(self, message: Any) -> None:
        for status in message.status:
            if status.name == self.name:
                self.statuses.append(status)
                self.stamps.append(message.header.stamp)

    @property
    def level(self) -> bytes | None:
        return self.statuses[-1].level if self.statuses else None

    @property
    def message(self) -> str:
        return self.statuses[-1].message if self.statuses else ""

    @property
    def values(self) -> dict[str, str]:
        return {item.key: item.value for item in self.statuses[-1].values} if self.statuses else {}

    def count(self, name: str) -> int:
        return int(self.values.get(name, -1))


@pytest.fixture
def health_of(ros_node: Any) -> Callable[[str], Health]:
    """Call with a node's name, without the leading slash, to hear its diagnostics from now on."""
    return lambda name: Health(ros_node, name)


@pytest.fixture
def run_node(ros_domain: int) -> Callable[..., subprocess.Popen[Any]]:
    """Call with a node's name and its parameters to start the installed executable; end it with ``end_all``."""

    def run(name: str, *parameters: str) -> subprocess.Popen[Any]:
        from ament_index_python.packages import get_package_prefix

        executable = Path(get_package_prefix("emotion_perception"), "lib", "emotion_perception", name)
        words = [word for parameter in parameters for word in ("-p", parameter)]
        return subprocess.Popen([str(executable), "--ros-args", *words], env=os.environ)

    return run
