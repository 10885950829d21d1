"""Options for everything that can be set about a pipeline, made from its configuration."""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import Any, TypeVar

from emotion_core.parameters import CheckedConfig, parameter_of

ConfigT = TypeVar("ConfigT", bound=CheckedConfig)
ALIASES = {"provider": "device"}
"""Second names of options, for parameters whose name belongs to ONNX Runtime more than to its users."""


def add_pipeline_options(parser: argparse.ArgumentParser, config_class: type[CheckedConfig]) -> None:
    """Add an option for each parameter of a configuration: of its name, with its description and default."""
    group = parser.add_argument_group("how to estimate", "the parameters of the nodes, under the same names")
    for item in fields(config_class):  # type: ignore[arg-type]
        declared = parameter_of(item)
        if declared is None:
            continue
        kind: Any = type(item.default)
        options: dict[str, Any] = {"dest": item.name, "default": argparse.SUPPRESS}
        if kind is bool:
            options |= {"action": argparse.BooleanOptionalAction}
        else:
            options |= {"type": kind, "choices": declared.choices or None, "metavar": _metavar(kind, declared.choices)}
        shown = ("yes" if item.default else "no") if kind is bool else item.default
        text = declared.description.rstrip(".") + ("" if shown == "" else f" (default: {shown})")
        names = [f"--{name.replace('_', '-')}" for name in (item.name, ALIASES.get(item.name)) if name]
        group.add_argument(*names, help=text.replace("%", "%%"), **options)


def read_pipeline_options(args: argparse.Namespace, config_class: type[ConfigT]) -> ConfigT:
    """The configuration that was asked for; raises EmotionError for a bad value."""
    return config_class(**given_options(args, config_class))


def given_options(args: argparse.Namespace, config_class: type[CheckedConfig]) -> dict[str, Any]:
    """The values of the parameters that were given on the command line, by name; all others have their defaults."""
    names = [item.name for item in fields(config_class)]  # type: ignore[arg-type]
    return {name: value for name, value in vars(args).items() if name in names}


def _metavar(kind: type, choices: tuple[str, ...]) -> str | None:
    return None if choices else {int: "N", float: "X"}.get(kind, "NAME")
