"""Training a voice network: the classifier in closed form, the tuning by the loop, changed voices, and the command."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("scipy")
pytest.importorskip("tensorboard")
pytest.importorskip("yaml")
pytest.importorskip("av")

from emotion_core.cli import main  # noqa: E402
from emotion_core.data.voices import load_voice_table  # noqa: E402
from emotion_core.errors import EmotionError  # noqa: E402
from emotion_core.export.weights import load_network  # noqa: E402
from emotion_core.training.discriminant import calibrated, fit_discriminant  # noqa: E402
from emotion_core.training.loop import Loop  # noqa: E402
from emotion_core.training.voice import VoiceTask  # noqa: E402
from emotion_core.training.voice_augment import (  # noqa: E402
    VoiceAugmentConfig,
    add_noise,
    change_mel,
    change_sound,
    faster,
    reverberate,
)
from emotion_core.training.voice_config import VoiceTrainingConfig  # noqa: E402
from emotion_core.training.voice_data import Utterances, padded, spoken  # noqa: E402

MODEL = {"type": "voice", "hidden": 12, "layers": 2, "first": 0}
RATE_HZ = 16000


def write_wav(path: Path, samples: np.ndarray, rate_hz: int = RATE_HZ) -> None:
    import wave

    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    """Low and high tones of six speakers, each with a pitch of their own."""
    root = tmp_path_factory.mktemp("tones")
    rng, lines = np.random.default_rng(0), ["path,label,speaker"]
    time = np.arange(RATE_HZ // 2) / RATE_HZ
    for speaker in range(6):
        for label, hz in (("low", 300.0), ("high", 900.0)):
            for i in range(6):
                pitch = hz * (0.9 + 0.04 * speaker) * rng.uniform(0.97, 1.03)
                samples = 0.1 * np.sin(2 * np.pi * pitch * time) + rng.normal(0, 0.003, len(time))
                write_wav(root / f"{speaker}_{label}_{i}.wav", np.concatenate([np.zeros(4000), samples]))
                lines.append(f"{speaker}_{label}_{i}.wav,{label},s{speaker}")
    (root / "tones.csv").write_text("\n".join(lines) + "\n")
    return root / "tones.csv"


def config(**settings: object) -> VoiceTrainingConfig:
    return VoiceTrainingConfig.from_dict({"model": MODEL, "copies": 1, "kept": 20, "batch_size": 12, **settings})


def test_a_discriminant_is_the_textbook_one():
    """Without shrinking, and with all directions: inverse of the covariance within classes, times the means."""
    rng = np.random.default_rng(0)
    classes = np.repeat([0, 1, 2], 200)
    mixing = rng.standard_normal((4, 4))
    values = (rng.standard_normal((600, 4)) + 2 * np.eye(4)[classes]) @ mixing
    found = fit_discriminant(values, classes, kept=4, shrink=1e-12)
    means = np.stack([values[classes == k].mean(0) for k in range(3)])
    inside = values - means[classes]
    weights = np.linalg.solve(inside.T @ inside / 600, means.T).T
    expected = values @ weights.T - 0.5 * (weights * means).sum(1)
    difference = found(values) - expected
    np.testing.assert_allclose(difference, np.repeat(difference[:, :1], 3, 1), atol=1e-6)  # softmax leaves the same
    assert (found(values).argmax(1) == classes).mean() > 0.75


def test_more_statistics_than_recordings():
    rng = np.random.default_rng(0)
    classes = np.tile([0, 1], 30)
    values = rng.standard_normal((60, 500)) + 1.0 * classes[:, None] * (np.arange(500) < 40)
    found = fit_discriminant(values, classes, kept=50, shrink=0.3)
    fresh = rng.standard_normal((200, 500)) + 1.0 * np.tile([0, 1], 100)[:, None] * (np.arange(500) < 40)
    assert (found(fresh).argmax(1) == np.tile([0, 1], 100)).mean() > 0.85
    with pytest.raises(EmotionError, match="every class needs a recording"):
        fit_discriminant(values, classes * 2, 50, 0.3)


def test_scores_are_as_sure_as_they_are_right_for_speakers_not_seen():
    rng = np.random.default_rng(0)
    groups, classes = np.repeat(np.arange(40), 20), np.tile([0, 1], 400)
    offsets = rng.standard_normal((40, 60))[groups]
    values = rng.standard_normal((800, 60)) + offsets + 0.6 * np.eye(60)[0] * classes[:, None]
    seen = groups < 12

    def gap(scores: np.ndarray) -> float:
        likely = np.exp(scores - scores.max(1, keepdims=True))
        right = scores.argmax(1) == classes[~seen]
        return abs((likely.max(1) / likely.sum(1)).mean() - right.mean())

    data = values[seen], classes[seen]
    assert gap(fit_discriminant(*data, 60, 1e-6)(values[~seen])) > 0.12
    assert gap(calibrated([data[0]], data[1], groups[seen], 60, 1e-6)(values[~seen])) < 0.06


def test_the_classifier_on_an_encoder_as_it_is(table, tmp_path):
    train, valid = load_voice_table(table, "train"), load_voice_table(table, "valid")
    task = VoiceTask(config(), train, valid)
    before = {name: value.clone() for name, value in task.model.layers.state_dict().items()}
    loop = Loop(task, tmp_path)
    loop.run()
    results = task.evaluate(loop.model)
    assert results[0].accuracy > 90 and results[0].n == len(valid) == 24
    assert results[5].accuracy >= 90 and results[5].n == 4 * 24
    after = task.model.layers.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    pooled = task._hear(train, task.model)
    np.testing.assert_allclose(pooled.mean(0), 0, atol=1e-3)  # centre and spread are those of the training data
    assert pooled.std(0).max() == pytest.approx(1, abs=1e-3)
    again = VoiceTask(config(), train, valid)
    again.fit(again.model)
    assert all(
        torch.equal(a, b)
        for a, b in zip(again.model.state_dict().values(), task.model.state_dict().values(), strict=True)
    )


def test_tuning_teaches_the_encoder_and_goes_on_where_it_was_stopped(table, tmp_path):
    train, valid = load_voice_table(table, "train"), load_voice_table(table, "valid")
    calm = {"speed": 0.05, "noise": 0, "reverb": 0, "gain_db": 0, "bands": 0, "frames": 0}
    settings = {"epochs": 3, "lr": 1e-2, "kept": 5, "augment": calm}
    whole = Loop(VoiceTask(config(**settings), train, valid), tmp_path / "whole")
    start = {name: value.clone() for name, value in whole.task.model.layers.state_dict().items()}
    history = whole.run()
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    moved = [not torch.equal(start[name], value) for name, value in whole.task.model.layers.state_dict().items()]
    assert all(moved)

    class Stop(Exception):
        pass

    def stop(event):
        if getattr(event, "row", {}).get("epoch") == 2:
            raise Stop

    broken = Loop(VoiceTask(config(**settings), train, valid), tmp_path / "broken")
    with pytest.raises(Stop):
        broken.run(stop)
    resumed = Loop(VoiceTask(config(**settings), train, valid), tmp_path / "broken")
    assert len(resumed.history) == 2
    resumed.run()
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(resumed.model.state_dict()[name], value, rtol=0, atol=0, msg=name)


def test_layers_that_learn_slower_or_not_at_all(table):
    train, valid = load_voice_table(table, "train"), load_voice_table(table, "valid")
    rates = [g["lr"] for g in VoiceTask(config(lr=1.0, layer_factor=0.5), train, valid).optimizer(0).param_groups]
    assert rates == [0.5, 1.0, 1.0]
    assert len(VoiceTask(config(lr=1.0, layer_factor=0.0), train, valid).optimizer(0).param_groups) == 2


def test_changed_voices():
    rng, time = np.random.default_rng(0), np.arange(RATE_HZ) / RATE_HZ
    tone = np.sin(2 * np.pi * 400 * time).astype(np.float32)
    quick = faster(tone, 1.25)
    assert len(quick) == RATE_HZ * 4 // 5
    assert np.abs(np.fft.rfft(quick)).argmax() * RATE_HZ / len(quick) == pytest.approx(500, abs=2)
    noisy = add_noise(tone, 20, 0.0, rng)
    assert 10 * np.log10(np.mean(tone**2) / np.mean((noisy - tone) ** 2)) == pytest.approx(20, abs=0.1)
    click = np.zeros(RATE_HZ, np.float32)
    click[0] = 1
    room = reverberate(click, RATE_HZ, 0.5, 6, rng)
    assert room[0] == pytest.approx(1, abs=1e-6)
    echoes = 10 * np.log10(np.square(room[1:]).sum())
    assert echoes == pytest.approx(-6, abs=0.2)
    late = 10 * np.log10(np.square(room[3000:5000]).mean() / np.square(room[1:2001]).mean())
    assert late == pytest.approx(-60 * 3000 / 8000, abs=1.5)  # 60 dB in 8000 samples
    unchanged = VoiceAugmentConfig(speed=0, noise=0, reverb=0, gain_db=0, bands=0, frames=0)
    np.testing.assert_array_equal(change_sound(tone, RATE_HZ, unchanged, rng), tone)
    mel = rng.random((40, 100)).astype(np.float32) + 1
    np.testing.assert_array_equal(change_mel(mel, unchanged, rng), mel)
    masked = change_mel(mel, VoiceAugmentConfig(bands=6, frames=20), np.random.default_rng(3))
    assert 0 < (masked == 0).mean() < 0.6 and (mel > 0).all()
    with pytest.raises(EmotionError, match="noise must be in"):
        VoiceAugmentConfig(noise=1.5)


def test_utterances_are_drawn_anew_by_seed_cut_and_padded(table):
    voices = load_voice_table(table)
    plain = Utterances(voices, 1e-3)[0]
    assert plain.shape == (40, 76)  # half a second of tone, after a quarter of silence
    assert 48 <= Utterances(voices, 1e-3, longest=70)[0].shape[1] <= 54
    changed = [Utterances(voices, 1e-3, VoiceAugmentConfig(), seed)[0] for seed in (1, 1, 2)]
    np.testing.assert_array_equal(changed[0], changed[1])
    assert changed[0].shape != changed[2].shape or not np.array_equal(changed[0], changed[2])
    assert Utterances(voices, 1e-3, longest=20)[0].shape == (40, 20)
    batch = padded([plain, plain[:, :7]])
    assert batch.shape == (2, 40, plain.shape[1]) and (batch[1, :, 7:] == 0).all()


def test_speech_without_the_silence_around_it():
    mel = np.zeros((40, 20), np.float32)
    mel[:, 5:12] = 1
    mel[:, 8] = 0
    assert spoken(mel, 0.1).shape == (40, 7)
    assert spoken(np.zeros((40, 20), np.float32), 0.1).shape == (40, 20)


def train_voice(*arguments: object) -> int:
    return main(["train", "voice", *map(str, arguments), "--threads", "1"])


@pytest.fixture
def recipe(tmp_path) -> Path:
    path = tmp_path / "voice_tones.yaml"
    path.write_text("model: {type: voice, hidden: 12, layers: 2, first: 0}\ncopies: 1\nkept: 20\n")
    return path


def encoder(path: Path) -> Path:
    torch.manual_seed(0)
    state = torch.nn.LSTM(40, 12, 2).state_dict()
    torch.save({"model_state": {f"lstm.{name}": value for name, value in state.items()}}, path)
    return path


def test_the_command_trains_and_tells(table, recipe, tmp_path, capsys):
    out = tmp_path / "run"
    common = ("--config", recipe, "--dataset", "table", "--data", table, "--encoder", encoder(tmp_path / "e.pt"))
    assert train_voice(*common, "--out", out, "--name", "tones") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "24 utterances of 2 speakers, nothing heard before" in lines[0] and len(lines) == 4
    network, card = load_network(out / "model.safetensors")
    assert (card.name, card.labels, network.config.num_classes) == ("tones", ("high", "low"), 2)
    assert card.results[0]["accuracy"] > 90
    assert card.results[0]["protocol"] == "2 classes, unseen 2 speakers (s0, s5), nothing heard before"
    assert card.results[3]["protocol"].endswith("after 20 utterances of each speaker, drawn at random")
    assert card.training["data"] == "table, 48 utterances of 4 speakers" and os.sep + "tmp" not in card.to_json()
    assert card.training["command"] == (
        "emotion train voice --dataset table --data table --out run --config recipes/voice_tones.yaml --encoder e.pt"
    )
    assert train_voice(*common, "--out", tmp_path / "folds", "--folds", 3) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and "0 utterances heard before" in lines[0] and "over 3 folds of speakers" in lines[0]


def test_what_is_read_is_not_replaced(table, recipe, tmp_path, capsys):
    read = encoder(tmp_path / "model.safetensors")
    before = read.read_bytes()
    common = ("--config", recipe, "--dataset", "table", "--data", table, "--out", tmp_path)
    for option in ("--encoder", "--init"):
        assert train_voice(*common, option, read) == 2
        assert f"would replace {read}, which is the source itself" in capsys.readouterr().err
    assert read.read_bytes() == before


def test_mistakes_are_one_line(table, recipe, tmp_path, capsys):
    common = ("--config", recipe, "--dataset", "table", "--data", table, "--out", tmp_path / "run")
    other = tmp_path / "other.pt"
    torch.save({"lstm.weight_ih_l0": torch.zeros(4, 40)}, other)
    for options, words in (
        (("--encoder", tmp_path / "absent.pt"), "absent.pt is missing"),
        (("--encoder", other), "no GE2E encoder of 2 LSTM layers of 12 units"),
        (("--encoder", encoder(tmp_path / "e.pt"), "--folds", 9), "expected 2 to 6"),
    ):
        assert train_voice(*common, *options) == 2
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("emotion: error:")]
        assert len(lines) == 1 and words in lines[0]
    with pytest.raises(EmotionError, match="did you mean 'copies'"):
        VoiceTrainingConfig.from_dict({"copy": 2})
    with pytest.raises(EmotionError, match="must be a voice network, got one of type 'esr'"):
        VoiceTrainingConfig.from_dict({"model": "esr_compact"})
