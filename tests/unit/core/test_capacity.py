# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core.capacity import capacity
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Connection, Datastore, Power
from ansible_collections.ferragosto.dr.tests.unit.core import facts
from ansible_collections.ferragosto.dr.tests.unit.core.facts import GIB

REPLICA = facts.replica()
FELLOW = facts.replica(id="r-2", name="dc01_replica", memory_bytes=4 * GIB)
TWO = [facts.production(), facts.neighbour(1)]
ALREADY_ON = facts.replica(power=Power.ON)


def host(**changes):
    """Build esx2: 32 GiB, of which 10 % are kept as reserve in these tests and 12 GiB are used."""
    return facts.host("esx2", **{"memory_bytes": 32 * GIB, "memory_used_bytes": 12 * GIB, **changes})


def store(name="ds2", *, free_gib=500.0, is_accessible=True):
    free = int(free_gib * GIB)
    return Datastore(name=name, free_bytes=free, capacity_bytes=1000 * GIB, is_accessible=is_accessible)


@pytest.mark.parametrize(
    ("on", "datastore", "starting", "running", "is_enough", "words"),
    [
        (host(), None, [REPLICA], [], True, "esx2 can start 1 VM: 8.0 GiB of memory needed, 16.8 GiB free"),
        (host(), None, [REPLICA, FELLOW], [], True, "2 VMs: 12.0 GiB of memory needed"),
        (host(), None, [], [], True, "0 VMs: 0.0 GiB"),
        (host(), None, [REPLICA] + [FELLOW] * 3, [], False, "4 VMs need 20.0 GiB, esx2 has 16.8 GiB free"),
        (host(memory_used_bytes=30 * GIB), None, [REPLICA], [], False, "1 VM needs 8.0 GiB, esx2 has 0.0 GiB free"),
        # a VM that runs there already needs no new memory
        (host(memory_used_bytes=28 * GIB), None, [ALREADY_ON], [ALREADY_ON], True, "0 VMs"),
        (host(memory_used_bytes=0), None, [REPLICA], [facts.neighbour(1, host="esx2")] * 3, False, "4.8 GiB free"),
        (host(memory_used_bytes=0), None, [REPLICA], [facts.neighbour(1, host="esx1")] * 3, True, "28.8 GiB free"),
        (host(memory_bytes=0, memory_used_bytes=0), None, [REPLICA], [], False, "does not tell its memory"),
        (host(connection=Connection.DISCONNECTED), None, [REPLICA], [], False, "esx2 is disconnected"),
        (host(is_in_maintenance=True), None, [REPLICA], [], False, "esx2 is in maintenance mode"),
        (host(cpu_count=2), None, [REPLICA], [], False, "gestionale_replica has 4 virtual CPUs, esx2 has 2"),
        (host(cpu_count=0), None, [REPLICA], [], True, "can start"),
        (host(cpu_count=4), None, [REPLICA], [facts.neighbour(1, host="esx2", cpu_count=4)] * 8, True, "36 virtual CPUs on 4"),
        # started where it lies: room for the writes into its snapshot
        (host(datastores=(store(free_gib=0.5),)), None, [REPLICA], [], False, "ds2 has 0.5 GiB free, too little"),
        (host(datastores=(store(is_accessible=False),)), None, [REPLICA], [], False, "ds2 is not accessible from esx2"),
        (host(datastores=()), None, [REPLICA], [], True, "can start"),
        # moved: room for its disks
        (host(), "ds2", [facts.production()], [], True, "can start"),
        (host(datastores=(store(free_gib=100.5),)), "ds2", TWO[:1], [], False, "needs 100.0 GiB, datastore ds2 has 100.5"),
        (host(datastores=(store(free_gib=101),)), "ds2", [facts.production()], [], True, "can start"),
        (host(datastores=(store(free_gib=150),)), "ds2", TWO, [], False, "2 VMs need 200.0 GiB"),
        (host(datastores=(store(free_gib=0),)), "ds2", [REPLICA], [], True, "can start"),  # lies there already
        (host(datastores=(store(is_accessible=False),)), "ds2", [facts.production()], [], False, "not accessible"),
        (host(), "ds9", [facts.production()], [], False, "esx2 has no datastore ds9 (it has ds2)"),
    ],
)  # fmt: skip
def test_a_host_carries_what_fits_into_memory_cpu_and_disk(on, datastore, starting, running, is_enough, words) -> None:
    found = capacity(on, datastore, starting, running, reserve_share=0.1)
    assert found.is_enough is is_enough, found.reason
    assert words in found.reason


def test_the_numbers_are_those_of_memory() -> None:
    found = capacity(host(), None, [REPLICA, FELLOW], reserve_share=0.0)
    assert (found.needed_bytes, found.free_bytes) == (12 * GIB, 20 * GIB)


def test_all_that_is_missing_is_said_at_once() -> None:
    bare = host(is_in_maintenance=True, cpu_count=1, memory_used_bytes=32 * GIB, datastores=(store(free_gib=0),))
    reason = capacity(bare, None, [REPLICA]).reason
    for word in ("maintenance", "CPU", "memory", "disk"):
        assert word in reason
