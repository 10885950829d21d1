"""For tools that look for it; everything is said in pyproject.toml."""

from setuptools import setup

setup()
