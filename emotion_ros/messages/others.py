"""Messages of packages that a robot has or has not: looked up when somebody asks for what takes them."""

from __future__ import annotations

import importlib
import os
from typing import Any

from emotion_core.errors import EmotionError


def message_type(package: str, name: str, wanted_by: str, install: str | None = None) -> Any:
    """The class of a message.

    Args:
        package, name: of the message.
        wanted_by: the setting that takes it, for the error.
        install: what to do where it is not installed; by default, to take the distribution's package of that name.

    Raises:
        EmotionError: the package is not installed, or another of that name is.
    """
    if install is None:
        distribution = os.environ.get("ROS_DISTRO", "<distribution>")
        install = f"apt-get install ros-{distribution}-{package.replace('_', '-')}, or build it in the workspace"
    try:
        return getattr(importlib.import_module(f"{package}.msg"), name)
    except ModuleNotFoundError:
        raise EmotionError(f"{wanted_by} takes the package {package}, which is not here: {install}") from None
    except (AttributeError, ImportError) as error:
        raise EmotionError(
            f"{wanted_by} takes {package}/msg/{name}, but the {package} here has none ({error}): {install}"
        ) from None
