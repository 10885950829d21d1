"""Scenarios: what is expected of a recording, judged; those of tests/scenarios on bags made of real clips."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rosbags", reason="rosbags comes with the extra [bags]")
pytest.importorskip("yaml", reason="PyYAML comes with the extra [bags]")

from emotion_core.cli import main
from emotion_core.errors import EmotionError
from emotion_core.evaluation.scenario import Bounds, Expectation, Frame, Scenario, judge
from emotion_core.media.bag_messages import Messages
from emotion_core.media.bag_writer import BagWriter
from emotion_core.media.bags import BagPicture, BagReader
from emotion_core.media.frames import resized
from emotion_core.pipeline.facial import FacialConfig, FacialPipeline
from emotion_core.recording.estimate_bag import EstimateBag
from emotion_core.recording.replay import replay
from emotion_core.recording.scenario_run import clip_samples, run_scenario
from emotion_core.types import FACE, VOICE, Box, EmotionEstimate, Face

FOLDER = Path(__file__).parents[1] / "scenarios"
LABELS = ("neutral", "happy")
START = 1_700_000_000_000_000_000
WIDTH = 480


def bag_of(clip: Path, path: Path, sound: bool, every: int = 2) -> Path:
    """A bag as a robot would record it: each second picture, no wider than WIDTH, and the sound, a little late."""
    items: list[tuple[int, str, Any]] = []
    pictures = 0
    with BagWriter(path) as writer:
        make = Messages(writer.store)
        for sample in clip_samples(clip, sound):
            stamp = START + round(sample.stamp_s * 1e9)
            if not isinstance(sample, BagPicture):
                message = make.sound(sample.sound, sample.rate_hz, make.header(stamp, "mic"))
                items.append((stamp + len(sample.sound) * 10**9 // sample.rate_hz, "/audio", message))
                continue
            if pictures % every == 0:
                picture = resized(sample.image, min(WIDTH, sample.image.shape[1]))
                items.append((stamp + 5_000_000, "/image", make.image(picture, make.header(stamp, "camera"))))
            pictures += 1
        for time_ns, topic, message in sorted(items, key=lambda item: item[0]):
            writer.write(topic, message, time_ns)
    return path


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_bag_of_a_real_clip_shows_what_it_should(path: Path, shared: Path, empty_store: Path, tmp_path: Path) -> None:
    pytest.importorskip("av", reason="PyAV comes with the extra [media]")
    for model in (shared / "models").glob("*yunet*.onnx"):
        shutil.copy(model, empty_store)
    scenario = Scenario.load(path, shared / "data" / "clips")
    bag = bag_of(scenario.source, tmp_path / "bag.mcap", scenario.sound)
    outcome = run_scenario(replace(scenario, source=bag))
    assert outcome.passed, [verdict for verdict in outcome.verdicts if not verdict.passed]
    assert outcome.frames > 80 and outcome.lost == 0
    assert set(outcome.latency_ms) == {"p50", "p95", "p99"}  # told, and not judged: this machine may be busy


def test_there_are_scenarios() -> None:
    assert len(list(FOLDER.glob("*.yaml"))) >= 4


def estimate(label: str, valence: float = 0.0, modalities: int = FACE, face: bool = True) -> EmotionEstimate:
    probabilities = tuple(0.9 if name == label else 0.1 for name in LABELS)
    found = Face(Box(0, 0, 10, 10)) if face else None
    return EmotionEstimate(0.0, LABELS, probabilities, valence, 0.1, found, "1", modalities=modalities)


class TestJudging:
    def scenario(self, *expect: Expectation, **bounds: Any) -> Scenario:
        return Scenario("test", Path("bag"), expect, bounds=Bounds(**bounds))

    def frames(self) -> list[Frame]:
        """Two seconds at 10 Hz: neutral, then happy; the latency grows from 1 to 20 ms."""
        return [
            Frame(i / 10, [estimate("happy", 0.5) if i >= 10 else estimate("neutral")], float(i + 1)) for i in range(20)
        ]

    @pytest.mark.parametrize(
        ("expectation", "passed", "got"),
        [
            (Expectation(0, 1, "neutral"), True, "10 of 10"),
            (
                Expectation(0.5, 1.5, "neutral"),
                False,
                "5 of 10, not at 1.00 s: happy 90 %, valence +0.50, arousal +0.10",
            ),
            (Expectation(0.5, 1.5, "neutral", pass_rate=0.5), True, "5 of 10, not at 1.00 s: happy 90 %"),
            (Expectation(0, 2, ["neutral", "happy"]), True, "20 of 20"),
            (Expectation(1, 2, valence=[0.4, 0.6], arousal=[0, 0.2]), True, "10 of 10"),
            (Expectation(0, 2, valence=[0.4, 0.6], pass_rate=0.6), False, "10 of 20"),
            (Expectation(0, 2, people=1), True, "20 of 20"),
            (Expectation(0, 2, people=0), False, "0 of 20"),
            (Expectation(0, 2, voice=False), True, "20 of 20"),
            (Expectation(0, 2, voice=True), False, "0 of 20"),
            (Expectation(5, 6, "happy"), False, "no frames"),
        ],
    )
    def test_a_span(self, expectation: Expectation, passed: bool, got: str) -> None:
        verdict = judge(self.scenario(expectation), self.frames(), 0)[0]
        assert verdict.passed is passed and verdict.got.startswith(got), verdict

    def test_of_people_the_largest_face_counts_and_voices_have_none(self) -> None:
        both = [estimate("happy"), estimate("neutral")]
        assert Expectation(0, 1, "happy", people=2).holds(both)
        assert not Expectation(0, 1, "neutral").holds(both)
        heard = [estimate("happy", modalities=VOICE, face=False)]
        assert Expectation(0, 1, "happy", people=0, voice=True).holds(heard)
        assert not Expectation(0, 1, "happy").holds([]) and Expectation(0, 1, people=0).holds([])

    def test_bounds(self) -> None:
        expectation = Expectation(0, 1, people=1)
        verdicts = judge(self.scenario(expectation, max_lost=2, latency_p95_ms=19.5), self.frames(), 2)
        assert [verdict.passed for verdict in verdicts] == [True, True, True]
        assert verdicts[2].got == "19.1 ms"  # between the 19th and the 20th of 20
        verdicts = judge(self.scenario(expectation, max_lost=1, latency_p95_ms=19.0), self.frames(), 2)
        assert [verdict.passed for verdict in verdicts] == [True, False, False]
        unknown = [Frame(0.0, [estimate("happy")])]
        assert not judge(self.scenario(expectation, latency_p95_ms=1e9), unknown, 0)[2].passed


class TestFiles:
    GOOD = "name: n\nsource: bag.mcap\nexpect:\n- {from_s: 0, to_s: 1, label: happy}\n"

    def load(self, tmp_path: Path, text: str) -> Scenario:
        (tmp_path / "s.yaml").write_text(text)
        return Scenario.load(tmp_path / "s.yaml")

    def test_the_source_is_beside_the_file_or_in_a_folder_of_data(self, tmp_path: Path) -> None:
        assert self.load(tmp_path, self.GOOD).source == tmp_path / "bag.mcap"
        assert Scenario.load(tmp_path / "s.yaml", "/data").source == Path("/data/bag.mcap")
        assert self.load(tmp_path, self.GOOD + "topics: /image\nbounds: {max_lost: 3}\n").topics == ("/image",)
        assert Scenario.load(tmp_path / "s.yaml").bounds == Bounds(3)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("[", r"s\.yaml: expected YAML: "),
            ("a text", "expected lines such as `name: value` of a scenario, got 'a text'"),
            ("name: n\nsource: b\n", r"missing 1 required positional argument: 'expect'"),
            (GOOD.replace("expect:", "expect: []\nx:"), "a scenario has no x: expected some of name, source, expect"),
            ("name: n\nsource: b\nexpect: []\n", "expected at least one span below expect, got none"),
            (GOOD.replace("to_s: 1", "to_s: 0"), r"expected a span 0 ≤ from_s < to_s, got 0 and 0"),
            (GOOD.replace(", label: happy", ""), "expected label, people, valence, arousal or voice"),
            (GOOD.replace("label: happy", "label: happy, pass_rate: 2"), "expected a pass_rate above 0"),
            (GOOD.replace("label: happy", "valence: [1, 0]"), r"expected valence as \[lowest, highest\]"),
            (GOOD + "bounds: {max_latency: 3}\n", "bounds has no max_latency: expected some of max_lost"),
        ],
    )
    def test_what_is_no_scenario(self, tmp_path: Path, text: str, said: str) -> None:
        with pytest.raises(EmotionError, match=said):
            self.load(tmp_path, text)

    def test_one_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(EmotionError, match=r"none\.yaml: expected a scenario, but it cannot be read: No such file"):
            Scenario.load(tmp_path / "none.yaml")


class TestCommand:
    @pytest.fixture
    def bag(self, portrait: Any, tmp_path: Path) -> Path:
        """Four pictures of one face at 10 Hz."""
        with BagWriter(tmp_path / "bag.mcap") as writer:
            make = Messages(writer.store)
            for index in range(4):
                time = START + index * 10**8
                picture = resized(portrait, 256)
                writer.write("/image", make.image(picture, make.header(time, "")), time)
        return tmp_path / "bag.mcap"

    def scenario(self, folder: Path, **changes: Any) -> str:
        about = {"name": "a face", "source": "bag.mcap", "pipeline": {"detector": "haar", "detect_every": 1},
                 "expect": [{"from_s": 0, "to_s": 1, "people": 1}], **changes}  # fmt: skip
        path = folder / f"{len(list(folder.glob('*.yaml')))}.yaml"
        path.write_text(json.dumps(about))  # which is YAML, too
        return str(path)

    def test_passed_and_failed(self, bag: Path, tmp_path: Path, capsys: Any) -> None:
        good = self.scenario(tmp_path)
        bad = self.scenario(tmp_path, expect=[{"from_s": 0, "to_s": 1, "people": 2}])
        assert main(["check", good]) == 0
        said = capsys.readouterr().out
        assert said.startswith("passed  a face (4 frames, p50 ")
        assert "  ok      0 to 1 s: 1 people in 100 % of the frames: 4 of 4\n" in said
        assert main(["check", good, bad, "--json"]) == 1
        first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
        assert (first["passed"], second["passed"], second["frames"], second["lost"]) == (True, False, 4, 0)
        assert second["verdicts"][0]["got"].startswith("0 of 4, not at 0.00 s: ")

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"source": "none.mcap"}, "none.mcap: expected a bag"),
            ({"pipeline": {"smoothing": 1}}, "pipeline has no smoothing: expected some of model,"),
            ({"pipeline": {"smoothing_s": -1}}, "parameter smoothing_s: expected a number in"),
            ({"estimates": "/facial/estimates"}, "there are no estimates on /facial/estimates, expected one of none"),
        ],
    )
    def test_bad_input(self, bag: Path, tmp_path: Path, capsys: Any, changes: dict[str, Any], said: str) -> None:
        assert main(["check", self.scenario(tmp_path, **changes)]) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1

    def test_what_a_node_published_is_judged_with_its_latency_and_drops(self, bag: Path, tmp_path: Path) -> None:
        """Estimates of three of four pictures, each 30 ms after its stamp."""
        live = tmp_path / "live"
        live.mkdir()
        with BagReader(bag) as reader, EstimateBag(live / "estimates.mcap", "/facial/estimates") as writer:
            steps = list(replay(reader, FacialPipeline(FacialConfig(detector="haar", detect_every=1))))
            for step in steps[:3]:
                writer.add(replace(step, sample=replace(step.sample, bag_ns=step.sample.bag_ns + 30_000_000)))
        shutil.copy(bag, live)
        path = self.scenario(tmp_path, source="live", estimates="/facial/estimates", bounds={"latency_p95_ms": 31.0})
        outcome = run_scenario(Scenario.load(path))
        assert (outcome.frames, outcome.lost) == (3, 1)
        assert outcome.latency_ms["p50"] == pytest.approx(30, abs=1e-3)
        assert [verdict.passed for verdict in outcome.verdicts] == [True, False, True]
        assert list(outcome.labels) == [steps[0].estimates[0].label]
