from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from emotion_core.data.ckplus import load_ckplus
from emotion_core.errors import EmotionError
from emotion_core.vision.crop import crop_face
from emotion_core.vision.haar import HaarDetector

SUBJECTS = ("S005", "S010", "S011", "S014", "S022")


def add_sequence(root: Path, subject: str, sequence: str, frames: int, label: str | None) -> None:
    """Frames whose right half has the grey value 10 x number of the frame."""
    folder, emotion = root / "cohn-kanade-images" / subject / sequence, root / "Emotion" / subject / sequence
    folder.mkdir(parents=True)
    emotion.mkdir(parents=True)
    for i in range(1, frames + 1):
        image = np.zeros((40, 80), np.uint8)
        image[:, 40:] = 10 * i
        cv2.imwrite(str(folder / f"{subject}_{sequence}_{i:08d}.png"), image)
    (folder / "notes.txt").touch()
    if label is not None:
        (emotion / f"{subject}_{sequence}_{frames:08d}_emotion.txt").write_text(f"   {label}\n")


def crop(image):
    """The right half, as a detector might find it."""
    assert image.shape == (40, 80, 3)
    return image[:, 40:]


@pytest.fixture()
def root(tmp_path) -> Path:
    for i, subject in enumerate(SUBJECTS):
        add_sequence(tmp_path, subject, "001", 6, f"{i + 1}.0000000e+00")
    add_sequence(tmp_path, "S005", "002", 6, None)
    add_sequence(tmp_path, "S010", "002", 3, "7.0000000e+00")
    return tmp_path


def test_first_frame_is_neutral_and_the_last_three_show_the_label(root):
    data = load_ckplus(root, crop)
    assert data.faces.shape == (4 * 5 + 3, 96, 96)
    assert (data.faces.dtype, data.distributions.dtype) == (np.uint8, np.float32)
    assert data.names[:4] == tuple(f"S005_001_{i:08d}.png" for i in (1, 4, 5, 6))
    assert [data.labels[i] for i in data.targets[:4]] == ["neutral", "anger", "anger", "anger"]
    assert [int(face.mean()) for face in data.faces[:4]] == [10, 40, 50, 60]
    assert [data.labels[i] for i in data.targets[1::4]][:2] == ["anger", "contempt"]
    # A short sequence: what is neutral is not also the peak.
    short = [(name, data.labels[t]) for name, t in zip(data.names, data.targets, strict=True) if "S010_002" in name]
    assert [label for _, label in short] == ["neutral", "surprise", "surprise"]
    assert not any("S005_002" in name for name in data.names)
    np.testing.assert_array_equal(data.distributions.argmax(1), data.targets)
    np.testing.assert_array_equal(data.distributions.sum(1), 1)
    face, target = data[1]
    assert (face.shape, target) == ((1, 96, 96), 6)


def test_every_number_has_its_emotion(tmp_path):
    names = ("anger", "contempt", "disgust", "fear", "happy", "sad", "surprise")
    for i in range(7):
        add_sequence(tmp_path, f"S{i:03d}", "001", 2, f"{i + 1}.0000000e+00")
    data = load_ckplus(tmp_path, crop)
    assert tuple(data.labels[i] for i in data.targets[1::2]) == names


def test_folds_keep_people_apart(root):
    data = load_ckplus(root, crop)
    folds = data.folds(2)
    people = [{data.subjects[i] for i in test} for _, test in folds]
    assert people == [{"S005", "S011", "S022"}, {"S010", "S014"}]
    for k in (2, 3, 5):
        tests = [test for _, test in data.folds(k)]
        assert sorted(np.concatenate(tests).tolist()) == list(range(len(data)))
        for train, test in data.folds(k):
            assert len(train) and len(test)
            assert not {data.subjects[i] for i in train} & {data.subjects[i] for i in test}
            assert len(train) + len(test) == len(data)
    for k in (1, 6):
        with pytest.raises(EmotionError, match=f"5 subjects, got {k}"):
            data.folds(k)


def test_frames_without_a_face_are_told(root):
    data = load_ckplus(root, lambda image: None if image[0, -1, 0] == 60 else crop(image))
    assert data.without_face == tuple(f"{subject}_001_00000006.png" for subject in SUBJECTS)
    assert len(data) == 3 * 5 + 3
    with pytest.raises(EmotionError, match="no face in 23 frames"):
        load_ckplus(root, lambda image: None)


def test_default_crop_finds_a_real_face(tmp_path, portrait):
    add_sequence(tmp_path, "S005", "001", 2, "5.0000000e+00")
    blank, photo = sorted((tmp_path / "cohn-kanade-images").rglob("*.png"))
    cv2.imwrite(str(photo), cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY))
    data = load_ckplus(tmp_path)
    assert (data.names, data.without_face) == ((photo.name,), (blank.name,))
    assert [data.labels[i] for i in data.targets] == ["happy"]
    detector = HaarDetector(detection_size=640)
    image = cv2.imread(str(photo))
    expected = crop_face(image, detector.detect(image)[0], 96, detector.framing)
    np.testing.assert_array_equal(data.faces, [cv2.cvtColor(expected, cv2.COLOR_BGR2GRAY)])


def test_malformed_data_is_named(root, tmp_path):
    with pytest.raises(EmotionError, match="cohn-kanade-images is missing"):
        load_ckplus(root / "Emotion", crop)
    label = next((root / "Emotion" / "S014").rglob("*.txt"))
    for text in ("9.0", "2.5", "anger", ""):
        label.write_text(text)
        with pytest.raises(EmotionError, match=r"S014_001.*0 to 7"):
            load_ckplus(root, crop)
    label.write_text("1.0")
    frames = sorted((root / "cohn-kanade-images" / "S014" / "001").glob("*.png"))
    frames[-1].write_bytes(b"no picture")
    with pytest.raises(EmotionError, match=frames[-1].name):
        load_ckplus(root, crop)
    for path in frames:
        path.unlink()
    with pytest.raises(EmotionError, match=r"S014.001.*found 0"):
        load_ckplus(root, crop)
    (tmp_path / "new" / "cohn-kanade-images").mkdir(parents=True)
    (tmp_path / "new" / "Emotion").mkdir()
    with pytest.raises(EmotionError, match="no labelled sequence"):
        load_ckplus(tmp_path / "new", crop)
