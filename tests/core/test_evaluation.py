"""Measuring on what model and data have in common, under each protocol."""

from __future__ import annotations

import json

import numpy as np
import pytest

from emotion_core.cli import main
from emotion_core.data.dataset import FaceSet
from emotion_core.data.ferplus import FerPlus
from emotion_core.errors import EmotionError
from emotion_core.evaluation.evaluate import evaluate_categories, evaluate_protocols
from emotion_core.evaluation.results import left_out_text, protocol_text
from emotion_core.labels import AFFECTNET, ALIASES, FER2013, canonical, share_labels
from emotion_core.runtime.ensemble import EnsembleOutput


def data_of(labels: tuple[str, ...], targets: list[int]) -> FaceSet:
    majority = np.array(targets)
    n = len(majority)
    return FaceSet(
        np.zeros((n, 8, 8), np.uint8), np.eye(len(labels), dtype=np.float32)[majority], majority, ("",) * n, labels
    )


def output_of(*rows: list[float]) -> EnsembleOutput:
    """One branch."""
    return EnsembleOutput(np.array(rows)[:, None], np.full((len(rows), 1, 2), np.nan))


def test_aliases_lead_to_labels():
    assert {canonical(word) for word in ALIASES} <= set(AFFECTNET)
    assert canonical(" Angry ") == "anger" and canonical("Happy") == "happy" and canonical("Bored") == "Bored"


def test_labels_are_matched_by_name_in_any_order_and_word():
    shared = share_labels(("neutral", "happy", "contempt", "anger"), ("angry", "Happiness", "tired", "neutral"))
    assert shared.names == ("angry", "Happiness", "neutral")
    assert (shared.model, shared.data) == ((3, 1, 0), (0, 1, 3))
    assert (shared.only_model, shared.only_data) == (("contempt",), ("tired",))


def test_only_shared_labels_count():
    """The model's contempt is no answer for data without it, and faces of a label that it lacks are left out."""
    data = data_of(("angry", "happy", "tired"), [0, 1, 2, 1])
    output = output_of([0.1, 0.3, 0.6], [0.5, 0.1, 0.4], [0.3, 0.3, 0.4], [0.3, 0.1, 0.6])
    result = evaluate_categories(output, data, ("happy", "anger", "contempt"))
    assert result.labels == ("angry", "happy")
    assert result.ensemble.confusion.tolist() == [[1, 0], [0, 2]]
    assert (result.only_model, result.only_data, result.left_out) == (("contempt",), ("tired",), 1)
    # Confidences are those among the shared labels: 0.75, 0.8333 and 0.75, all right.
    assert result.ensemble.calibration_error == pytest.approx(100 * np.mean([0.25, 1 / 6, 0.25]))
    report = result.to_dict()
    assert report["left_out"] == {"model": ["contempt"], "data": ["tired"], "faces": 1}
    assert left_out_text(report) == (
        "not allowed as answers, since the data lacks them: contempt; 1 faces left out, since the model lacks tired"
    )


def test_labels_without_anything_in_common():
    with pytest.raises(EmotionError, match="share 1 labels, expected two or more"):
        evaluate_categories(output_of([0.5, 0.5]), data_of(("happy", "tired"), [1]), ("happy", "sad"))
    with pytest.raises(EmotionError, match="no face of the data has one of the model's labels"):
        evaluate_categories(output_of([0.5, 0.5]), data_of(("happy", "sad", "tired"), [2]), ("happy", "sad"))


def test_votes_among_shared_labels():
    """Three branches of which two prefer a label that the data lacks: their second choice counts."""
    branches = np.array([[[0.2, 0.3, 0.5], [0.3, 0.1, 0.6], [0.3, 0.6, 0.1]]])
    output = EnsembleOutput(branches, np.full((1, 3, 2), np.nan))
    result = evaluate_categories(output, data_of(("a", "b"), [1]), ("a", "b", "c"), "vote")
    assert result.ensemble.accuracy == 100 and result.branch_accuracy == (100.0, 0.0, 100.0)


def test_both_protocols_of_ferplus():
    base = data_of(AFFECTNET, [0, 1, 2])
    data = FerPlus(base.faces, base.distributions, base.classes, base.names, is_majority=np.array([True, False, True]))
    rows = np.full((3, 8), 0.05)
    rows[[0, 1, 2], [0, 1, 0]] = 0.65
    results = evaluate_protocols(output_of(*rows.tolist()), data, AFFECTNET)
    assert {name: (r.ensemble.n, round(r.ensemble.accuracy, 1)) for name, r in results.items()} == {
        "plurality": (3, 66.7),
        "majority": (2, 50.0),
    }
    text = protocol_text(results["majority"], "majority")
    assert text == "8 classes, majority of the raters' votes, no test-time augmentation"
    assert list(evaluate_protocols(output_of(*rows.tolist()), base, AFFECTNET)) == [""]


