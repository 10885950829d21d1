"""``emotion check``: do recordings still show what they should?"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emotion_core.recording.scenario_run import Outcome


def add(parser: argparse.ArgumentParser) -> None:
    """Say what it does, and add its arguments."""
    parser.description = (
        "Run scenarios: YAML files, each with a bag or a video, the emotions that are expected in it over "
        "time, and what a run may cost. Exit code 1 when one is not as expected."
    )
    parser.add_argument("scenarios", nargs="+", metavar="SCENARIO", help="a .yaml, see docs/bags.md")
    parser.add_argument(
        "--data", metavar="DIR", help="where the scenarios' bags and videos are (default: beside each scenario)"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON line for each scenario")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run all; 0 when everything was as expected, else 1."""
    from emotion_core.evaluation.scenario import Scenario
    from emotion_core.recording.scenario_run import run_scenario

    scenarios = [Scenario.load(path, args.data) for path in args.scenarios]  # all, before the first takes its time
    passed = True
    for path, scenario in zip(args.scenarios, scenarios, strict=True):
        outcome = run_scenario(scenario)
        passed = passed and outcome.passed
        print(json.dumps({"scenario": path, **outcome.to_dict()}) if args.json else _text(outcome), flush=True)
    return 0 if passed else 1


def _text(outcome: Outcome) -> str:
    """A line for the scenario and one for each verdict."""
    latency = ", ".join(f"{name} {value:.1f} ms" for name, value in outcome.latency_ms.items())
    lines = [f"{'passed' if outcome.passed else 'FAILED'}  {outcome.name} ({outcome.frames} frames, {latency})"]
    for verdict in outcome.verdicts:
        lines.append(f"  {'ok    ' if verdict.passed else 'FAILED'}  {verdict.text}: {verdict.got}")
    return "\n".join(lines)
