"""Messages of packages that a robot has or has not: looked up when somebody asks for what takes them."""

from __future__ import annotations

import importlib
import os
from typing import Any

from emotion_core.errors import EmotionError


def message_type(package: str, name: str, wanted_by: str) -> Any:
    """The class of a message.

    Args:
        package, name: of the message.
        wanted_by: the setting that takes it, for the error.

    Raises:
        EmotionError: the package is not installed, or another of that name is.
    """
    try:
        return getattr(importlib.import_module(f"{package}.msg"), name)
    except ModuleNotFoundError:
        distribution = os.environ.get("ROS_DISTRO", "<distribution>")
        raise EmotionError(
            f"{wanted_by} takes the package {package}, which is not here: "
            f"apt-get install ros-{distribution}-{package.replace('_', '-')}, or build it in the workspace"
        ) from None
    except (AttributeError, ImportError) as error:
        raise EmotionError(
            f"{wanted_by} takes {package}/msg/{name}, but the {package} here has none: {error}"
        ) from None
