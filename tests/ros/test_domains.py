"""The domain of a run of its own."""

from __future__ import annotations

from emotion_ros.process.domains import DOMAINS, free_domain


def test_a_domain_that_left_traces_is_not_taken(tmp_path):
    """Ports of the domains 1 to 99, as nodes that were killed leave them behind: the last one is free."""
    for domain in range(1, 100):
        (tmp_path / f"fastrtps_port{7400 + 250 * domain + 11}").touch()
    (tmp_path / "sem.fastrtps_port7411_mutex").touch()  # of domain 0
    (tmp_path / "fastrtps_0a1b2c").touch()
    assert {free_domain(tmp_path) for _ in range(20)} == {100}
    (tmp_path / "sem.fastrtps_port32400_mutex").touch()
    assert free_domain(tmp_path) in DOMAINS  # none is: one of them all the same


def test_without_shared_memory_any_domain_will_do(tmp_path):
    assert free_domain(tmp_path / "absent") in DOMAINS
