"""Every line of a message definition says what it holds."""

import re
from pathlib import Path

import pytest

MESSAGES = sorted((Path(__file__).parents[2] / "msg").glob("*.msg"))
FIELD = re.compile(r"^(?P<type>[\w/]+(?:\[\w*\])?) +(?P<name>\w+) *(?:= *(?P<value>\S+) *)?(?:# *(?P<comment>.*))?$")


def fields(path: Path) -> list[dict[str, str | None]]:
    found = []
    for line in path.read_text().splitlines():
        if line and not line.startswith("#"):
            match = FIELD.match(line)
            assert match, f"{path.name}: not understood: {line}"
            found.append(match.groupdict())
    return found


def test_all_messages_are_there():
    assert [path.stem for path in MESSAGES] == ["AudioChunk", "EmotionEstimate", "EmotionEstimates", "ModelInfo"]


@pytest.mark.parametrize("path", MESSAGES, ids=lambda path: path.stem)
def test_every_field_has_a_comment(path):
    for field in fields(path):
        assert field["comment"] and len(field["comment"]) > 10, f"{path.name}: {field['name']} says nothing of itself"
        # a number without its range is not described
        if field["type"].startswith("float") and field["value"] is None:
            assert re.search(r"\[0, 1\]|-1 .* 1", field["comment"]), f"{path.name}: {field['name']} has no range"


def test_the_interface_has_not_moved():
    """A changed message breaks every recorded bag: this is where one sees that it did change."""
    chunk, estimate, estimates, model = (
        [(f["type"], f["name"], f["value"]) for f in fields(path)] for path in MESSAGES
    )
    assert estimate == [
        ("uint8", "FACE", "1"),
        ("uint8", "VOICE", "2"),
        ("std_msgs/Header", "header", None),
        ("uint8", "modalities", None),
        ("string", "track_id", None),
        ("sensor_msgs/RegionOfInterest", "roi", None),
        ("float32", "detection_score", None),
        ("float32", "face_quality", None),
        ("string", "label", None),
        ("float32", "confidence", None),
        ("string[]", "labels", None),
        ("float32[]", "probabilities", None),
        ("float32", "valence", None),
        ("float32", "arousal", None),
        ("string", "model", None),
    ]
    assert estimates == [("std_msgs/Header", "header", None), ("EmotionEstimate[]", "estimates", None)]
    assert chunk == [
        ("std_msgs/Header", "header", None),
        ("uint32", "sample_rate", None),
        ("uint8", "channels", None),
        ("string", "encoding", None),
        ("uint8[]", "data", None),
    ]
    assert model == [
        ("std_msgs/Header", "header", None),
        ("string", "model", None),
        ("string[]", "labels", None),
        ("string", "provider", None),
        ("string", "detector", None),
        ("string", "licence", None),
        ("string", "card", None),
    ]
