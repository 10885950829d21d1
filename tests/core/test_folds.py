"""Folds of FER+ without shared photos, and what is measured by them."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("scipy")

from emotion_core.cli import main  # noqa: E402
from emotion_core.data.ferplus_folds import COUNT, load_all, load_fold, read_table, write_table  # noqa: E402
from emotion_core.data.registry import open_dataset, open_fold, open_fresh  # noqa: E402
from emotion_core.errors import EmotionError  # noqa: E402
from emotion_core.evaluation.folds import ask_folds, together  # noqa: E402
from emotion_core.evaluation.intervals import figures  # noqa: E402
from emotion_core.export.weights import save_network  # noqa: E402
from emotion_core.labels import AFFECTNET  # noqa: E402
from emotion_core.models.registry import build, describe, preset  # noqa: E402
from emotion_core.training.near_duplicates import folds_of, near_duplicates  # noqa: E402
from emotion_core.training.teachers import read_answers  # noqa: E402

SHARED = Path(__file__).resolve().parents[3] / "shared"
FACES = 30  # of the first rows of FER2013, whose folds the table knows


@pytest.fixture(scope="module")
def ferplus(tmp_path_factory):
    """A folder of FER+ with random faces under the names of the first rows; some in each split."""
    root, rng = tmp_path_factory.mktemp("ferplus"), np.random.default_rng(0)
    known = [row for row, fold in enumerate(read_table()) if fold != "-"][:FACES]
    for folder, rows in (("FER2013Train", known[:20]), ("FER2013Valid", known[20:])):
        (root / folder).mkdir()
        with (root / folder / "label.csv").open("w", newline="") as file:
            for row in rows:
                name = f"fer{row:07d}.png"
                votes = np.zeros(10, int)
                votes[row % 8] = 10
                if row % 7 == 0:  # no majority
                    votes[[row % 8, (row + 1) % 8, (row + 2) % 8]] = 4, 3, 3
                csv.writer(file).writerow([name, "(0, 0, 48, 48)", *votes])
                cv2.imwrite(str(root / folder / name), rng.integers(0, 256, (48, 48), np.uint8))
    return root


@pytest.fixture(scope="module")
def run(tmp_path_factory, ferplus):
    """A network for each fold, each another one."""
    root = tmp_path_factory.mktemp("run")
    entry = preset("esr_compact")
    card = describe(entry, "some", AFFECTNET, "CC0")
    for fold in range(1, COUNT + 1):
        (root / f"fold_{fold}").mkdir()
        save_network(build(entry, "test", fold), card, root / f"fold_{fold}" / "model.safetensors")
    return root


def test_folds_part_the_faces_and_no_fold_is_learned_from(ferplus):
    everybody, folds = load_all(ferplus)
    assert len(everybody) == FACES and set(folds) == set(range(1, COUNT + 1))
    seen = []
    for fold in range(1, COUNT + 1):
        learned, held = open_fold("ferplus", ferplus, fold)
        assert not set(learned.names) & set(held.names)
        assert len(learned) + len(held) == FACES
        assert held.distributions.shape == (len(held), 8) and len(held.is_majority) == len(held)
        seen += held.names
    assert sorted(seen) == sorted(everybody.names)


def test_mistakes_are_told(ferplus, tmp_path):
    with pytest.raises(EmotionError, match="folds 1 to 5, got 6"):
        load_fold(ferplus, 6)
    with pytest.raises(EmotionError, match="fer2013 has no fixed folds: only ferplus does"):
        open_fold("fer2013", ferplus, 1)
    (tmp_path / "FER2013Train").mkdir()
    (tmp_path / "FER2013Valid").mkdir()
    for folder in ("FER2013Train", "FER2013Valid"):
        cv2.imwrite(str(tmp_path / folder / "mine.png"), np.zeros((48, 48), np.uint8))
        (tmp_path / folder / "label.csv").write_text('mine.png,"(0, 0, 48, 48)",10,0,0,0,0,0,0,0,0,0\n')
    with pytest.raises(EmotionError, match=r"no fold is known of the face 'mine.png'"):
        load_all(tmp_path)


def test_a_table_is_read_as_it_was_written(tmp_path):
    names, folds = ("fer0000000.png", "fer0000003.png", "fer0000120.png"), np.array([1, 5, 2])
    write_table(tmp_path / "folds.txt", names, folds, np.array([False, True, False]))
    lines = [line for line in (tmp_path / "folds.txt").read_text().splitlines() if not line.startswith("#")]
    assert "".join(lines) == "1--e" + "-" * 116 + "2"


def test_one_photo_is_one_group_also_mirrored_cut_or_through_a_third():
    rng = np.random.default_rng(1)
    smooth = [
        cv2.resize(rng.integers(0, 256, (6, 6), np.uint8), (60, 60), interpolation=cv2.INTER_CUBIC) for _ in "abc"
    ]
    a, b, c = (picture[6:54, 6:54] for picture in smooth)
    brighter = np.clip(a * 0.7 + 60, 0, 255).astype(np.uint8)
    faces = np.stack([a, b, brighter, np.ascontiguousarray(b[:, ::-1]), c, smooth[2][7:55, 6:54]])
    assert near_duplicates(faces).tolist() == [0, 1, 0, 1, 2, 2]
    other_cut = smooth[0][0:48, 12:60]
    apart = np.stack([a, b, other_cut])
    assert near_duplicates(apart).tolist() == [0, 1, 2]
    same = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.01, 0.0]])
    embedded = near_duplicates(np.stack([a, b, np.roll(a, 3, 1)]), same)
    assert embedded.tolist() == [0, 1, 0]
    assert folds_of(np.array([0, 1, 2, 3, 4, 5, 0]), 5).tolist() == [0, 1, 2, 3, 4, 0, 0]


def test_no_photo_of_ferplus_is_in_two_folds():
    """By the shrunk faces alone, so that no network is needed."""
    if not (SHARED / "data" / "ferplus" / "labels.csv").is_file():
        pytest.skip("needs ../shared/data/ferplus")
    sheets: dict[str, np.ndarray] = {}
    faces, folds, table = [], [], read_table()
    with (SHARED / "data" / "ferplus" / "labels.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            number = int(row["name"].removeprefix("fer").removesuffix(".png"))
            if number >= len(table) or table[number] == "-" or number % 3:
                continue
            if row["sheet"] not in sheets:
                found = list((SHARED / "data" / "ferplus").glob(f"faces-{int(row['sheet']):03d}.png"))
                sheets[row["sheet"]] = cv2.imread(str(found[0]), cv2.IMREAD_GRAYSCALE)
            y, x = 48 * int(row["row"]), 48 * int(row["col"])
            faces.append(sheets[row["sheet"]][y : y + 48, x : x + 48])
            folds.append(int(table[number].translate(str.maketrans("abcde", "12345"))))
    groups, where = near_duplicates(np.stack(faces)), np.array(folds)
    assert len(faces) > 10000 and len(set(groups.tolist())) < len(faces) - 300
    first = np.full(groups.max() + 1, 0)
    first[groups[::-1]] = where[::-1]
    assert (first[groups] == where).all()
    assert np.bincount(where)[1:].min() > 0.18 * len(faces)


def test_intervals_hold_the_value_and_shrink_with_more_answers():
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 3, 4000)
    said = np.full((4000, 3), 0.1)
    answer = np.where(rng.random(4000) < 0.8, truth, (truth + 1) % 3)
    said[np.arange(4000), answer] = 0.8
    found = figures(truth, said)
    assert found.accuracy.low < found.accuracy.value < found.accuracy.high
    assert found.accuracy.value == pytest.approx(80, abs=2.0)
    # The standard error of 4,000 answers is 0.63 points, and the interval 1.96 of these to each side.
    assert found.accuracy.high - found.accuracy.low == pytest.approx(2 * 1.96 * 0.63, rel=0.15)
    assert found.calibration_error.value < 2.0
    few = figures(truth[:400], said[:400])
    assert few.accuracy.high - few.accuracy.low > 2 * (found.accuracy.high - found.accuracy.low)
    # Five times the same answers about the same photos say no more than once.
    fivefold = figures(np.tile(truth[:400], 5), np.tile(said[:400], (5, 1)), groups=np.tile(np.arange(400), 5))
    assert fivefold.accuracy.low == pytest.approx(few.accuracy.low, abs=0.01)
    with pytest.raises(ValueError, match="equal, positive counts"):
        figures(truth[:0], said[:0])


def test_each_face_is_asked_about_in_its_own_fold(ferplus, run):
    from emotion_core.cli.yardstick import open_uncalibrated

    answers = ask_folds(run, "ferplus", ferplus, open_uncalibrated, COUNT)
    assert len(answers.truth) == FACES and answers.labels == AFFECTNET
    assert set(answers.protocols) == {"plurality", "majority"}
    _, held = load_fold(ferplus, 2)
    network, card = open_uncalibrated(run / "fold_2" / "model.safetensors")
    alone = network(np.stack([held.sample(i, card.inputs)[0] for i in range(len(held))])).probabilities
    np.testing.assert_allclose(answers.output().probabilities[answers.folds == 2], alone, atol=1e-5)
    both = together([answers, answers])
    np.testing.assert_allclose(both.output().probabilities, answers.output().probabilities, atol=1e-5)
    assert both.logits.shape[1] == 2
    some = set(answers.keys[7:20].tolist())
    part = together([answers, replace(answers.about(some), logits=answers.about(some).logits[::-1])])
    assert part.keys.tolist() == answers.keys[7:20].tolist() and part.truth.tolist() == answers.truth[7:20].tolist()
    expected = (answers.output().probabilities[7:20] + answers.output().probabilities[19:6:-1]) / 2
    np.testing.assert_allclose(part.output().probabilities, expected, atol=1e-5)
    counted = part.protocols["plurality"]
    assert part.keys[counted].tolist() == [k for k in answers.keys[answers.protocols["plurality"]] if k in some]
    with pytest.raises(EmotionError, match="different faces"):
        together([answers.about(some), answers.about({answers.keys[0]})])


def test_answers_teach(ferplus, run, tmp_path):
    from emotion_core.cli.yardstick import open_uncalibrated

    answers = ask_folds(run, "ferplus", ferplus, open_uncalibrated, COUNT)
    answers.save(tmp_path / "answers.npz")
    learned, _ = load_fold(ferplus, 1)
    said = read_answers(tmp_path / "answers.npz", learned, AFFECTNET[::-1])
    np.testing.assert_allclose(said.sum(1), 1, atol=1e-6)
    by_key = dict(zip(answers.keys.tolist(), answers.output().probabilities, strict=True))
    from emotion_core.evaluation.folds import key_of

    np.testing.assert_allclose(said[3], by_key[key_of(learned, 3)][::-1], atol=1e-6)
    strange = learned.taken(np.array([0]))
    strange.faces[:] = 7
    with pytest.raises(EmotionError, match="knows nothing of 1 of the 1 faces"):
        read_answers(tmp_path / "answers.npz", strange, AFFECTNET)
    (tmp_path / "bad.npz").write_bytes(b"no archive")
    with pytest.raises(EmotionError, match="no file of answers"):
        read_answers(tmp_path / "bad.npz", learned, AFFECTNET)


def test_the_command_measures_calibrates_and_notes(ferplus, run, tmp_path, capsys):
    from emotion_core.export.onnx_export import export_onnx
    from emotion_core.export.weights import load_network
    from emotion_core.store.metadata import read_card

    network, card = load_network(run / "fold_1" / "model.safetensors")
    export_onnx(network, card, tmp_path / "model.onnx")
    arguments = ["yardstick", str(run), "--data", str(ferplus), "--json", "--into", str(tmp_path / "model.onnx")]
    assert main([*arguments, "--answers", str(tmp_path / "answers.npz"), "--together"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [row["run"] for row in report["rows"]] == [run.name, "together", "together, calibrated"]
    plurality = report["rows"][0]["protocols"]["plurality"]
    assert plurality["n"] == FACES and len(plurality["accuracy"]) == 3
    assert len(report["rows"][0]["accuracy_of_folds"]) == COUNT
    noted = read_card(tmp_path / "model.onnx")
    assert noted.calibration["temperature"] == report["calibration"]["temperature"]
    assert sum(noted.calibration["prior"]) == pytest.approx(1, abs=1e-3)
    assert noted.results[0]["split"] == "five folds of Training and PublicTest"
    assert (tmp_path / "answers.npz").is_file()


def test_a_finished_model_is_measured_on_photos_that_are_new_to_it(ferplus, run, tmp_path, capsys):
    from emotion_core.export.onnx_export import export_onnx
    from emotion_core.export.weights import load_network
    from emotion_core.store.metadata import read_card

    fresh, valid = open_fresh("ferplus", ferplus), open_dataset("ferplus", ferplus, "valid")
    table = read_table()
    shared = [name for name in valid.names if table[int(name[3:10])] in "abcde"]
    assert set(fresh.names) == set(valid.names) - set(shared)
    network, card = load_network(run / "fold_1" / "model.safetensors")
    export_onnx(network, card, tmp_path / "model.onnx")
    model = str(tmp_path / "model.onnx")
    assert main(["yardstick", model, "--data", str(ferplus), "--into", model, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["rows"][0]["protocols"]["plurality"]["n"] == len(fresh)
    noted = read_card(model)
    learned = np.bincount(open_dataset("ferplus", ferplus, "train").targets, minlength=8) / 20
    np.testing.assert_allclose(noted.calibration["learned"], learned, atol=1e-5)
    assert noted.results[0]["split"] == "PublicTest without the photos of Training"
    # With folds beside it, together they are measured on the faces that are new to all.
    assert main(["yardstick", str(run), model, "--data", str(ferplus), "--json", "--together", "--calibrate"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [row["protocols"]["plurality"]["n"] for row in report["rows"]] == [FACES, *[len(fresh)] * 3]
    np.testing.assert_allclose(report["calibration"]["learned"], learned, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["RUN"], "give --data DIR"),
        (["esr_compact"], "for models --photos DIR"),
        (["esr_compact", "--photos", "X", "--answers", "a.npz"], "need --data DIR"),
        (["RUN", "esr_compact", "--data", "DATA", "--together", "--answers", "a.npz"], "know only those new to all"),
        (["RUN", "--data", "DATA", "--answers", "answers.csv"], r"expected a file ending in \.npz"),
        (["RUN", "--data", "DATA", "--into", "nobody"], "unknown model 'nobody'"),
        (["EMPTY", "--data", "DATA"], r"fold_1 has no model.onnx or model.safetensors: train it with `emotion train"),
    ],
)
def test_the_command_tells_mistakes(arguments, message, run, ferplus, tmp_path, capsys):
    import re

    known = {"RUN": str(run), "EMPTY": str(tmp_path), "DATA": str(ferplus)}
    words = [known.get(word, word) for word in arguments]
    assert main(["yardstick", *words]) == 2
    assert re.search(message, capsys.readouterr().err)
