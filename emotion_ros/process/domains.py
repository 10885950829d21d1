"""A ROS domain that nobody uses, for runs that are to hear nobody else."""

from __future__ import annotations

import random
import re
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")
DOMAINS = range(1, 101)
_BASE, _PER_DOMAIN = 7400, 250  # RTPS 2.5, section 9.6.2.4: the ports of a domain


def free_domain(folder: Path = SHARED_MEMORY) -> int:
    """A domain for ROS_DOMAIN_ID, of those whose ports have left no trace in shared memory.

    There lie the ports of nodes that run, and of such that were killed: Fast DDS would take a port that a killed
    process had locked for one in use, and nothing that is sent there arrives.
    """
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError:
        names = []
    ports = (int(match[1]) for name in names if (match := re.search(r"fastrtps_port(\d+)", name)))
    used = {(port - _BASE) // _PER_DOMAIN for port in ports}
    return random.choice([domain for domain in DOMAINS if domain not in used] or list(DOMAINS))
