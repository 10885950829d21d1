from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from emotion_core.errors import EmotionError
from emotion_core.store.finding import BUNDLED
from emotion_core.types import Box, Face
from emotion_core.vision import detect, haar
from emotion_core.vision.detect import create_detector
from emotion_core.vision.haar import HaarDetector, distinct
from emotion_core.vision.picture import shrink
from emotion_core.vision.yunet import YunetDetector

YUNET = "face_detection_yunet_2026may.onnx"
HEAD = (240, 170)
"""Middle of the face in the sample portrait, about, in pixels."""


@pytest.fixture()
def stored_yunet(shared, empty_store):
    shutil.copy(shared / "models" / YUNET, empty_store / YUNET)
    return empty_store / YUNET


def test_auto_takes_haar_in_an_empty_store():
    assert create_detector("auto").name == "haar"


def test_auto_takes_yunet_when_it_is_there(stored_yunet):
    assert create_detector("auto").name == "yunet"
    assert create_detector("haar").name == "haar"


def test_haar_finds_the_face(portrait):
    faces = HaarDetector().detect(portrait)
    assert len(faces) == 1
    x, y = faces[0].box.centre
    assert abs(x - HEAD[0]) < 60
    assert abs(y - HEAD[1]) < 60


def test_both_detectors_frame_the_face_alike(portrait, stored_yunet):
    squares = []
    for detector in (HaarDetector(), YunetDetector(stored_yunet)):
        (face,) = detector.detect(portrait)
        squares.append((*face.box.centre, detector.framing * face.box.area**0.5))
    sides = [side for _, _, side in squares]
    assert sides[0] == pytest.approx(sides[1], rel=0.2)
    assert squares[0][:2] == pytest.approx(squares[1][:2], abs=0.12 * sides[0])


def test_yunet_scales_boxes_and_eyes_back(portrait, stored_yunet):
    (small,) = YunetDetector(stored_yunet, 320).detect(portrait)
    (large,) = YunetDetector(stored_yunet, 320).detect(cv2.resize(portrait, None, fx=2, fy=2))
    assert large.box.iou(small.box.scaled(2)) > 0.85
    (x0, y0), (x1, _) = small.eyes
    assert x0 < x1
    assert small.box.x < x0 < small.box.x + small.box.width
    assert small.box.y < y0 < small.box.y + small.box.height / 2


def test_nobody_in_an_empty_picture(stored_yunet):
    image = np.full((240, 320, 3), 127, np.uint8)
    assert HaarDetector().detect(image) == []
    assert YunetDetector(stored_yunet).detect(image) == []


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (5000, 7)])
def test_odd_shapes_are_no_problem(shape, stored_yunet):
    image = np.zeros((*shape, 3), np.uint8)
    assert HaarDetector().detect(image) == []
    assert YunetDetector(stored_yunet).detect(image) == []


@pytest.fixture(scope="module")
def tiles(shared) -> list[np.ndarray]:
    """Photos of one face each, 200 x 200 px, whose face YuNet finds when they are alone."""
    yunet, found = YunetDetector(shared / "models" / YUNET, 640), []
    for path in sorted((shared / "data" / "photos").glob("*.jpg"))[::3]:
        tile = cv2.resize(cv2.imread(str(path)), (200, 200), interpolation=cv2.INTER_AREA)
        if len(yunet.detect(tile)) == 1:
            found.append(tile)
        if len(found) == 48:
            break
    assert len(found) == 48
    return found


