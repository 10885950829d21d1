"""The JSON beside a model replaces nothing but an older card, and its place is found before the model is written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("safetensors")

from safetensors.torch import save_file  # noqa: E402

from emotion_core.cli import main  # noqa: E402
from emotion_core.errors import EmotionError  # noqa: E402
from emotion_core.export.onnx_file import copy_model  # noqa: E402
from emotion_core.export.weights import load_network, save_network  # noqa: E402
from emotion_core.labels import AFFECTNET  # noqa: E402
from emotion_core.models.esr import ConvSpec, Esr, EsrConfig  # noqa: E402
from emotion_core.models.registry import describe, entry_of  # noqa: E402
from emotion_core.store.card import ModelCard  # noqa: E402
from emotion_core.store.finding import BUNDLED  # noqa: E402
from emotion_core.store.metadata import SEAL_KEY, read_card  # noqa: E402

FOREIGN = '{"name": "a web page", "version": "1.0.0"}'


@pytest.fixture
def network(tmp_path: Path) -> Path:
    path = tmp_path / "run" / "model.safetensors"
    path.parent.mkdir()
    small = ConvSpec(8)
    model = Esr(EsrConfig(branches=1, in_channels=1, input_size=16, base=(small,), branch=(small,)))
    save_network(model, describe(entry_of(model), name="tiny", labels=AFFECTNET, licence="none"), path)
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "o").mkdir()
    return tmp_path / "o" / "package.onnx"


def name_of(path: Path) -> str:
    return ModelCard.from_json(path.read_text(), path).name


def test_a_foreign_json_stays(network: Path, out: Path) -> None:
    foreign = out.with_suffix(".json")
    foreign.write_text(FOREIGN)
    for _ in range(2):  # the second time over its own card
        assert main(["export", str(network), "--out", str(out), "--name", "mine"]) == 0
        assert foreign.read_text() == FOREIGN
        assert name_of(out.with_name("package.onnx.json")) == "mine"
    save_network(*load_network(network), out.with_suffix(".safetensors"))
    assert foreign.read_text() == FOREIGN
    assert name_of(out.with_name("package.safetensors.json")) == "tiny"
    copy_model(BUNDLED / "esr_compact.onnx", out)
    assert foreign.read_text() == FOREIGN
    assert name_of(out.with_name("package.onnx.json")) == "esr_compact"


@pytest.mark.parametrize("content", [b"", b"no safetensors file", b"\2\0\0\0\0\0\0\0[]", None])
@pytest.mark.parametrize("is_there", [False, True])
def test_weights_that_cannot_be_read_stop_nothing_and_keep_their_card(network, out, content, is_there) -> None:
    if content is None:
        save_file({"a": torch.zeros(1)}, out.with_suffix(".safetensors"))
    else:
        out.with_suffix(".safetensors").write_bytes(content)
    if is_there:
        out.with_suffix(".json").write_text(network.with_suffix(".json").read_text())
    assert main(["export", str(network), "--out", str(out), "--name", "mine"]) == 0
    assert name_of(out.with_name("package.onnx.json")) == "mine"
    assert out.with_suffix(".json").exists() == is_there
    assert not is_there or name_of(out.with_suffix(".json")) == "tiny"


def test_a_folder_with_the_name_of_the_card(network: Path, out: Path) -> None:
    out.with_suffix(".json").mkdir()
    assert main(["export", str(network), "--out", str(out)]) == 0
    assert name_of(out.with_name("package.onnx.json")) == "tiny"


def test_where_both_names_are_taken_nothing_is_written(network: Path, out: Path, capsys) -> None:
    out.with_suffix(".json").mkdir()
    out.with_name("package.onnx.json").write_text(FOREIGN)
    capsys.readouterr()
    assert main(["export", str(network), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert (
        "package.onnx.json is in the way: expected nothing there, or a model card" in error and "\n" not in error[:-1]
    )
    with pytest.raises(EmotionError, match="in the way"):
        copy_model(BUNDLED / "esr_compact.onnx", out)
    assert not out.exists()
    assert out.with_name("package.onnx.json").read_text() == FOREIGN


def test_an_older_card_is_replaced(network: Path, out: Path) -> None:
    for name in ("one", "two"):
        assert main(["export", str(network), "--out", str(out), "--name", name]) == 0
        assert json.loads(out.with_suffix(".json").read_text())["name"] == name
    assert sorted(path.name for path in out.parent.iterdir()) == ["package.json", "package.onnx"]


def test_the_network_that_is_exported_is_no_output(network: Path, capsys) -> None:
    link = network.with_suffix(".onnx")
    link.symlink_to(network)
    before = network.read_bytes()
    assert main(["export", str(network), "--out", str(link)]) == 2
    assert "the source itself" in capsys.readouterr().err
    assert network.read_bytes() == before


def test_a_foreign_json_says_nothing_about_a_file_of_the_first_release(out: Path) -> None:
    """Those are not sealed: the copy of the card beside them knows their sha256."""
    network = onnx.load(str(BUNDLED / "esr_compact.onnx"))
    entries = [(entry.key, entry.value) for entry in network.metadata_props if entry.key != SEAL_KEY]
    del network.metadata_props[:]
    for key, value in entries:
        network.metadata_props.add(key=key, value=value)
    onnx.save(network, str(out))
    card = read_card(out)
    out.with_suffix(".json").write_text(FOREIGN)
    assert read_card(out) == card
    out.with_suffix(".json").write_text(replace(card, sha256="0" * 64).to_json())
    with pytest.raises(EmotionError, match="is damaged"):
        read_card(out)
