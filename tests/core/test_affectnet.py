from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from emotion_core.data import affectnet_prepare
from emotion_core.data.affectnet import FOLDERS, AffectNetCategorical, AffectNetDimensional
from emotion_core.data.affectnet_prepare import pre_process_affect_net, prepare_affectnet
from emotion_core.data.affectnet_rows import COLUMNS
from emotion_core.data.subset import Subset, balanced_indices, quadrants
from emotion_core.errors import EmotionError

RED, BLUE, GREEN = (20, 20, 220), (220, 20, 20), (20, 200, 20)  # BGR
BOX = (70, 10, 30, 40)  # x, y, width, height
LANDMARKS = "1.5;2.5;3.5;4.5"


def draw(path: Path) -> None:
    """120 wide and 80 high, blue, with a red face at BOX and green where swapped axes would look."""
    image = np.full((80, 120, 3), BLUE, np.uint8)
    image[70:80, 10:50] = GREEN
    image[10:50, 70:100] = RED
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)


def row(file="a/1.png", box=BOX, expression=1, valence=0.5, arousal=-0.25):
    return [file, *box, LANDMARKS, expression, valence, arousal]


def table(path: Path, rows, header=True) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        if header:
            writer.writerow(COLUMNS)
        writer.writerows(rows)
    return path


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.jpg"))


@pytest.fixture()
def images(tmp_path) -> Path:
    folder = tmp_path / "images"
    draw(folder / "a" / "1.png")
    return folder


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("set_index", [0, 1, 2])
def test_the_face_is_cut_out_and_named(images, tmp_path, header, set_index):
    folder = tmp_path / "annotations"
    folder.mkdir()
    name = ("automatically_annotated.csv", "training.csv", "validation.csv")[set_index]
    table(folder / name, [row(expression=7, valence=-0.653333, arousal=0.6526)], header)
    report = pre_process_affect_net(images, folder, tmp_path / "out", set_index)
    assert (report.rows, report.written, report.already_there, sum(report.skipped.values())) == (1, 1, 0, 0)
    (path,) = (tmp_path / "out").rglob("*.jpg")
    assert path.relative_to(tmp_path / "out") == Path(FOLDERS[set_index], "0", "0000000s7s-653s653.jpg")
    face = cv2.imread(str(path))
    assert face.shape == (96, 96, 3)
    np.testing.assert_allclose(face.reshape(-1, 3), np.tile(RED, (96 * 96, 1)), atol=12)


def test_columns_are_found_by_their_names(images, tmp_path):
    order = [6, 7, 8, 0, 4, 3, 2, 1]  # without landmarks
    annotations = tmp_path / "t.csv"
    with annotations.open("w", newline="") as file:
        csv.writer(file).writerows([[COLUMNS[i] for i in order], [row(expression=4)[i] for i in order]])
    prepare_affectnet(images, annotations, tmp_path, 1)
    (path,) = (tmp_path / "Training_Labeled").rglob("*.jpg")
    assert path.name == "0000000s4s500s-250.jpg"
    assert cv2.imread(str(path)).mean((0, 1)) == pytest.approx(RED, abs=5)


