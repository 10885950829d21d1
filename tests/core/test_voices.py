"""Sets of voices: what names tell, who is in which split, and folders and tables with mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from emotion_core.data.voices import (
    RAVDESS,
    RAVDESS_VALID,
    VOICE_SETS,
    Voice,
    cremad_voice,
    load_cremad,
    load_ravdess,
    load_tess,
    load_voice_folder,
    load_voice_table,
    ravdess_voice,
    speaker_folds,
    tess_voice,
)
from emotion_core.errors import EmotionError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"sound")
    return root


@pytest.mark.parametrize(
    ("read", "stem", "expected"),
    [
        (ravdess_voice, "03-01-06-01-02-01-12", Voice("fear", "12")),
        (ravdess_voice, "03-01-02-01-01-02-05", Voice("calm", "05")),
        (ravdess_voice, "03-02-06-01-02-01-12", None),  # a song
        (ravdess_voice, "01-01-06-01-02-01-12", None),  # a video with sound
        (ravdess_voice, "03-01-09-01-02-01-12", None),
        (ravdess_voice, "03-01-06-01-02-12", None),
        (cremad_voice, "1001_DFA_ANG_XX", Voice("anger", "1001")),
        (cremad_voice, "1001_DFA_XXX_XX", None),
        (tess_voice, "OAF_back_ps", Voice("surprise", "OAF")),
        (tess_voice, "OA_bite_neutral", Voice("neutral", "OAF")),
        (tess_voice, "YAF_dog_Angry", Voice("anger", "YAF")),
        (tess_voice, "XAF_dog_angry", None),
    ],
)
def test_what_a_name_tells(read, stem, expected):
    assert read(stem) == expected


def test_ravdess_is_split_by_actor(tmp_path):
    names = [f"Actor_{a:02d}/03-01-{e:02d}-01-01-01-{a:02d}.wav" for a in range(1, 25) for e in (1, 5)]
    touch(tmp_path, *names, "Actor_01/03-02-01-01-01-01-01.wav", "readme.txt", "Actor_01/notes.wav")
    parts = {split: load_ravdess(tmp_path, split) for split in ("train", "valid", "test")}
    actors = {split: set(voices.speakers) for split, voices in parts.items()}
    assert actors["valid"] == set(RAVDESS_VALID) and actors["test"] == {"05", "10", "16", "19"}
    assert len(actors["train"]) == 16 and not actors["train"] & (actors["valid"] | actors["test"])
    assert sum(map(len, parts.values())) == len(load_ravdess(tmp_path)) == 48
    assert [parts["valid"].labels[c] for c in parts["valid"].classes[:2]] == ["neutral", "anger"]
    assert parts["valid"].labels == RAVDESS
    assert parts["valid"].path(0) == tmp_path / "Actor_11/03-01-01-01-01-01-11.wav"
    assert parts["valid"].stored(0) == b"sound"


def test_folds_share_no_speaker_and_balance_the_sexes(shared):
    voices = load_ravdess(shared / "data" / "ravdess_audio")
    assert len(voices) == 1200
    folds = speaker_folds(voices, 5, VOICE_SETS["ravdess"].sexes)
    tested = [sorted(set(test.speakers)) for _, test in folds]
    assert sorted(name for names in tested for name in names) == sorted(set(voices.speakers))
    for (train, test), names in zip(folds, tested, strict=True):
        assert len(test) == 240 and len(train) == 960 and not set(train.speakers) & set(names)
        assert sum(int(name) % 2 for name in names) == 2
    with pytest.raises(EmotionError, match="expected 2 to 20, as many as speakers are known, got 21"):
        speaker_folds(voices, 21)


def test_sets_without_a_split_of_their_own_hold_speakers_back(tmp_path):
    touch(tmp_path, *(f"{1001 + i}_DFA_{e}_XX.wav" for i in range(10) for e in ("ANG", "SAD")))
    train, valid = load_cremad(tmp_path, "train"), load_cremad(tmp_path, "valid")
    assert set(valid.speakers) == {"1001", "1006"} and len(train) == 16
    with pytest.raises(EmotionError, match="has no test split of its own"):
        load_cremad(tmp_path, "test")
    touch(tmp_path / "tess", *(f"{who}_{word}_ps.wav" for who in ("OAF", "YAF") for word in ("back", "dog")))
    assert set(load_tess(tmp_path / "tess", "train").speakers) == {"YAF"}


def test_a_folder_of_classes(tmp_path):
    touch(
        tmp_path / "a", "Angry/1.wav", "Angry/deep/2.flac", "happy/3.WAV", "happy/4.wav", "happy/.5.wav", "happy/no.txt"
    )
    voices = load_voice_folder(tmp_path / "a")
    assert voices.labels == ("anger", "happy") and len(voices) == 4 and set(voices.speakers) == {""}
    train, valid = load_voice_folder(tmp_path / "a", "train"), load_voice_folder(tmp_path / "a", "valid")
    assert set(train.names) | set(valid.names) == set(voices.names) and len(valid) == 1
    touch(tmp_path / "b", "train/sad/03-01-04-01-01-01-07.wav", "valid/sad/1001_DFA_SAD_XX.wav")
    assert load_voice_folder(tmp_path / "b", "train").speakers == ("07",)
    assert load_voice_folder(tmp_path / "b", "valid").speakers == ("1001",)
    with pytest.raises(EmotionError, match="has no folder test: expected train, valid, test"):
        load_voice_folder(tmp_path / "b", "test")


def test_a_table(tmp_path):
    touch(tmp_path, "x/1.wav", "x/2.wav", "3.wav")
    table = tmp_path / "voices.csv"
    table.write_text("path,label,speaker,split\nx/1.wav,angry,ann,train\nx/2.wav,sad,bob,train\n3.wav,sad,cy,valid\n")
    train, valid = load_voice_table(table, "train"), load_voice_table(table, "valid")
    assert train.speakers == ("ann", "bob") and valid.speakers == ("cy",)
    assert train.labels == valid.labels == ("anger", "sad") and train.classes.tolist() == [0, 1]
    assert valid.path(0) == tmp_path / "3.wav"
    table.write_text("path,label,speaker\nx/1.wav,angry,ann\nx/2.wav,sad,bob\n")
    assert load_voice_table(table, "valid").speakers == ("ann",)
    assert len(load_voice_table(table)) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\n1.wav,sad\n", "lacks the column path: expected path,label"),
        ("path,label\n1.wav,\n", "line 2: path or label is empty"),
        ("path,label\n1.wav,sad\n9.wav,sad\n", "line 3: there is no file 9.wav"),
        ("path,label,split\n1.wav,sad,dev\n", "line 2: split 'dev', expected train, valid, test"),
        ("path,label\n", "lists no sound"),
    ],
)
def test_a_table_with_mistakes(tmp_path, text, message):
    touch(tmp_path, "1.wav")
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(EmotionError, match=message):
        load_voice_table(tmp_path / "t.csv", "train")


def test_folders_with_nothing_in_them(tmp_path):
    for read in (load_ravdess, load_cremad, load_tess, load_voice_folder):
        with pytest.raises(EmotionError, match="is not a folder: expected one"):
            read(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    for read, message in ((load_ravdess, "holds no RAVDESS speech"), (load_voice_folder, "holds no class")):
        with pytest.raises(EmotionError, match=message):
            read(tmp_path / "empty")
    touch(tmp_path, "Actor_01/03-01-01-01-01-01-01.wav")
    with pytest.raises(EmotionError, match="no actor of the valid split: it has 01"):
        load_ravdess(tmp_path, "valid")
    (tmp_path / "c" / "sad").mkdir(parents=True)
    with pytest.raises(EmotionError, match="holds no sound"):
        load_voice_folder(tmp_path / "c")
    with pytest.raises(EmotionError, match="cannot be read as a table"):
        load_voice_table(tmp_path / "absent.csv")
