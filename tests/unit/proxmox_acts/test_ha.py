# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Promotion by HA: only of a dead node's VM, only with a quorum, onto the replica node alone."""

from __future__ import annotations

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import Refused
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.promote import ways

from .conftest import RUN, VMID, A, B, Bench, Killed, Story, stamps_of, twice

HA = [
    "disable the replication job",
    "pin it to the replica node",
    "hand it to HA",
    "power on",
    "stamp as being promoted",
    "take it out of HA's hands",
    "see the guest alive",
    "stamp as failed over",
]


@pytest.fixture
def third_vote(ssh_by_model: list[str]) -> Bench:
    return Bench(has_qdevice=True)


def test_ha_brings_a_dead_nodes_vm_up_and_is_left_without_a_part_in_it(third_vote: Bench) -> None:
    bench = third_vote
    story = Story(bench, "ha")
    pair = bench.pair()
    bench.datacenter.fail_node(A)
    assert {w.name: (w.is_possible, w.is_opt_in) for w in ways(bench.ends, pair, story.point)}["ha"] == (True, True)
    done = story.promote(pair=pair)
    assert [step for step in done if step != "see the guest alive"] == [s for s in HA if s != "see the guest alive"]
    assert bench.guest.node == B
    assert stamps_of(bench.guest)[stamps.MODE] == "ha"
    assert bench.datacenter.ha.services == {}
    assert bench.datacenter.ha.rules == {}
    bench.datacenter.return_node(A)
    bench.wait(30)
    assert list(bench.datacenter.machines.running) == [(B, VMID)]
    bench.no_harm()


@pytest.mark.parametrize("number", range(1, 8))
def test_a_controller_killed_at_any_act_is_continued(third_vote: Bench, number: int) -> None:
    bench = third_vote
    story = Story(bench, "ha")
    pair = bench.pair()
    bench.datacenter.fail_node(A)
    with pytest.raises(Killed):
        story.promote(pair=pair, kill_after=number)
    story.promote(pair=pair)
    assert twice(bench) == []
    assert stamps_of(bench.guest)[stamps.PHASE] == "failover"
    bench.no_harm()


def test_a_node_that_lives_keeps_its_vm(third_vote: Bench) -> None:
    story = Story(third_vote, "ha")
    with pytest.raises(Refused, match="still sees"):
        story.promote()
    assert third_vote.sent == []


def test_without_a_third_vote_ha_does_nothing_and_is_not_asked(bench: Bench) -> None:
    story = Story(bench, "ha")
    pair = bench.pair()
    bench.datacenter.fail_node(A)
    with pytest.raises(Refused, match="quorum"):
        story.promote(pair=pair)
    assert bench.sent == []


def test_its_undo_moves_the_configuration_back(third_vote: Bench) -> None:
    bench = third_vote
    story = Story(bench, "ha")
    pair = bench.pair()
    was = dict(bench.guest.config)
    bench.datacenter.fail_node(A)
    story.promote(pair=pair)
    bench.datacenter.return_node(A)
    bench.wait(1)
    story.undo()
    assert bench.guest.node == A
    assert bench.guest.config == was
    bench.no_harm()


def test_nobody_else_is_named_in_the_rule(third_vote: Bench) -> None:
    bench = third_vote
    story = Story(bench, "ha")
    pair = bench.pair()
    bench.datacenter.fail_node(A)
    with pytest.raises(Killed):
        story.promote(pair=pair, kill_after=2)
    (rule,) = bench.datacenter.ha.rules.values()
    assert (rule["nodes"], rule["resources"]) == (B, f"vm:{VMID}")
    assert RUN