@pytest.fixture(scope="module")
def ferplus(tmp_path_factory, shared):
    """Twenty real PublicTest faces in FER+'s own layout, ten of FER2013's in its table."""
    import csv

    import cv2

    root = tmp_path_factory.mktemp("ferplus")
    (root / "FER2013Valid").mkdir()
    sheets: dict[str, np.ndarray] = {}
    votes, table = [], ["emotion,pixels,Usage"]
    with (shared / "data" / "ferplus" / "labels.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["usage"] != "PublicTest" or len(votes) == 200:
                continue
            sheet = sheets.setdefault(row["sheet"], _sheet(shared, row["sheet"]))
            y, x = 48 * int(row["row"]), 48 * int(row["col"])
            face = sheet[y : y + 48, x : x + 48]
            cv2.imwrite(str(root / "FER2013Valid" / row["name"]), face)
            counts = list(row.values())[6:16]
            votes.append(f'{row["name"]},"(0, 0, 48, 48)",{",".join(counts)}')
            if row["fer2013"] != "-1":
                table.append(f"{row['fer2013']},{' '.join(map(str, face.ravel()))},PublicTest")
    (root / "FER2013Valid" / "label.csv").write_text("\n".join(votes) + "\n")
    (root / "fer2013.csv").write_text("\n".join(table) + "\n")
    return root


def _sheet(shared, name):
    import cv2

    path = shared / "data" / "ferplus" / (name if name.endswith(".png") else f"faces-{int(name):03d}.png")
    return cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)


def run(capsys, *arguments: object) -> dict:
    assert main(["eval", "--json", *map(str, arguments)]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_command_reports_both_protocols(ferplus, capsys, tmp_path):
    report = run(capsys, "--data", ferplus, "--confusion", tmp_path / "new" / "confusion.png")
    assert report["protocol"] == "plurality"
    assert {k: report[k] for k in ("n", "accuracy")} == {
        k: report["protocols"]["plurality"][k] for k in ("n", "accuracy")
    }
    plurality, majority = report["protocols"]["plurality"], report["protocols"]["majority"]
    assert majority["n"] < plurality["n"] and majority["accuracy"] > plurality["accuracy"] > 75
    assert (tmp_path / "new" / "confusion.png").read_bytes().startswith(b"\x89PNG")
    alone = run(capsys, "--data", ferplus, "--protocol", "majority")
    assert alone["n"] == majority["n"] and list(alone["protocols"]) == ["majority"]


def test_seven_classes_are_measured_on_the_shared_ones(ferplus, capsys):
    report = run(capsys, "--data", ferplus, "--dataset", "fer2013")
    assert report["confusion"]["labels"] == list(FER2013)
    assert report["left_out"] == {"model": ["contempt"], "data": [], "faces": 0}
    assert report["accuracy"] > 55 and "protocols" not in report


def test_wrong_words_are_told_before_the_work(ferplus, capsys, tmp_path):
    for arguments, message in (
        (("--protocol", "mean"), "ferplus has no protocol 'mean': expected one of its own (plurality, majority)"),
        (("--dataset", "fer2013", "--protocol", "majority"), "fer2013 has no protocol 'majority'"),
        (("--dimensional", "--protocol", "majority"), "go with classes"),
        (("--confusion", "/proc/none/x.png"), "/proc/none/x.png cannot be written"),
    ):
        assert main(["eval", "--data", str(ferplus), *arguments]) == 2
        assert message in capsys.readouterr().err


def test_labels_that_mean_the_same():
    """The same word goes before one that means the same; what could be either is refused."""
    shared = share_labels(("angry", "anger", "happy"), ("anger", "joy"))
    assert (shared.model, shared.only_model) == ((1, 2), ("angry",))
    assert share_labels(("angry", "anger", "happy"), ("anger", "angry", "happy")).model == (1, 0, 2)
    with pytest.raises(EmotionError, match="labels joy and happiness mean the same, and happy could be either"):
        share_labels(("joy", "happiness", "sad"), ("happy", "sad"))


def test_targets_keep_two_labels_with_one_meaning_apart():
    from emotion_core.data.relabel import order_of

    assert order_of(("joy", "sad", "happy"), ("happy", "joy", "sad"), "a", "b").tolist() == [2, 0, 1]
    with pytest.raises(EmotionError, match="a must have the same labels as b"):
        order_of(("joy", "happy"), ("happy", "sad"), "a", "b")
    with pytest.raises(EmotionError, match="a must have the same labels as b"):
        order_of(("joy", "happy", "sad"), ("happy", "sad"), "a", "b")


def test_a_network_with_two_inputs_is_measured_on_what_a_dataset_gives():
    """Nothing in the evaluation knows what a sample is."""
    from emotion_core.evaluation.evaluate import run_network
    from emotion_core.store.card import FACE, SOUND, Framing, Input

    inputs = (
        Input("faces", FACE, (1, 8, 8), "grey", framing=Framing()),
        Input("sound", SOUND, (4,), sample_rate_hz=16000),
    )

    class Both:
        labels, targets, protocols = ("a", "b"), np.array([0, 1, 1]), {}

        def __len__(self) -> int:
            return 3

        def sample(self, index, asked):
            assert tuple(asked) == inputs
            return np.full((1, 8, 8), index, np.float32), np.full(4, -index, np.float32)

    seen = []

    def network(faces, sound):
        seen.append((faces.shape, sound.shape))
        assert np.array_equal(faces[:, 0, 0, 0], -sound[:, 0])
        return output_of(*([[0.9, 0.1]] * len(faces)))

    output = run_network(network, Both(), inputs, batch_size=2)
    assert seen == [((2, 1, 8, 8), (2, 4)), ((1, 1, 8, 8), (1, 4))]
    assert evaluate_categories(output, Both(), ("a", "b")).ensemble.accuracy == pytest.approx(100 / 3)
    with pytest.raises(EmotionError, match="the network takes face, sound, and this dataset holds single faces"):
        run_network(network, data_of(("a", "b"), [0, 1]), inputs)
