# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What users of Hyper-V Replica and of the tools on it complain about, as far as test_bad_input_hyperv.py does not claim it."""

from __future__ import annotations

from ansible_collections.ferragosto.dr.tests.e2e.hv_kit import AWAY, HOME, machine, made, reverse
from ansible_collections.ferragosto.dr.tests.e2e.kit import CONTRACT, Bench


def test_replica_that_serves_is_on_the_network(hv: Bench) -> None:
    """After a failover in Hyper-V Manager the VM runs and nobody reaches it: a replica's NICs are on no switch."""
    assert [nic.switch for nic in machine(hv, "solo", AWAY).adapters] == [""]
    hv.control.corrupt("solo", since_s=3600)
    hv.fail_over("solo")
    assert [nic.switch for nic in machine(hv, "solo", AWAY).adapters] == ["VM Network"]
    assert hv.card("solo")["decision"]["reason"].startswith("the service answers")


def test_source_that_returns_with_its_host_stays_down(hv: Bench) -> None:
    """Hyper-V fences nothing: a source that has AutomaticStartAction comes up beside its promoted replica."""
    hv.control.corrupt("solo", since_s=3600)
    hv.fail_over("solo")
    hv.control.host_lost(HOME)
    started = hv.control.host_back(HOME)
    assert "spare" in started, "autostart must be at work, or this proves nothing"
    assert "solo" not in started
    assert machine(hv, "solo", HOME).state == "Off"
    assert hv.serving("solo") == "replica"


def test_reversed_replication_is_left_alone_by_the_same_command(hv: Bench) -> None:
    """A module that takes another replica_server for a change removes the relationship and enables it anew."""
    hv.control.corrupt("solo", since_s=3600)
    hv.fail_over("solo")
    assert not reverse(hv, "solo").get("failed")
    calls = hv.changing_calls()
    stood = [(row["host"], row["mode"], row["state"]) for row in hv.control.relations() if row["vm"] == "solo"]
    again = reverse(hv, "solo")
    assert (again.get("failed"), again["changed"]) == (None, False), again
    assert made(hv, calls) == {}
    assert [(row["host"], row["mode"], row["state"]) for row in hv.control.relations() if row["vm"] == "solo"] == stood


def test_last_replication_and_its_points_are_told_before_a_failover(hv: Bench) -> None:
    """The age of what would be lost is in no one place: state, health and time are three, and health averages an hour."""
    told = hv.done("replica_info", vm="solo", contract=CONTRACT)["replica"]
    assert [point["is_within_rpo"] for point in told["recovery_points"]] == [True, False]
    notes = hv.card("solo")["notes"]
    assert any("last replicated 7 h ago by the clock of esx2" in note for note in notes), notes
