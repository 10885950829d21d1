"""Benchmarks of tiny networks: what is measured and how it is told, never how fast."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emotion_core.bench import measure as benchmark
from emotion_core.bench.bench import BenchConfig, BenchReport, BenchRow, bench
from emotion_core.bench.measure import Task, measure, measure_apart, rates
from emotion_core.cli import bench as command
from emotion_core.errors import EmotionError
from emotion_core.labels import AFFECTNET
from emotion_core.store.card import METADATA_KEY
from emotion_core.store.metadata import read_card


def tiny_config(**changes):
    pytest.importorskip("torch")
    from emotion_core.models.esr import ConvSpec, EsrConfig

    layers = {"base": (ConvSpec(16),), "branch": (ConvSpec(16),)}
    return EsrConfig(**({"branches": 3, "in_channels": 1, "input_size": 16, **layers} | changes))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """tiny.onnx, an int8 file with its float32 weights beside it, and bare.onnx, a float32 one without."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnx")
    from emotion_core.export.onnx_export import export_onnx
    from emotion_core.export.quantize import quantize_int8
    from emotion_core.export.weights import save_network
    from emotion_core.models.esr import Esr
    from emotion_core.models.registry import describe, entry_of

    torch.manual_seed(7)
    model = Esr(tiny_config()).eval()
    card = describe(entry_of(model), "tiny", AFFECTNET, "none")
    path = tmp_path_factory.mktemp("models")
    export_onnx(model, card, path / "bare.onnx")
    save_network(model, card, path / "tiny.safetensors")
    samples = {"faces": np.random.default_rng(0).random((8, 1, 16, 16), np.float32)}
    quantize_int8(path / "bare.onnx", samples, path / "tiny.onnx")
    return path


@pytest.fixture(scope="module")
def measured(folder) -> tuple[BenchReport, list[tuple[float, str]]]:
    told: list[tuple[float, str]] = []
    config = BenchConfig((str(folder / "tiny.onnx"),), (1, 2), runs=4, warmup=1, device="cpu")
    return bench(config, lambda share, text: told.append((share, text))), told


def test_every_backend_is_measured_with_the_same_weights(measured, folder):
    report, _ = measured
    cells = [(row.backend, row.threads) for row in report.rows]
    assert cells == [(name, threads) for threads in (1, 2) for name in ("eager", "onnx", "int8")]
    for row in report.rows:
        assert row.network == str(folder / "tiny.onnx")
        assert row.per_s > 0 and row.median_per_s > 0
        # 1 -> 16 -> 16 channels with 3 x 3 kernels, batch normalisation, and two heads, the branch three times
        assert row.params_m * 1e6 == pytest.approx(16 * 9 + 48 + 3 * (16 * 16 * 9 + 48 + 16 * 8 + 8 + 8 * 2 + 2))
        eager = next(r for r in report.rows if (r.backend, r.threads) == ("eager", row.threads))
        assert row.ratio == row.per_s / eager.per_s
        assert row.memory_mb > 0
        assert 0.01 < row.file_mb < 1
    by_name = {row.backend: row for row in report.rows}
    assert by_name["eager"].difference == 0
    assert by_name["onnx"].difference < 1e-5
    assert 1e-5 < by_name["int8"].difference < 0.1
    assert by_name["int8"].file_mb < by_name["onnx"].file_mb


def test_the_report_says_where_and_how(measured):
    report, told = measured
    data = json.loads(json.dumps(report.to_dict()))
    assert set(data) == {"machine", "protocol", "rows", "notes"}
    assert {"cpu", "cores", "torch", "onnxruntime", "provider", "load"} <= set(data["machine"])
    assert (data["protocol"]["runs"], data["protocol"]["warmup"], data["protocol"]["blocks"]) == (4, 1, 4)
    assert set(data["rows"][0]) == set(BenchRow.__dataclass_fields__)
    assert any("float16: not on this provider" in note for note in report.notes)
    assert any("int8 was calibrated on random faces" in note for note in report.notes)
    assert not any("Random weights" in note for note in report.notes)
    if data["machine"]["energy"] is None:
        assert any(note.startswith("No energy: ") for note in report.notes)
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 1)


@pytest.fixture()
def in_this_process(monkeypatch):
    """Spares the start of a process, whose import of torch takes longer than the test."""
    torch = pytest.importorskip("torch")
    from emotion_core.bench import bench as module

    threads = torch.get_num_threads()
    monkeypatch.setattr(module, "measure_apart", benchmark._speed)
    yield
    torch.set_num_threads(threads)


