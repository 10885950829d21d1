# Everything runs in .venv, which `make setup` makes; nothing is installed outside this folder.

PYTHON ?=
VIDEO ?=
CAMERA ?=
OUT ?= out
DURATION ?= 10
TESTS ?= tests
ARGS ?=
WORKERS ?= logical

export PYTHON

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test lint format clean distclean

help: ## print this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup: ## make or mend .venv (ROS 2 Jazzy from wheels) and the build; PYTHON=python3.12
	@scripts/setup

setup-dev: ## the same, and what training, tests and linting need
	@scripts/setup dev

demo: setup ## run the nodes and record what they see; VIDEO=file or CAMERA=0, DURATION=10 (seconds), OUT=out
	@scripts/run python -m emotion_ros.demo --duration $(DURATION) --out "$(OUT)" \
	  $(if $(VIDEO),--video "$(VIDEO)") $(if $(CAMERA),--camera "$(CAMERA)")

test: setup-dev ## run the tests; TESTS=tests/core, ARGS="-x -k face", WORKERS=0 (processes; a core each, at most 4)
	@scripts/run pytest -n $(WORKERS) --maxprocesses 4 $(TESTS) $(ARGS)

lint: setup-dev ## check style, format and types
	@scripts/run ruff check .
	@scripts/run ruff format --check .
	@scripts/run mypy emotion_core emotion_ros

format: setup-dev ## bring the code into the format that lint checks
	@scripts/run ruff check --fix .
	@scripts/run ruff format .

clean: ## remove what was built; .venv stays
	rm -rf build install log .mypy_cache .pytest_cache .ruff_cache
	find emotion_core emotion_ros tests -name __pycache__ -prune -exec rm -rf {} +

distclean: clean ## remove .venv as well
	rm -rf .venv *.egg-info
