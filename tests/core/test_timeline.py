"""The picture of a run: opened and looked at, by size, colours and gaps."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from emotion_core.labels import AFFECTNET
from emotion_core.plots.spans import people, period_s, spans
from emotion_core.plots.timeline import MAX_PEOPLE, SIZE_PX, plot_timeline
from emotion_core.types import Box, EmotionEstimate, Face
from emotion_core.vision.palette import bgr

cv2 = pytest.importorskip("cv2")
pytest.importorskip("matplotlib", reason="matplotlib comes with the extra [media]")


START = 1_700_000_000.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Empty, unlike tmp_path, in which the model store lies."""
    path = tmp_path / "files"
    path.mkdir()
    return path


def estimate(
    time_s: float, label: str = "happy", track: str = "1", p: float = 0.8, valence: float = 0.3, size: float = 10
) -> EmotionEstimate:
    rest = (1 - p) / (len(AFFECTNET) - 1)
    return EmotionEstimate(
        stamp_s=START + time_s,
        labels=AFFECTNET,
        probabilities=tuple(p if name == label else rest for name in AFFECTNET),
        valence=valence,
        arousal=-valence,
        face=Face(Box(0, 0, size, size)),
        track_id=track,
        model="tiny",
    )


def run(first: float, last: float, label: str = "happy", track: str = "1") -> list[EmotionEstimate]:
    """Ten frames a second."""
    return [estimate(i / 10, label, track) for i in range(round(first * 10), round(last * 10))]


def stamps(seconds: float) -> list[float]:
    return [START + i / 10 for i in range(round(seconds * 10))]


def look(path: Path) -> np.ndarray:
    assert path.read_bytes().startswith(b"\x89PNG")
    picture = cv2.imread(str(path))
    assert picture.shape == (SIZE_PX[1], SIZE_PX[0], 3)
    return picture


def columns(picture: np.ndarray, label: str, least: int = 60) -> np.ndarray:
    """(W,) bool: whether at least that many pixels of the column left of the legend have the label's colour."""
    area = picture[:, :1400]
    return (np.abs(area.astype(int) - bgr(label)).max(axis=2) <= 3).sum(axis=0) >= least


def test_one_person(folder: Path) -> None:
    plot_timeline(run(0, 10), folder / "t.png", "A title", stamps_s=stamps(10))
    seen = columns(look(folder / "t.png"), "happy", 250)
    # From axis to axis without a break: at least 80 % of its height, over all of its width.
    first, last = np.flatnonzero(seen)[[0, -1]]
    assert seen[first : last + 1].all() and last - first > 1250
    assert list(folder.iterdir()) == [folder / "t.png"]


@pytest.mark.parametrize("with_stamps", [True, False])
def test_a_gap_shows_where_nobody_was(folder: Path, with_stamps: bool) -> None:
    rows = run(0, 4) + run(6, 10)
    plot_timeline(rows, folder / "t.png", "", stamps_s=stamps(10) if with_stamps else None)
    seen = columns(look(folder / "t.png"), "happy", 250)
    first, last = np.flatnonzero(seen)[[0, -1]]

    def at(seconds: float) -> int:
        return int(first + round((last - first) * seconds / 10))

    assert seen[at(0.1) : at(3.9)].all() and seen[at(6.1) : at(9.9)].all()
    assert not seen[at(4.1) : at(5.9)].any()


def test_one_missed_frame_is_a_gap_when_the_frames_are_known(folder: Path) -> None:
    rows = [row for row in run(0, 10) if row.stamp_s != START + 5]
    person = people(rows)[0]
    assert [len(span.times) for span in spans(person, np.array(stamps(10)), 0.1)] == [50, 49]
    assert [len(span.times) for span in spans(person, person.times, 0.1)] == [99]


def test_the_person_seen_longest_is_shown_in_detail_and_everybody_in_a_strip(folder: Path) -> None:
    rows = run(0, 3, "sad", "1") + run(1, 9, "happy", "2") + run(6, 8, "anger", "3")
    assert [person.name for person in people(rows)] == ["person 2", "person 1", "person 3"]
    plot_timeline(rows, folder / "t.png", "Three people")
    picture = look(folder / "t.png")
    assert columns(picture, "happy", 200).any()
    # The others have a strip, and no share of the large area.
    for label, seconds in (("sad", 3), ("anger", 2)):
        assert columns(picture, label, 15).sum() == pytest.approx(1280 * seconds / 9, rel=0.05)
        assert not columns(picture, label, 60).any()