def test_networks_without_weights_get_the_same_ones_everywhere(folder, monkeypatch, in_this_process):
    from emotion_core.models.esr import PRESETS

    monkeypatch.setitem(PRESETS, "tiny_star", tiny_config(attention=True, in_channels=3))
    config = BenchConfig(
        (str(folder / "bare.onnx"), "tiny_star", "tiny_star"), (1,), ("eager", "onnx", "int8"), 2, 0, False, "cpu"
    )
    report = bench(config)
    assert [row.network for row in report.rows] == [config.models[0]] * 3 + ["tiny_star"] * 3
    for row in report.rows:
        assert row.memory_mb is None
        if row.backend == "onnx":
            assert row.difference < 1e-5
    assert f"Random weights, on which the speed does not depend: {config.models[0]}, tiny_star." in report.notes


def test_one_backend_alone_has_no_ratio(folder):
    report = bench(BenchConfig((str(folder / "tiny.safetensors"),), (1,), ("onnx",), 1, 0, memory=False, device="cpu"))
    (row,) = report.rows
    assert (row.backend, row.ratio, row.difference) == ("onnx", None, None)
    assert row.per_s == pytest.approx(row.median_per_s)


def test_a_network_that_fails_leaves_the_others(folder, monkeypatch):
    from emotion_core.bench import bench as module

    def fail(task, on_block=None):
        if task.threads == 2:
            raise EmotionError("the measuring process failed: killed by signal 9")
        return {"onnx": {"seconds": [0.25, 0.75], "joules": 1.5, "difference": None}, "int8": {"skipped": "no"}}

    monkeypatch.setattr(module, "measure_apart", fail)
    config = BenchConfig((str(folder / "tiny.onnx"),), (1, 2), ("onnx", "int8"), memory=False, device="cpu")
    report = bench(config)
    ((row),) = report.rows
    assert (row.threads, row.per_s, row.median_per_s, row.joules) == (1, 2.0, 2.0, 1.5)
    assert f"{config.models[0]}: 2 threads: the measuring process failed: killed by signal 9." in report.notes
    assert f"{config.models[0]}: 1 thread, int8: no." in report.notes
    assert not any(note.startswith("No energy") for note in report.notes)
    monkeypatch.setattr(module, "measure_apart", lambda task, on_block: fail(Task("speed", {}, 2)))
    with pytest.raises(EmotionError, match=r"nothing could be measured.*signal 9"):
        bench(config)


def test_backends_take_turns():
    calls: list[str] = []
    blocks: list[str] = []
    work = {name: lambda name=name: calls.append(name) for name in "ab"}
    seconds = measure(work, runs=12, warmup=2, on_block=blocks.append)
    # Warm-ups, then five blocks of 3, 3, 2, 2, 2 with one call before each that does not count.
    assert "".join(calls) == "aabb" + "aaaabbbb" * 2 + "aaabbb" * 3
    assert "".join(blocks) == "ab" * 5
    assert {name: len(values) for name, values in seconds.items()} == {"a": 12, "b": 12}
    assert [len(values) for values in measure(work, runs=2, warmup=0).values()] == [2, 2]


def test_rates_of_the_mean_and_of_the_median():
    assert rates([0.1, 0.1, 0.4]) == (pytest.approx(5.0), pytest.approx(10.0))


def test_energy_is_of_one_evaluation(monkeypatch):
    class Meter:
        joules = 0.0

        def __enter__(self) -> Meter:
            return self

        def __exit__(self, *_: object) -> None:
            self.joules = 0.5 * len(calls)

    calls: list[int] = []
    monkeypatch.setattr(benchmark, "_ENERGY_S", 0.0)
    assert benchmark._joules(Meter(), lambda: calls.append(1), 7) == 0.5
    assert len(calls) == 7


def test_memory_counts_what_a_network_takes(monkeypatch, folder):
    task = Task("memory", {"onnx": str(folder / "bare.onnx")}, warmup=1)
    assert measure_apart(task)["memory_mb"] > 0
    call, held = benchmark._call, []
    monkeypatch.setattr(benchmark, "_call", lambda *args: held.append(np.ones(8_000_000)) or call(*args))
    assert 60 < benchmark._memory(task)["memory_mb"] < 200  # 64 MB more


