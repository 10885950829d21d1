"""New settings of what estimates, taken over while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, Protocol

from rclpy.node import Node
from rclpy.parameter import Parameter

from emotion_core.errors import EmotionError
from emotion_ros.base.latest import LatestWorker
from emotion_ros.base.managed import explain


class Changeable(Protocol):
    """See ``emotion_ros.base.estimator.Pipeline``."""

    @property
    def config(self) -> Any: ...

    def check(self, config: Any) -> bool: ...

    def prepare(self, config: Any) -> Callable[[], None]: ...


class SettingsLoader:
    """Loads what new settings need in a thread of its own, while the worker goes on; the worker then takes them over.

    Where they cannot be loaded, the parameters get their former values back.

    Args:
        node: has the parameters.
        pipeline: has the settings.
        worker: works with the pipeline.
        loaded: called by the worker's thread when something new is in use.
    """

    def __init__(self, node: Node, pipeline: Changeable, worker: LatestWorker[Any], loaded: Callable[[], None]) -> None:
        self._node, self._pipeline, self._worker, self._loaded = node, pipeline, worker, loaded
        self._thread: LatestWorker[Any] | None = None

    def change(self, config: Any) -> None:
        """Take over new settings soon; raises EmotionError where it is clear at once that they cannot be."""
        if self._pipeline.check(config):
            if self._thread is None:
                self._thread = LatestWorker(self._load, lambda error: None, name="loader")
            self._thread.put(config)
        else:
            self._worker.soon(self._pipeline.prepare(config), "settings")

    def stop(self) -> None:
        """Finish what is being loaded; what waits is left to the next activation."""
        if self._thread is not None:
            self._thread.stop()

    def _load(self, config: Any) -> bool:
        pipeline = self._pipeline
        try:
            take_over = pipeline.prepare(config)
        except Exception as error:
            self._node.get_logger().error(f"the parameters that were set are not applied: {explain(error)}")
            self._restore(config)
            return isinstance(error, EmotionError)

        def change() -> None:
            take_over()
            self._loaded()

        self._worker.soon(change, "settings")
        return True

    def _restore(self, refused: Any) -> None:
        """Parameters say what is in use, not what somebody wished."""
        used = self._pipeline.config
        names = [item.name for item in fields(used) if getattr(used, item.name) != getattr(refused, item.name)]
        self._node.set_parameters([Parameter(name, value=getattr(used, name)) for name in names])
