"""Energy meters over made-up /sys trees."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest

from emotion_core.bench.energy import EnergyMeter

NEVER_S = 1e6


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def tree(root: Path, files: dict[str, object]) -> None:
    for name, value in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{value}\n")


def zone(folder: str, name: str, energy_uj: int, range_uj: int = 262_143_328_850) -> dict[str, object]:
    base = f"sys/class/powercap/{folder}"
    return {f"{base}/name": name, f"{base}/energy_uj": energy_uj, f"{base}/max_energy_range_uj": range_uj}


def hwmon(rail: int, name: str, millivolt: int, milliampere: int, chip: str = "1-0040") -> dict[str, object]:
    base = f"sys/bus/i2c/drivers/ina3221/{chip}/hwmon/hwmon3"
    return {
        f"{base}/in{rail}_label": name,
        f"{base}/in{rail}_input": millivolt,
        f"{base}/curr{rail}_input": milliampere,
    }


def iio(rail: int, name: str, milliwatt: int, chip: str = "0-0041") -> dict[str, object]:
    base = f"sys/bus/i2c/drivers/ina3221x/{chip}/iio:device0"
    return {f"{base}/rail_name_{rail}": name, f"{base}/in_power{rail}_input": milliwatt}


def found(root: Path, clock: Clock | None = None) -> EnergyMeter:
    meter = EnergyMeter.find(root, NEVER_S, clock)
    assert meter is not None
    return meter


def test_rapl_adds_packages_and_memory_once(tmp_path):
    files = {
        **zone("intel-rapl:0", "package-0", 1_000_000),
        **zone("intel-rapl:0:0", "core", 500_000),
        **zone("intel-rapl:0:1", "dram", 200_000),
        **zone("intel-rapl:1", "package-1", 0),
        **zone("intel-rapl:2", "psys", 9_000_000),
        **zone("intel-rapl-mmio:0", "package-0", 1_000_000),
    }
    tree(tmp_path, files)
    meter = found(tmp_path)
    assert (meter.kind, meter.parts) == ("RAPL", ("package-0", "dram", "package-1"))
    assert math.isnan(meter.joules)
    with meter:
        for path in tmp_path.glob("sys/class/powercap/*/energy_uj"):
            path.write_text(str(int(path.read_text()) + 1_500_000))
    assert meter.joules == pytest.approx(3 * 1.5)
    with meter:  # starts from zero again
        pass
    assert meter.joules == 0.0
    assert EnergyMeter.why_not(tmp_path) == ""


def test_rapl_counters_start_again_after_their_range(tmp_path):
    tree(tmp_path, zone("intel-rapl:0", "package-0", 9_000_000, range_uj=10_000_000))
    meter = found(tmp_path)
    meter.start()
    tree(tmp_path, zone("intel-rapl:0", "package-0", 3_000_000, range_uj=10_000_000))
    assert meter.stop() == pytest.approx(4.0)


def test_rapl_is_sampled_often_enough_for_several_ranges(tmp_path):
    energy = tmp_path / "sys/class/powercap/intel-rapl:0/energy_uj"
    tree(tmp_path, zone("intel-rapl:0", "package-0", 0, range_uj=10_000_000))
    meter = found(tmp_path)
    meter.start()
    for value in (8_000_000, 6_000_000, 4_000_000):  # 8 J each, twice over the range
        energy.write_text(str(value))
        meter._advance()
    assert meter.stop() == pytest.approx(24.0)


def test_a_jetson_reports_the_rail_of_the_whole_board(tmp_path):
    tree(tmp_path, {**hwmon(1, "VDD_IN", 5000, 1200), **hwmon(2, "VDD_CPU_GPU_CV", 5000, 400)})
    tree(tmp_path, {"sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3/in7_label": "sum of shunt voltages"})
    clock = Clock()
    meter = found(tmp_path, clock)
    assert (meter.kind, meter.parts) == ("INA3221", ("VDD_IN",))
    meter.start()
    clock.now_s += 2.0
    assert meter.stop() == pytest.approx(2 * 5.0 * 1.2)


def test_power_is_integrated_by_trapezoids(tmp_path):
    tree(tmp_path, hwmon(1, "VDD_IN", 5000, 1000))
    clock = Clock()
    meter = found(tmp_path, clock)
    meter.start()
    tree(tmp_path, hwmon(1, "VDD_IN", 5000, 3000))
    clock.now_s += 1.0
    meter._advance()  # from 5 to 15 W: 10 J
    clock.now_s += 2.0  # 15 W: 30 J
    assert meter.stop() == pytest.approx(40.0)


def test_without_a_rail_of_the_board_all_are_added(tmp_path):
    # AGX Xavier: two chips, an unconnected and a switched-off rail.
    tree(tmp_path, {**hwmon(1, "GPU", 10000, 100), **hwmon(2, "CPU", 10000, 200), **hwmon(3, "NC", 10000, 7)})
    tree(tmp_path, {**hwmon(1, "SYS5V", 5000, 400, "1-0041"), **hwmon(2, "CV", 5000, 1, "1-0041")})
    off = tmp_path / "sys/bus/i2c/drivers/ina3221/1-0041/hwmon/hwmon3/curr2_input"
    off.unlink()
    clock = Clock()
    meter = found(tmp_path, clock)
    assert meter.parts == ("GPU", "CPU", "SYS5V")
    meter.start()
    clock.now_s += 3.0
    assert meter.stop() == pytest.approx(3 * (1.0 + 2.0 + 2.0))


def test_the_older_driver_tells_milliwatts(tmp_path):
    tree(tmp_path, {**iio(0, "VDD_IN", 4500), **iio(1, "VDD_SYS_CPU", 900), **iio(0, "VDD_SYS_GPU", 300, "0-0040")})
    clock = Clock()
    meter = found(tmp_path, clock)
    assert meter.parts == ("VDD_IN",)
    meter.start()
    clock.now_s += 2.0
    assert meter.stop() == pytest.approx(9.0)


def test_a_rail_that_cannot_be_read_for_a_while_keeps_its_power(tmp_path):
    tree(tmp_path, hwmon(1, "POM_5V_IN", 5000, 1000))
    clock = Clock()
    meter = found(tmp_path, clock)
    meter.start()
    (tmp_path / "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3/curr1_input").write_text("")
    clock.now_s += 1.0
    assert meter.stop() == pytest.approx(5.0)


def test_the_thread_samples_by_itself(tmp_path):
    tree(tmp_path, zone("intel-rapl:0", "package-0", 0))
    meter = EnergyMeter.find(tmp_path, interval_s=0.001)
    assert meter is not None
    seen = []
    advance = meter._advance
    meter._advance = lambda: (advance(), seen.append(1))
    meter.start()
    while len(seen) < 3:  # ends through the test's time limit when nothing samples
        time.sleep(0.001)
    meter.stop()
    assert meter.joules == 0.0


def test_most_machines_tell_nothing(tmp_path):
    assert EnergyMeter.find(tmp_path) is None
    assert EnergyMeter.why_not(tmp_path) == "this machine shows neither RAPL counters nor INA3221 power rails"


def test_counters_that_only_root_may_read(tmp_path, monkeypatch):
    tree(tmp_path, zone("intel-rapl:0", "package-0", 0))
    read = Path.read_text

    def refuse(path: Path, *args: object, **kwargs: object) -> str:
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_text", refuse)
    assert EnergyMeter.find(tmp_path) is None
    assert EnergyMeter.why_not(tmp_path).endswith("intel-rapl:0/energy_uj may only be read by root")


@pytest.mark.parametrize(
    ("file", "text"), [("energy_uj", "?"), ("max_energy_range_uj", "?"), ("max_energy_range_uj", 0)]
)
def test_counters_that_make_no_sense(tmp_path, file, text):
    tree(tmp_path, zone("intel-rapl:0", "package-0", 0))
    tree(tmp_path, {f"sys/class/powercap/intel-rapl:0/{file}": text})
    assert EnergyMeter.find(tmp_path) is None
    assert EnergyMeter.why_not(tmp_path) == "the RAPL counters cannot be read"


def test_start_and_stop_belong_together(tmp_path):
    tree(tmp_path, zone("intel-rapl:0", "package-0", 0))
    meter = found(tmp_path)
    with pytest.raises(RuntimeError, match="not running"):
        meter.stop()
    meter.start()
    with pytest.raises(RuntimeError, match="is running"):
        meter.start()
    assert meter.stop() == 0.0