def test_a_process_that_breaks_is_one_clear_error(folder, monkeypatch):
    files = {"onnx": str(folder / "bare.onnx")}
    with pytest.raises(EmotionError, match=r"the measuring process failed: .*Invoked with"):
        measure_apart(Task("speed", files, threads=(1, 2), runs=1, warmup=0))  # type: ignore[arg-type]
    with pytest.raises(EmotionError, match="no model file"):
        measure_apart(Task("speed", {"onnx": str(folder / "absent.onnx")}, runs=1, warmup=0))
    killed = folder / "killed"
    killed.write_text("#!/bin/sh\nkill -9 $$\n")
    killed.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(killed))
    with pytest.raises(EmotionError, match="killed by signal 9, perhaps for lack of memory"):
        measure_apart(Task("speed", files))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"models": ()}, "no model to measure"),
        ({"threads": (2, 0)}, "threads must be at least 1, got 0"),
        ({"backends": ("tensorrt",)}, "backends are tensorrt: expected some of eager, onnx"),
        ({"backends": ()}, "backends are none"),
        ({"runs": 0}, "runs must be at least 1"),
        ({"warmup": -1}, "warmup must be at least 0"),
        ({"device": "tpu"}, "device is 'tpu'"),
    ],
)
def test_bad_settings_are_one_clear_error(config, message):
    with pytest.raises(EmotionError, match=message):
        BenchConfig(**config)


def test_models_that_are_not_there(tmp_path, folder):
    pytest.importorskip("torch")
    for name, message in (
        ("nope", r"unknown model 'nope'.*esr_compact.*esr9"),
        (str(tmp_path / "absent.onnx"), "no model file"),
        (str(tmp_path / "absent.safetensors"), "no model file"),
    ):
        with pytest.raises(EmotionError, match=message):
            bench(BenchConfig((str(folder / "tiny.onnx"), name)))


def test_a_model_of_another_kind(folder, tmp_path):
    onnx = pytest.importorskip("onnx")
    network = onnx.load(str(folder / "bare.onnx"))
    for architecture, message in (({"type": "fusion"}, "unknown architecture 'fusion'"),
                                  ({"type": "esr", "branches": 0}, "branches must be at least 1")):  # fmt: skip
        card = replace(read_card(folder / "bare.onnx"), architecture=architecture)
        del network.metadata_props[:]
        entry = network.metadata_props.add()
        entry.key, entry.value = METADATA_KEY, card.to_json()
        onnx.save(network, str(tmp_path / "other.onnx"))
        with pytest.raises(EmotionError, match=message):
            bench(BenchConfig((str(tmp_path / "other.onnx"),)))


