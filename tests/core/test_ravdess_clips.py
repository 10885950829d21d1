"""RAVDESS with picture and sound, prepared: made of real faces and real voices, which do not belong together."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")
pytest.importorskip("av")

from emotion_core.data.clip_files import ClipSpec  # noqa: E402
from emotion_core.data.ravdess_clips import (  # noqa: E402
    RavdessClips,
    find_takes,
    prepare_ravdess,
    prepared_folder,
    split_actors,
)
from emotion_core.data.voices import RAVDESS, RAVDESS_TEST, RAVDESS_VALID  # noqa: E402
from emotion_core.errors import EmotionError  # noqa: E402

ALL = [f"{actor:02d}" for actor in range(1, 25)]
SMALL = ClipSpec(frames=3, size=32)


@pytest.fixture
def ravdess(tmp_path, mux, portrait, shared):
    """Makes a dataset: the portrait says a sentence of RAVDESS; a code without a voice gets silence."""

    def make(actors: list[int], emotions: tuple[int, ...] = (1, 5)) -> Path:
        root = tmp_path / "RAVDESS"
        picture = cv2.resize(portrait, (256, 300))
        times = np.arange(12) / 3
        for actor in actors:
            folder = root / f"ACTOR{actor:02d}"
            for emotion in emotions:
                code = f"01-{emotion:02d}-01-01-01-{actor:02d}"
                mux(folder / f"01-{code}.mp4", [picture] * 12, times)
                voice = shared / f"data/ravdess_audio/Actor_{actor:02d}/03-{code}.flac"
                shutil.copyfile(voice, folder / f"03-{code}.flac")
        return root

    return make


def sexes(actors) -> list[int]:
    return sorted(int(actor) % 2 for actor in actors)


def of(split: dict[str, str], name: str) -> set[str]:
    return {actor for actor, given in split.items() if given == name}


def test_all_actors_are_split_as_the_authors_did():
    split = split_actors(ALL, {})
    assert (of(split, "valid"), of(split, "test")) == ({*RAVDESS_VALID}, {*RAVDESS_TEST})
    assert len(of(split, "train")) == 16


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [3, 6, 12, 18, 23])
def test_other_numbers_of_actors_are_split_by_the_seed_with_the_sexes_balanced(count, seed):
    actors = ALL[:count]
    split = split_actors(actors, {}, seed)
    assert split == split_actors(actors[::-1], {}, seed)
    wanted = max(1, round(count / 6))
    assert len(of(split, "valid")) == len(of(split, "test")) == wanted
    for name in ("valid", "test"):
        assert abs(2 * sum(sexes(of(split, name))) - wanted) <= 1
    assert set(split) == {*actors}


def test_seeds_differ():
    assert len({tuple(split_actors(ALL[:20], {}, seed).items()) for seed in range(6)}) > 3


def test_who_is_given_to_a_split_stays_there_when_others_come():
    before = split_actors(ALL[:6], {}, 3)
    after = split_actors(ALL, before, 7)
    assert {actor: after[actor] for actor in before} == before
    assert len(of(after, "valid")) == len(of(after, "test")) == 4
    assert sexes(of(after, "valid")) == sexes(of(after, "test")) == [0, 0, 1, 1]


def test_two_actors_are_too_few():
    with pytest.raises(EmotionError, match="at least 3 actors"):
        split_actors(["01", "02"], {})


def test_preparing_splitting_and_reading(ravdess):
    root = ravdess([1, 2, 3, 4])
    report = prepare_ravdess(root, SMALL, detector="haar", seed=1)
    assert (report.written, report.already_there, report.skipped) == (8, 0, {})
    folder = prepared_folder(root, SMALL)
    sets = {split: RavdessClips(folder, split) for split in ("train", "valid", "test")}
    people = {split: {name[-2:] for name in data.names} for split, data in sets.items()}
    assert {len(names) for names in people.values()} == {1, 2}
    assert set().union(*people.values()) == {"01", "02", "03", "04"}
    for data in sets.values():
        assert data.labels == RAVDESS and set(data.targets) == {0, 4}
        sound, clip, target = data[0]
        assert sound.shape == (10, 156) and sound.dtype == np.float32
        assert clip.shape == (3, 3, 32, 32) and clip.dtype == np.uint8
        assert target == data.targets[0] and clip.std() > 20
        with pytest.raises(IndexError):
            data[len(data)]


def test_running_again_writes_nothing_and_mixes_nobody(ravdess):
    root = ravdess([1, 2, 3, 4])
    first = prepare_ravdess(root, SMALL, detector="haar", seed=1)
    times = {path: path.stat().st_mtime_ns for path in Path(first.folder).glob("*.npz")}
    again = prepare_ravdess(root, SMALL, detector="haar", seed=2)
    assert (again.written, again.already_there, again.actors) == (0, 8, first.actors)
    assert times == {path: path.stat().st_mtime_ns for path in Path(again.folder).glob("*.npz")}


def test_a_run_that_was_stopped_goes_on(ravdess):
    root = ravdess([1, 2, 3])

    class Stopped(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise Stopped

    with pytest.raises(Stopped):
        prepare_ravdess(root, SMALL, detector="haar", workers=1, on_progress=stop)
    folder = prepared_folder(root, SMALL)
    there = len(list(folder.glob("*.npz")))
    assert there >= 2
    seen = []
    report = prepare_ravdess(root, SMALL, detector="haar", on_progress=lambda done, total: seen.append((done, total)))
    assert (report.written, report.already_there) == (6 - there, there)
    assert seen == [(i + 1, 6 - there) for i in range(6 - there)]
    assert not [path for path in folder.iterdir() if ".part" in path.name]


def test_what_is_left_out_is_told(ravdess, mux):
    root = ravdess([1, 2, 3], emotions=(1,))
    (root / "ACTOR01/01-01-03-01-01-01-01.mp4").write_bytes(b"no video")
    mux(root / "ACTOR02/01-01-04-01-01-01-02.mp4", [np.zeros((64, 64, 3), np.uint8)] * 9, np.arange(9) / 3,
        (np.zeros(40000, np.float32), 16000))  # fmt: skip
    (root / "ACTOR03/03-01-05-01-01-01-03.wav").write_bytes(b"alone")
    (root / "ACTOR03/01-02-05-01-01-01-03.mp4").write_bytes(b"a song")
    report = prepare_ravdess(root, SMALL, detector="haar")
    assert report.written == 3
    reasons = {code[3:5]: reason for code, reason in report.skipped.items()}
    assert "no video beside 03-01-05" in reasons["05"]
    assert "cannot be read" in reasons["03"]
    assert "expected a face" in reasons["04"]
    with (Path(report.folder) / "skipped.csv").open() as file:
        assert [row["clip"] for row in csv.DictReader(file)] == sorted(report.skipped)


def test_a_video_with_its_own_sound_needs_no_wav(ravdess, mux, portrait, faces_and_voices):
    root = ravdess([1, 2, 3], emotions=(1,))
    (root / "ACTOR01/03-01-01-01-01-01-01.flac").unlink()
    times = np.arange(12) / 3
    picture = cv2.resize(portrait, (256, 300))
    mux(root / "ACTOR01/01-01-01-01-01-01-01.mp4", [picture] * 12, times, faces_and_voices[1](1, 1))
    assert prepare_ravdess(root, SMALL, detector="haar").written == 3


def test_other_settings_are_other_clips(ravdess):
    root = ravdess([1, 2, 3], emotions=(1,))
    other = ClipSpec(sample_rate_hz=16000, n_mfcc=20, window_s=2.0, rate_hz=25, frames=4, size=16)
    prepare_ravdess(root, SMALL, detector="haar")
    assert prepare_ravdess(root, other, detector="haar").written == 3
    sound, clip, _ = RavdessClips(prepared_folder(root, other), "train")[0]
    assert sound.shape == (20, 1 + 32000 // 512) and clip.shape == (3, 4, 16, 16)
    assert len(find_takes(root)) == 3


def test_mistakes(tmp_path, ravdess):
    with pytest.raises(EmotionError, match="is not a folder"):
        prepare_ravdess(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(EmotionError, match="holds no speech of RAVDESS"):
        prepare_ravdess(tmp_path / "empty")
    with pytest.raises(EmotionError, match="prepare them first"):
        RavdessClips(tmp_path / "empty", "train")
    root = ravdess([1, 2, 3], emotions=(1,))
    folder = Path(prepare_ravdess(root, SMALL, detector="haar").folder)
    path = next(folder.glob("*-01.npz"))
    path.write_bytes(b"half")
    data = next(d for s in ("train", "valid", "test") if (d := RavdessClips(folder, s)).names[0] == path.stem)
    with pytest.raises(EmotionError, match="is damaged"):
        data[0]


@pytest.mark.parametrize("content", [b"", b"half"])
def test_files_that_a_power_cut_left(ravdess, content):
    root = ravdess([1, 2, 3], emotions=(1,))
    folder = Path(prepare_ravdess(root, SMALL, detector="haar").folder)
    data = RavdessClips(folder, "train")
    path = folder / f"{data.names[0]}.npz"
    for damaged in (content, path.read_bytes()[:-300]):
        path.write_bytes(damaged)
        with pytest.raises(EmotionError, match="delete it and prepare again"):
            data[0]


def test_a_preparation_knows_its_detector_and_its_end(ravdess, monkeypatch, caplog):
    from emotion_core.data import ravdess_clips

    root = ravdess([1, 2, 3], emotions=(1,))
    folder = Path(prepare_ravdess(root, SMALL, detector="haar").folder)
    settings = folder / "settings.json"
    assert json.loads(settings.read_text())["complete"] is True
    RavdessClips(folder, "train")
    assert not caplog.records
    settings.write_text(json.dumps({"detector": "yunet", "complete": False}))
    RavdessClips(folder, "train")
    assert "was not prepared to its end" in caplog.text
    with pytest.raises(EmotionError, match="begun with the detector yunet"):
        ravdess_clips.prepare_ravdess(root, SMALL, detector="haar")


def test_sound_without_videos(ravdess):
    root = ravdess([1, 2, 3], emotions=(1,))
    for path in root.rglob("*.mp4"):
        path.unlink()
    with pytest.raises(EmotionError, match="holds only the sound"):
        prepare_ravdess(root, SMALL)
    assert not (root / "prepared").exists()


def test_the_documented_calls(ravdess, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    from emotion_core.learners.audiovisual import (
        AudiovisualEmotionLearner,
        get_audiovisual_emotion_dataset,
        load_inference_data,
    )
    from emotion_core.learners.audiovisual_data import load_inference_video
    from emotion_core.models.audiovisual import AudiovisualConfig

    monkeypatch.chdir(tmp_path)
    root = ravdess([1, 2, 3])
    sizes = {"save_frames": 2, "target_im_size": 32}
    with pytest.raises(EmotionError, match="pass preprocess=True once"):
        get_audiovisual_emotion_dataset(root, **sizes)
    train_set, val_set, test_set = get_audiovisual_emotion_dataset(root, preprocess=True, detector="haar", **sizes)
    again = get_audiovisual_emotion_dataset(root, **sizes, **{"n-mfcc": 10})
    assert [data.names for data in again] == [train_set.names, val_set.names, test_set.names]
    learner = AudiovisualEmotionLearner(
        iters=1, batch_size=2, n_workers=0, seq_length=2, architecture=AudiovisualConfig(image_size=32)
    )
    performance = learner.fit(train_set, val_set, logging_path="logs", restore_best=True, silent=True)
    assert {name: len(values) for name, values in performance.items()} == dict.fromkeys(performance, 1)
    learner.save("model", verbose=False)
    other = AudiovisualEmotionLearner()
    other.load("model", verbose=False)
    audio_file = next(root.rglob("03-*.flac"))
    video_file = audio_file.with_name("01" + audio_file.stem[2:] + ".mp4")
    audio, video = load_inference_data(audio_file, video_file, **sizes, detector="haar")
    assert other.infer(audio, video) == learner.infer(
        *other.load_inference_data(audio_file, video_file, detector="haar")
    )
    seen = load_inference_video(video_file, ClipSpec(frames=2, size=32), detector="haar")
    assert learner.infer(video=seen).description in RAVDESS
    heard, nothing = load_inference_data(audio_file, None)
    assert nothing is None and learner.infer(heard).description in RAVDESS
    with pytest.raises(EmotionError, match="got neither"):
        load_inference_data(None, None)
    with pytest.raises(EmotionError, match="has no argument fps"):
        get_audiovisual_emotion_dataset(root, fps=3)


def test_the_command(ravdess, capsys):
    from emotion_core.cli import main

    root = ravdess([1, 2, 3], emotions=(1,))
    options = ["prepare", "ravdess", "--data", str(root), "--size", "32", "--frames", "3", "--detector", "haar"]
    assert main(options) == 0
    said, told = capsys.readouterr()
    assert f"{prepared_folder(root, SMALL)}\nwritten: 3\nalready there: 0\n" in said
    assert "train: actors 0" in said and told.splitlines()[-1] == "3 of 3 clips"
    assert main([*options, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["written"], report["already_there"], report["skipped"]) == (0, 3, {})