@pytest.mark.parametrize(("columns", "rows"), [(1, 1), (6, 4), (6, 5), (8, 6)])
def test_everybody_in_a_group_photo_is_found(tiles, stored_yunet, columns, rows):
    picture = np.vstack([np.hstack(tiles[row * columns : (row + 1) * columns]) for row in range(rows)])
    faces = YunetDetector(stored_yunet, 640).detect(picture)
    places = {(int(x // 200), int(y // 200)) for x, y in (face.box.centre for face in faces)}
    assert len(faces) == len(places) == columns * rows


def opencvs_faces(path: Path, image: np.ndarray, min_score: float) -> np.ndarray:
    """(N, 7): box, eye, other eye's x, score, as OpenCV's own implementation has them, the largest first."""
    network = cv2.FaceDetectorYN.create(str(path), "", image.shape[1::-1], min_score, 0.3, 5000)
    _, rows = network.detect(image)
    rows = np.empty((0, 15)) if rows is None else rows
    faces = [[*row[:4], *min(row[4:6], row[6:8], key=lambda eye: eye[0]), row[14]] for row in rows]
    return np.array(sorted(faces, key=lambda face: -face[2] * face[3])).reshape(-1, 7)


def of_faces(faces: list[Face]) -> np.ndarray:
    values = [[*vars(face.box).values(), *face.eyes[0], face.score] for face in faces]
    return np.array(values).reshape(-1, 7)


def fixed(source: Path, target: Path) -> Path:
    """The network as it was published in 2023: it claims to take 640 x 640 pixels only."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(source)
    for side in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        side.dim_value = 640
    onnx.save(model, target)
    return target


@pytest.mark.parametrize("min_score", [0.3, 0.7, 0.9])
@pytest.mark.parametrize("published", ["2026", "2023"])
def test_yunet_finds_what_opencv_finds(shared, tiles, tmp_path, min_score, published):
    path = shared / "models" / YUNET
    if published == "2023":
        path = fixed(path, tmp_path / "fixed.onnx")
    detector = YunetDetector(path, 4096, min_score)
    group = np.vstack([np.hstack(tiles[row * 8 : row * 8 + 8]) for row in range(6)])
    pictures = [group, group[:333, :517], group[150:, 90:], cv2.resize(tiles[0], (37, 61)), *tiles[:12]]
    found = 0
    for picture in pictures:
        expected = opencvs_faces(path, np.ascontiguousarray(picture), min_score)
        np.testing.assert_allclose(of_faces(detector.detect(picture)), expected, atol=0.02)
        found += len(expected)
    assert found > 3


def test_a_missing_yunet_says_what_to_do():
    with pytest.raises(EmotionError, match=r"no YuNet model: put .*2026may.* into"):
        create_detector("yunet")


def damaged(path: Path) -> str:
    path.write_bytes(path.read_bytes()[:100_000])
    return "wrong sha256"


def empty(path: Path) -> str:
    path.write_bytes(b"")
    return "wrong sha256"


@pytest.mark.parametrize("spoil", [damaged, empty])
def test_without_a_usable_yunet_auto_says_so_once_and_takes_haar(stored_yunet, caplog, spoil):
    words = spoil(stored_yunet)
    with pytest.raises(EmotionError, match=words):
        create_detector("yunet")
    with caplog.at_level(logging.INFO):
        assert create_detector("auto").name == "haar"
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert str(stored_yunet) in record.message and words in record.message
    assert "\n" not in record.message


def test_an_unreadable_yunet_is_no_reason_to_stop(stored_yunet, caplog, monkeypatch):
    def denied(name: str) -> Path:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(detect, "find_file", denied)
    assert create_detector("auto").name == "haar"
    assert "Permission denied" in caplog.text
    with pytest.raises(EmotionError, match="Permission denied"):
        create_detector("yunet")


def test_of_two_yunets_the_usable_one_is_taken(stored_yunet, empty_store, caplog):
    (empty_store / "face_detection_yunet_2023mar.onnx").write_bytes(b"damaged")
    assert create_detector("auto").name == "yunet"
    assert not caplog.records


@pytest.mark.parametrize("kind", ["cut off", "empty", "another network", "absent"])
def test_files_that_are_no_yunet(shared, tmp_path, kind):
    path = tmp_path / "mine.onnx"
    if kind == "another network":
        shutil.copy(BUNDLED / "esr_compact.onnx", path)
    elif kind != "absent":
        path.write_bytes((shared / "models" / YUNET).read_bytes()[: 100_000 if kind == "cut off" else 0])
    with pytest.raises(EmotionError, match=r"cannot be read: No such" if kind == "absent" else "not a usable YuNet"):
        YunetDetector(path)


def test_paths_that_are_not_utf8(shared, portrait, tmp_path, monkeypatch):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    shutil.copy(shared / "models" / YUNET, folder / YUNET)
    assert len(YunetDetector(folder / YUNET).detect(portrait)) == 1
    cascade = next(place / haar.CASCADE for place in haar.CASCADE_FOLDERS if (place / haar.CASCADE).is_file())
    expected = HaarDetector().detect(portrait)
    shutil.copy(cascade, folder)
    monkeypatch.setattr(haar, "CASCADE_FOLDERS", (folder,))
    assert HaarDetector().detect(portrait) == expected


@pytest.mark.parametrize(
    "content", [b"", b"<?xml", b"<?xml version='1.0'?><opencv_storage></opencv_storage>", b"\xff\x00"]
)
def test_a_damaged_cascade_says_what_to_do(tmp_path, monkeypatch, content):
    (tmp_path / haar.CASCADE).write_bytes(content)
    monkeypatch.setattr(haar, "CASCADE_FOLDERS", (tmp_path,))
    with pytest.raises(EmotionError, match="not a usable cascade: install"):
        HaarDetector()
    monkeypatch.setattr(haar, "CASCADE_FOLDERS", ())
    with pytest.raises(EmotionError, match="no haarcascade"):
        HaarDetector()


def test_one_face_reported_twice_counts_once():
    sure, twin, apart = (
        Face(Box(530, 230, 244, 244), 0.99),
        Face(Box(450, 225, 240, 240), 0.86),
        Face(Box(760, 230, 200, 200), 0.7),  # somebody beside, whose box touches the first
    )
    assert distinct([twin, sure, apart]) == [sure, apart]
    assert distinct([]) == []


def test_unknown_detector_is_refused():
    with pytest.raises(EmotionError, match="auto, yunet, haar"):
        create_detector("mtcnn")


def test_shrink_keeps_small_images_and_the_aspect_of_large_ones():
    small = np.zeros((100, 200, 3), np.uint8)
    assert shrink(small, 320)[0] is small
    image, factor = shrink(np.zeros((480, 640, 3), np.uint8), 320)
    assert image.shape == (240, 320, 3)
    assert factor == 0.5
