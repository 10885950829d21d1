"""Modules of the user's own that register architectures and datasets; imported only because the user named them."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from typing import Any

from emotion_core.errors import EmotionError

_loaded: dict[str, None] = {}


def load_plugin(name: str) -> None:
    """Import a module by its name, or a file that ends in .py; once, however often it is asked for.

    Raises:
        EmotionError: there is no such module or file, or it fails while it is imported.
    """
    path = Path(name)
    is_path = path.suffix == ".py"
    if is_path:
        if not path.is_file():
            raise EmotionError(f"--plugin: expected a Python file or the name of a module, but there is no {path}")
        name = str(path.resolve())
    if name in _loaded:
        return
    try:
        if is_path:
            _import_file(Path(name))
        else:
            importlib.import_module(name)
    except EmotionError:
        raise
    except Exception as error:  # whatever the user's own code does
        raise EmotionError(f"--plugin {name} cannot be imported: {type(error).__name__}: {error}") from error
    _loaded[name] = None


def loaded_plugins() -> tuple[str, ...]:
    """What has been loaded, so that a process started from here can load the same."""
    return tuple(_loaded)


def source_of(thing: Any) -> tuple[str, str, int]:
    """File, name and line where a class or function is written: the same for a module that was imported twice."""
    try:
        file, line = inspect.getfile(thing), inspect.getsourcelines(thing)[1]
    except (OSError, TypeError):  # made in an interpreter
        file, line = thing.__module__, 0
    return file, thing.__qualname__, line


def _import_file(path: Path) -> None:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(path.stem)
    sys.modules[path.stem] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(path.stem)
        if before is not None:
            sys.modules[path.stem] = before
        raise