def test_backends_that_do_not_compute_here(monkeypatch):
    torch = pytest.importorskip("torch")
    import onnxruntime

    from emotion_core.bench.bench import _choose

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EmotionError, match="nothing to measure on the device 'cpu': No float16: not on this provider"):
        bench(BenchConfig(backends=("float16",)))
    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: both)
    device, backends, notes = _choose(BenchConfig())
    assert (device, backends) == ("cpu", ["eager", "onnx", "int8"])
    assert "Only one of PyTorch and ONNX Runtime has CUDA" in notes[0]
    assert _choose(BenchConfig(device="cuda"))[1] == ["onnx", "float16"]
    assert _choose(BenchConfig(backends=("int8",)))[:2] == ("cpu", ["int8"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    device, backends, notes = _choose(BenchConfig())
    assert (device, backends) == ("cuda", ["eager", "onnx", "float16"])
    assert notes == ["No int8: not on this provider, which computes it in float32."]
    assert _choose(BenchConfig(device="cpu"))[1] == ["eager", "onnx", "int8"]


def test_without_torch_it_says_what_to_install(monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EmotionError, match=r"torch, which is not installed: pip install 'emotion-perception\[train\]'"):
        bench(BenchConfig())


def test_random_weights_are_no_zeros_which_a_file_would_share(tmp_path):
    pytest.importorskip("torch")
    onnx = pytest.importorskip("onnx")
    from emotion_core.bench.networks import BenchNetwork, prepare_network
    from emotion_core.models.registry import describe

    entry = {"type": "residual_masking", "image_size": 32, "width": 4}
    network = BenchNetwork("tiny", describe(entry, "tiny", tuple("abcdefg"), "none"))
    files, _ = prepare_network(network, ("onnx", "int8"), tmp_path)
    made = onnx.load(files["onnx"]).graph
    weights = {tensor.name for tensor in made.initializer}
    convolutions = [node for node in made.node if node.op_type == "Conv"]
    assert all(weights.issuperset(node.input[1:]) for node in convolutions)  # not those of another by way of Identity
    kinds = [tensor.data_type for tensor in onnx.load(files["int8"]).graph.initializer]
    assert kinds.count(onnx.TensorProto.INT8) >= len(convolutions) <= kinds.count(onnx.TensorProto.INT32)


def parse(*args: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add(parser)
    return parser.parse_args(list(map(str, args)))


def test_the_command_prints_json(folder, capsys, in_this_process):
    args = parse("--model", folder / "tiny.onnx", "--threads", 1, "--backends", "eager", "onnx", "--runs", 4,
                 "--warmup", 1, "--no-memory", "--device", "cpu", "--json", "--published")  # fmt: skip
    assert args.run(args) == 0
    captured = capsys.readouterr()
    data = json.loads(captured.out)
    eager, onnx = data["rows"]
    assert (eager["backend"], onnx["backend"]) == ("eager", "onnx")
    assert onnx["ratio"] == pytest.approx(onnx["per_s"] / eager["per_s"], rel=1e-3)
    assert data["published"]["esr_star15"]["RTX 2080 Ti 1/s"] == 20.57
    assert data["published"]["fer2013_test"]["resmasking_dropout1"] == 74.14
    lines = captured.err.splitlines()
    assert lines[0] == f"  0% {folder / 'tiny.onnx'}: building"
    assert lines[-1].endswith("tiny.onnx: 1 thread")


def test_the_command_finds_an_unknown_model_before_it_measures(capsys):
    pytest.importorskip("torch")
    args = parse("--model", "esr9", "nope")
    with pytest.raises(EmotionError, match=r"^unknown model 'nope'"):
        args.run(args)
    assert capsys.readouterr().out == ""


REPORT = BenchReport(
    {"cpu": "Some CPU", "cores": 2, "gpu": None, "torch": "2.9", "onnxruntime": "1.23", "provider": "CPU"},
    {"runs": 100, "warmup": 10, "blocks": 5, "included": "all"},
    (
        BenchRow("esr9", "eager", 1, 20.35, 12.345, 12.5, 1.0, 0.0, 402.6, 81.42, None),
        BenchRow("esr9", "onnx", 1, 20.35, 123.45, 125.6, 10.0, 1e-7, None, 81.5, None),
    ),
    ("A note.",),
)


def test_markdown_for_a_readme(monkeypatch, capsys):
    from emotion_core.bench import bench as module

    monkeypatch.setattr(module, "bench", lambda config, on_progress: REPORT)
    args = parse("--markdown", "--published")
    assert args.run(args) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Evaluations a second on Some CPU (2 cores), PyTorch 2.9, ONNX Runtime 1.23, CPU."
    start = lines.index("| network | params M | threads | backend | 1/s | 1/s, median | ratio | memory MB | file MB |")
    assert lines[start + 1] == "| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: |"
    assert lines[start + 2] == "| esr9 | 20.35 | 1 | eager | 12.35 | 12.50 | 1.00 | 403 | 81.4 |"
    assert lines[start + 3] == "| esr9 | 20.35 | 1 | onnx | 123 | 126 | 10.00 |  | 81.5 |"
    assert "- A note." in lines
    assert "| esr_star9 | 89.15 | 20.83 | 406.83 | 5.24 | 6.6 | 12.45 | 33.4 | 3.38 | 1.41 |" in lines


def test_published_accuracies_stand_beside_the_speeds_measured_here(monkeypatch, capsys):
    from emotion_core.bench import bench as module

    rows = (REPORT.rows[0], *(replace(row, network="resnet34") for row in REPORT.rows))
    monkeypatch.setattr(module, "bench", lambda config, on_progress: replace(REPORT, rows=rows))
    args = parse("--markdown", "--published")
    assert args.run(args) == 0
    lines = capsys.readouterr().out.splitlines()
    start = lines.index("| network | accuracy % | 1/s here |")
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[start + 2 :]]
    assert len(table) == 11 and ["ResNet34", "72.42", "123"] in table
    assert ["ResMaskingNet", "74.14", "not measured here"] in table


def test_a_table_for_people(monkeypatch, capsys):
    from emotion_core.bench import bench as module

    monkeypatch.setattr(module, "bench", lambda config, on_progress: REPORT)
    args = parse()
    assert (args.model, args.threads, args.runs) == (BenchConfig().models, (), 100)
    assert args.run(args) == 0
    out = capsys.readouterr().out
    cells = [line.split() for line in out.splitlines()]
    assert ["esr9", "20.35", "1", "eager", "12.35", "12.50", "1.00", "403", "81.4"] in cells
    assert "A note." in out
    assert "OpenDR" not in out


def test_energy_gets_a_column_where_the_machine_tells():
    from dataclasses import replace

    head, rows = command._table([replace(row, joules=0.6712) for row in REPORT.rows])
    assert head[-1] == "J"
    assert [row[-1] for row in rows] == ["0.671", "0.671"]