def test_report_counts_every_reason(images, tmp_path):
    (images / "a" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut off")
    whole = cv2.imencode(".jpg", np.full((80, 120, 3), 99, np.uint8))[1].tobytes()
    (images / "a" / "half.jpg").write_bytes(whole[: len(whole) // 2])
    rows = [
        row(),
        *[row(expression=i, box=("NULL",) * 4, valence=-2, arousal=-2) for i in (8, 9, 10)],
        row(valence=-2, arousal=0),
        row(arousal=-2),
        row(box=(100, 10, 30, 40)),  # 20 of its 30 columns inside
        row(box=(106, 10, 30, 40)),  # 14 of them
        row(box=(-40, -40, 30, 40)),
        row("a/broken.jpg"),
        row("a/half.jpg"),
        row("a/nothing.jpg"),
        row(expression=11),
        row(box=(1, 2, 0, 4)),
        row(valence=1.2),
        row(valence="nan"),
        row(box=("x", 2, 3, 4)),
        row()[:5],
        row(box=(70.4, 9.6, 30.2, 40.0)),
    ]
    steps: list[tuple[int, int]] = []
    report = prepare_affectnet(
        images, table(tmp_path / "t.csv", rows), tmp_path, 1, workers=2, on_progress=lambda *s: steps.append(s)
    )
    assert report.skipped == {
        "not an emotion": 3,
        "no valence/arousal": 2,
        "box outside the image": 2,
        "unreadable image": 2,
        "missing image": 1,
        "malformed row": 6,
    }
    assert (report.rows, report.written, report.already_there) == (19, 3, 0)
    assert report.examples["missing image"] == ("row 11: a/nothing.jpg",)
    assert report.examples["unreadable image"] == ("row 9: a/broken.jpg", "row 10: a/half.jpg")
    assert len(report.examples["malformed row"]) == 5
    assert steps == [(i + 1, 8) for i in range(8)]  # the rows that name a face
    out = tmp_path / "Training_Labeled"
    saved = json.loads((out / "report.json").read_text())
    assert saved["skipped"] == report.skipped
    assert saved["written"] == 3
    # An id is the number of the row, whatever became of the rows before.
    assert files(out) == [f"0/{number:07d}s1s500s-250.jpg" for number in (0, 6, 18)]
    clamped = cv2.imread(str(out / "0" / "0000006s1s500s-250.jpg"))
    assert clamped.mean((0, 1)) == pytest.approx(BLUE, abs=6)  # columns 100 to 120


def test_a_folder_takes_so_many_rows_that_name_a_face(images, tmp_path, monkeypatch):
    monkeypatch.setattr(affectnet_prepare, "FACES_A_FOLDER", 2)
    rows = [row(), row(expression=9), row(), row("gone.png"), row(), row()]
    prepare_affectnet(images, table(tmp_path / "t.csv", rows), tmp_path, 2)
    names = [f"{folder}/{number:07d}s1s500s-250.jpg" for folder, number in ((0, 0), (0, 2), (1, 4), (2, 5))]
    assert files(tmp_path / "Validation") == names


def test_five_hundred_a_folder():
    assert affectnet_prepare.FACES_A_FOLDER == 500


def test_a_second_run_does_only_what_is_missing(images, tmp_path):
    annotations = table(tmp_path / "t.csv", [row(expression=i) for i in range(6)])
    prepare_affectnet(images, annotations, tmp_path, 1)
    out = tmp_path / "Training_Labeled"
    before = {name: (out / name).read_bytes() for name in files(out)}
    gone, cut, kept = (
        out / "0/0000001s1s500s-250.jpg",
        out / "0/0000003s3s500s-250.jpg",
        out / "0/0000000s0s500s-250.jpg",
    )
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:100])
    stamp = kept.stat().st_mtime_ns
    leftover = out / "0" / ".0123456789ab.part.jpg"  # of a run that was killed
    leftover.touch()
    report = prepare_affectnet(images, annotations, tmp_path, 1, workers=3)
    assert (report.written, report.already_there) == (2, 4)
    assert {name: (out / name).read_bytes() for name in files(out)} == before
    assert kept.stat().st_mtime_ns == stamp
    assert not leftover.exists()


def test_faces_of_another_table_are_not_mixed_in(images, tmp_path):
    prepare_affectnet(images, table(tmp_path / "t.csv", [row(), row()]), tmp_path, 1)
    with pytest.raises(EmotionError, match=r"another table.*0000000s1s500s-250"):
        prepare_affectnet(images, table(tmp_path / "u.csv", [row(expression=2), row()]), tmp_path, 1)


def test_bad_input_is_named(images, tmp_path):
    good = table(tmp_path / "t.csv", [row()])
    with pytest.raises(EmotionError, match="pictures"):
        prepare_affectnet(tmp_path / "none", good, tmp_path, 1)
    with pytest.raises(EmotionError, match=r"training\.csv is missing"):
        prepare_affectnet(images, images, tmp_path, 1)
    with pytest.raises(EmotionError, match="set 3"):
        prepare_affectnet(images, good, tmp_path, 3)
    with pytest.raises(EmotionError, match="workers"):
        prepare_affectnet(images, good, tmp_path, 1, workers=-1)
    bad = tmp_path / "bad.csv"
    bad.write_text("subDirectory_filePath,face_x,face_y,face_width,expression,valence\na/1.png,1,2,3,4,0.5\n")
    with pytest.raises(EmotionError, match="no column face_height, arousal:"):
        prepare_affectnet(images, bad, tmp_path, 1)
    bad.write_text("a,b,c\n1,2,3\n")
    with pytest.raises(EmotionError, match="no column subDirectory_filePath, face_x"):
        prepare_affectnet(images, bad, tmp_path, 1)
    bad.write_text("")
    with pytest.raises(EmotionError, match="empty"):
        prepare_affectnet(images, bad, tmp_path, 1)
    assert not (tmp_path / "Training_Labeled").exists()


def test_a_full_disk_is_a_clear_error_and_leaves_nothing_half_written(images, tmp_path, monkeypatch):
    annotations = table(tmp_path / "t.csv", [row() for _ in range(5)])
    write, calls = Path.write_bytes, []

    def fill(path, data):
        calls.append(path)
        if len(calls) == 3:
            write(path, data[:10])
            raise OSError(28, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", fill)
    with pytest.raises(EmotionError, match="No space left on device"):
        prepare_affectnet(images, annotations, tmp_path, 1)
    out = tmp_path / "Training_Labeled"
    assert sorted(path.name for path in (out / "0").iterdir()) == [f"{i:07d}s1s500s-250.jpg" for i in range(2)]
    monkeypatch.undo()
    report = prepare_affectnet(images, annotations, tmp_path, 1)
    assert (report.written, report.already_there) == (3, 2)


@pytest.fixture()
def prepared(tmp_path) -> Path:
    """Validation: 12 neutral, 6 happy, 2 anger faces, their grey value is ten times their id."""
    plan = [(0, 100, 100)] * 6 + [(0, -100, 0)] * 6 + [(1, 900, -300)] * 6 + [(6, -1000, -1000)] * 2
    for i, (label, valence, arousal) in enumerate(plan):
        folder = tmp_path / "net" / "Validation" / str(i // 9)
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{i:07d}s{label}s{valence}s{arousal}.jpg"
        cv2.imwrite(str(folder / name), np.full((96, 96, 3), 10 * i, np.uint8))
    (tmp_path / "net" / "Validation" / "report.json").write_text("{}")
    (tmp_path / "net" / "Validation" / "0" / "holiday.jpg").touch()
    (tmp_path / "net" / "Validation" / "0" / "0000099s8s0s0.jpg").touch()
    (tmp_path / "net" / "Validation" / "0" / "0000099s1s0s1001.jpg").touch()
    return tmp_path / "net"


def test_categorical_reads_faces_and_labels(prepared):
    data = AffectNetCategorical(2, base_path_to_affectnet=prepared)
    assert len(data) == 20
    assert data.skipped == 3
    assert data.targets.dtype == np.int64
    assert data.targets.tolist() == [0] * 12 + [1] * 6 + [6] * 2
    assert data.class_counts() == dict.fromkeys(data.labels, 0) | {"neutral": 12, "happy": 6, "anger": 2}
    face, target = data[13]
    assert (face.shape, face.dtype, target) == ((3, 96, 96), np.float32, 1)
    assert face.mean() == pytest.approx(130 / 255, abs=0.01)
    assert data.names[13] == "1/0000013s1s900s-300.jpg"


def test_folders_are_listed_by_number(prepared):
    (prepared / "Validation" / "10").mkdir()
    (prepared / "Validation" / "10" / "0005000s5s0s0.jpg").touch()
    assert AffectNetCategorical(2, base_path_to_affectnet=prepared).targets.tolist()[-1] == 5


def test_dimensional_reads_valence_and_arousal(prepared):
    data = AffectNetDimensional(2, base_path_to_affectnet=prepared, transforms=lambda face: face[:1] * 0)
    assert (data.targets.dtype, data.targets.shape) == (np.float32, (20, 2))
    np.testing.assert_array_equal(
        data.targets[[0, 6, 12, 19]], np.float32([[0.1, 0.1], [-0.1, 0], [0.9, -0.3], [-1, -1]])
    )
    assert list(data.class_counts().values()) == [6, 6, 2, 6]
    face, target = data[-1]
    assert face.shape == (1, 96, 96)
    assert face.max() == 0
    np.testing.assert_array_equal(target, [-1, -1])


def test_at_most_so_many_faces_a_class_or_quadrant(prepared):
    data = AffectNetCategorical(2, 4, base_path_to_affectnet=prepared)
    assert data.class_counts() == dict.fromkeys(data.labels, 0) | {"neutral": 4, "happy": 4, "anger": 2}
    assert len(set(data.names)) == 10
    for name, (face, target) in zip(data.names, data, strict=True):
        number = int(name[2:9])
        assert face.mean() == pytest.approx(number / 25.5, abs=0.01)
        assert int(name[10]) == target
    assert AffectNetCategorical(2, 4, base_path_to_affectnet=prepared).names == data.names
    other = data.resample(1)
    assert isinstance(other, AffectNetCategorical)
    assert other.class_counts() == data.class_counts()
    assert set(other.names) != set(data.names)
    assert AffectNetCategorical(2, 4, base_path_to_affectnet=prepared, seed=1).names == other.names
    dimensional = AffectNetDimensional(2, 3, base_path_to_affectnet=prepared)
    assert list(dimensional.class_counts().values()) == [3, 3, 2, 3]


def test_datasets_refuse_what_they_cannot_do(prepared):
    with pytest.raises(EmotionError, match="unnormalised"):
        AffectNetCategorical(2, is_norm_by_mean_std=True, base_path_to_affectnet=prepared)
    with pytest.raises(EmotionError, match=r"Training_Labeled holds no prepared"):
        AffectNetDimensional(1, base_path_to_affectnet=prepared)
    with pytest.raises(EmotionError, match="set 5"):
        AffectNetCategorical(5, base_path_to_affectnet=prepared)
    with pytest.raises(EmotionError, match="at least 1"):
        AffectNetCategorical(2, 0, base_path_to_affectnet=prepared)
    data = AffectNetCategorical(2, base_path_to_affectnet=prepared)
    path = prepared / "Validation" / data.names[0]
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EmotionError, match=data.names[0]):
        data.face(0)
    path.unlink()
    with pytest.raises(EmotionError, match=data.names[0]):
        data[0]
    cv2.imwrite(str(path), np.zeros((48, 96, 3), np.uint8))
    with pytest.raises(EmotionError, match="96x48"):
        data[0]
    with pytest.raises(IndexError):
        data[20]


def test_data_loader_batches(prepared):
    torch = pytest.importorskip("torch")
    loader = torch.utils.data.DataLoader(AffectNetCategorical(2, base_path_to_affectnet=prepared), 16, num_workers=0)
    faces, targets = next(iter(loader))
    assert (faces.shape, faces.dtype, targets.dtype) == ((16, 3, 96, 96), torch.float32, torch.int64)
    assert targets.tolist() == [0] * 12 + [1] * 4
    loader = torch.utils.data.DataLoader(AffectNetDimensional(2, base_path_to_affectnet=prepared), 16, num_workers=0)
    _, affect = next(iter(loader))
    assert (affect.shape, affect.dtype) == ((16, 2), torch.float32)


def test_balanced_indices_and_quadrants():
    targets = np.array([0] * 50 + [2] * 3 + [5] * 10)
    indices = balanced_indices(targets, 5, np.random.default_rng(3))
    assert indices.dtype == np.int64
    assert len(set(indices.tolist())) == len(indices)
    assert np.bincount(targets[indices]).tolist() == [5, 0, 3, 0, 0, 5]
    assert (np.diff(targets[indices]) < 0).any()  # shuffled
    assert balanced_indices(np.empty(0, np.int64), 5, np.random.default_rng(3)).tolist() == []
    affect = np.float32([[0, 0], [-0.1, 0], [-1, -1], [0, -0.1], [0.5, 0.5]])
    assert quadrants(affect).tolist() == [0, 1, 2, 3, 0]
    assert sorted(quadrants(affect[balanced_indices(affect, 1, np.random.default_rng(0))])) == [0, 1, 2, 3]
    with pytest.raises(EmotionError, match=r"\(4, 3\)"):
        balanced_indices(np.zeros((4, 3)), 1, np.random.default_rng(0))


def test_subset_is_a_view(prepared):
    data = AffectNetDimensional(2, base_path_to_affectnet=prepared, transforms=lambda face: 1 - face)
    part = Subset(data, [19, 0, 19])
    assert len(part) == 3
    np.testing.assert_array_equal(part.targets, data.targets[[19, 0, 19]])
    np.testing.assert_array_equal(part[1][0], data[0][0])
    np.testing.assert_array_equal(part[-1][0], data[19][0])
    np.testing.assert_array_equal(part.face(0), data.face(19))
    assert len(list(part)) == 3
    with pytest.raises(IndexError):
        part[3]
    for bad in ([20], [-1], [0.5]):
        with pytest.raises(EmotionError, match="subset"):
            Subset(data, bad)
    assert len(Subset(data, [])) == 0
