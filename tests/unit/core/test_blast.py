# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core.blast import of_trouble
from ansible_collections.ferragosto.dr.plugins.module_utils.core.findings import Blast
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Connection, Guest, Heartbeat, Power
from ansible_collections.ferragosto.dr.tests.unit.core import facts

RED = Guest(heartbeat=Heartbeat.RED)
CRASHED = facts.production(guest=RED)
OFF = facts.production(power=Power.OFF)
FINE = [facts.neighbour(n) for n in (1, 2, 3)]
RESTING = facts.replica(host="esx1")
ON_DS9 = [facts.neighbour(n, datastores=("ds9",)) for n in (7, 8)]


def bad(number: int, **changes):
    return facts.neighbour(number, guest=RED, **changes)


@pytest.mark.parametrize(
    ("vm", "neighbours", "radius", "words"),
    [
        (CRASHED, FINE, Blast.VM, "the 3 other VMs on esx1 are fine"),
        (CRASHED, [CRASHED, *FINE], Blast.VM, "the 3 other VMs on esx1 are fine"),
        (CRASHED, FINE[:1], Blast.VM, "the other VM (other1) on esx1 is fine"),
        (CRASHED, [FINE[0], bad(2)], Blast.VM, "1 of the 2 other VMs on esx1 are fine"),
        (CRASHED, [], Blast.VM, "no other running VM on esx1 to compare with; the host itself answers"),
        (CRASHED, [RESTING], Blast.VM, "no other running VM"),
        (CRASHED, [facts.neighbour(1, power=Power.OFF)], Blast.VM, "no other running VM"),
        (CRASHED, [bad(1), bad(2)], Blast.HOST, "the 2 other VMs on esx1 are in trouble too"),
        (CRASHED, [bad(1), RESTING], Blast.HOST, "the other VM (other1) on esx1 is in trouble too"),
        (CRASHED, [facts.neighbour(1, question="?")], Blast.HOST, "in trouble too"),
        (CRASHED, [facts.neighbour(1, connection=Connection.DISCONNECTED)], Blast.HOST, "in trouble too"),
        (OFF, FINE, Blast.VM, "are fine"),
        (OFF, [facts.neighbour(1, power=Power.OFF)], Blast.HOST, "the other VM (other1) on esx1 is off too"),
        (OFF, [RESTING], Blast.VM, "no other running VM"),
        (OFF, [facts.neighbour(1, power=Power.OFF), FINE[1]], Blast.VM, "1 of the 2 other VMs"),
        (CRASHED, [bad(1), *ON_DS9], Blast.STORAGE, "the VMs of other datastores on esx1 are fine"),
        (CRASHED, [bad(1), bad(2, host="esx2")], Blast.STORAGE, "datastore ds1 are in trouble too, on more than one host"),
        (CRASHED, [bad(1), facts.neighbour(2, host="esx2")], Blast.HOST, "on esx1 is in trouble too"),
        (CRASHED, [FINE[0], *ON_DS9], Blast.VM, "the 3 other VMs on esx1 are fine"),
        (CRASHED, ON_DS9, Blast.VM, "the 2 other VMs on esx1 are fine"),
        (CRASHED, [facts.neighbour(1, host="esx2", datastores=("ds2",))], Blast.VM, "no other running VM on esx1"),
    ],
)  # fmt: skip
def test_the_neighbours_tell_how_wide_the_trouble_is(vm, neighbours, radius, words) -> None:
    found, reason = of_trouble(vm, neighbours)
    assert found is radius, reason
    assert words in reason