def test_many_people(folder: Path) -> None:
    rows = [row for i in range(MAX_PEOPLE + 3) for row in run(i, i + 2, "sad", f"long name {i}")]
    plot_timeline(rows, folder / "t.png", "x" * 500)
    look(folder / "t.png")


def test_without_tracking_the_largest_face_of_a_frame_counts() -> None:
    rows = [estimate(0.1 * i, "sad", "", size=5) for i in range(5)]
    rows += [estimate(0.1 * i, "happy", "", size=9) for i in range(5)]
    (person,) = people(rows)
    assert person.name == "untracked"
    assert [person.labels[k] for k in person.winners] == ["happy"] * 5


def test_values_are_sorted_by_time_and_by_label() -> None:
    other = EmotionEstimate(START + 0.5, ("sad", "bored"), (0.25, 0.75), track_id="1")
    (person,) = people([estimate(1.0), other, estimate(0.0, "sad")])
    assert person.times.tolist() == [START, START + 0.5, START + 1.0]
    assert person.labels == (*AFFECTNET, "bored")
    assert [person.labels[k] for k in person.winners] == ["sad", "bored", "happy"]
    assert person.probabilities.sum(axis=1) == pytest.approx(1)
    assert np.isnan(person.affect[1]).all()


def test_the_usual_distance() -> None:
    assert period_s(np.array([0.0, 0.1, 0.2, 5.0, 5.1])) == pytest.approx(0.1)
    assert period_s(np.array([3.0])) == 0.1


@pytest.mark.parametrize(
    ("rows", "stamps_s", "latency_ms"),
    [
        ([], None, None),
        ([], stamps(3), [(t, 12.0) for t in stamps(3)]),
        ([estimate(0)], None, None),
        ([estimate(0)], [START], [(START, 0.0)]),
        ([estimate(0), estimate(0)], None, [(START, -3.0), (START, 4000.0)]),
        (run(0, 1, track="$x^2$ _a_"), stamps(5), None),
        ([estimate(i / 10, valence=math.nan) for i in range(9)], None, None),
    ],
)
def test_little_is_drawn_honestly(
    folder: Path,
    rows: list[EmotionEstimate],
    stamps_s: list[float] | None,
    latency_ms: list[tuple[float, float]] | None,
) -> None:
    plot_timeline(rows, folder / "t.png", "$a_b^", stamps_s=stamps_s, latency_ms=latency_ms)
    picture = look(folder / "t.png")
    assert columns(picture, "happy").any() == bool(rows)
    if not rows:
        # Words in the middle of an empty plot.
        assert (picture[250:550, 500:1000].min(axis=2) < 150).any()


def test_without_valence_there_is_no_plot_of_it(folder: Path) -> None:
    plot_timeline(run(0, 5), folder / "with.png", "")
    plot_timeline([estimate(i / 10, valence=math.nan) for i in range(50)], folder / "without.png", "")
    tall = [columns(look(folder / name), "happy", 400).any() for name in ("with.png", "without.png")]
    assert tall == [False, True]


def test_long_runs_are_thinned(folder: Path) -> None:
    rows = [estimate(i / 30, "sad" if i > 4000 else "happy") for i in range(8000)]
    plot_timeline(rows, folder / "t.png", "")
    picture = look(folder / "t.png")
    assert columns(picture, "happy", 250).sum() == pytest.approx(640, abs=15)
    assert columns(picture, "sad", 250).sum() == pytest.approx(640, abs=15)


def test_a_failure_leaves_the_old_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    def broken(self: Figure, path: Path, **kwargs: object) -> None:
        Path(path).write_bytes(b"half")
        raise OSError("disk full")

    path = folder / "t.png"
    path.write_bytes(b"old")
    monkeypatch.setattr(Figure, "savefig", broken)
    with pytest.raises(OSError, match="disk full"):
        plot_timeline(run(0, 1), path, "")
    assert path.read_bytes() == b"old" and list(folder.iterdir()) == [path]


def test_importing_is_light() -> None:
    code = "import sys, emotion_core.plots.timeline; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
