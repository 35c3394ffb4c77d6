# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Promotion in place: the configuration moves, nothing is copied, and the original's disks stay until a person gives them up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import Refused, StepFailed
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Former
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.fence import fence, unfence

from .conftest import RUN, VMID, A, B, Bench, Killed, Memory, Story, acted, moment, run, stamps_of, twice

IN_PLACE = [
    "disable the replication job",
    "move its configuration to the replica",
    "stamp as being promoted",
    "power on",
    "see the guest alive",
    "connect the NICs",
    "stamp as failed over",
]

LOSS = frozenset({"original_overwritten"})


@pytest.fixture
def story(bench: Bench) -> Story:
    story = Story(bench, "in_place")
    story.corrupt()
    return story


def test_the_vm_itself_serves_from_its_replicas_disks(story: Story, ssh_by_model: list[str]) -> None:
    bench = story.bench
    was = dict(bench.guest.config)
    story.fence()
    evidence = bench.world.copy(f"luca/{VMID}").data
    assert story.promote() == IN_PLACE
    assert bench.guest.node == B
    assert bench.guest.config["net0"] == was["net0"]
    assert bench.guest.config["net1"] == was["net1"]
    assert stamps_of(bench.guest) == {
        stamps.RUN: RUN,
        stamps.PHASE: "failover",
        stamps.MODE: "in_place",
        stamps.POINT: story.point.id,
    }
    serving = bench.world.serving_copy(bench.guest.vm)
    assert serving is not None
    assert serving.host == B
    assert not serving.data.is_corrupted
    bench.wait(3600)
    assert bench.world.copy(f"luca/{VMID}").data == evidence
    assert ssh_by_model == [f"mv /etc/pve/nodes/{A}/qemu-server/{VMID}.conf /etc/pve/nodes/{B}/qemu-server/"]
    bench.no_harm()


def test_a_promotion_run_again_changes_nothing(story: Story, ssh_by_model: list[str]) -> None:
    story.fence()
    story.promote()
    story.bench.forget_calls()
    assert story.promote() == []
    assert story.bench.sent == []
    assert len(ssh_by_model) == 1


@pytest.mark.parametrize("kill", ["kill_after", "kill_before"])
@pytest.mark.parametrize("number", range(1, len(IN_PLACE) + 1))
def test_a_controller_killed_at_any_act_is_continued_and_undone(
    story: Story, kill: str, number: int, ssh_by_model: list[str]
) -> None:
    bench = story.bench
    before = _shape(bench)
    story.fence()
    bench.forget_calls()
    after, before_act = moment(kill, number)
    with pytest.raises(Killed):
        story.promote(kill_after=after, kill_before=before_act)
    story.promote()
    assert twice(bench) == []
    assert len(ssh_by_model) == 1
    assert stamps_of(bench.guest)[stamps.PHASE] == "failover"
    bench.no_harm()
    story.undo()
    assert _shape(bench) == before
    bench.no_harm()


@pytest.mark.parametrize("number", range(1, len(IN_PLACE) + 1))
def test_a_promotion_cut_off_anywhere_can_be_undone(story: Story, number: int) -> None:
    bench = story.bench
    before = _shape(bench)
    story.fence()
    with pytest.raises(Killed):
        story.promote(kill_after=number)
    story.undo()
    assert _shape(bench) == before
    bench.no_harm()


@pytest.mark.parametrize("number", range(1, 6))
def test_an_undo_cut_off_anywhere_is_continued(story: Story, number: int) -> None:
    bench = story.bench
    before = _shape(bench)
    story.fence()
    story.promote()
    with pytest.raises(Killed):
        story.undo(kill_after=number)
    story.undo()
    assert _shape(bench) == before
    bench.no_harm()


def _shape(bench: Bench) -> dict[str, object]:
    """As the bench's, but for what Proxmox VE itself rewrites in a job whose guest it saw elsewhere."""
    found = bench.shape()
    jobs = {key: (disabled, comment) for key, (_t, _s, disabled, comment, _sch) in found["jobs"].items()}
    return {**found, "jobs": jobs}


def test_a_dead_nodes_vm_is_promoted_without_quorum_and_what_it_was_is_kept(
    bench: Bench, ssh_by_model: list[str]
) -> None:
    story = Story(bench, "in_place")
    pair = bench.pair()
    was = dict(bench.guest.config)
    bench.datacenter.fail_node(A)
    assert story.promote(pair=pair)[:2] == ["get a quorum", "disable the replication job"]
    assert ssh_by_model[0] == "pvecm expected 1"
    assert bench.guest.node == B
    assert bench.guest.config["onboot"] == "0"
    bench.datacenter.return_node(A)
    bench.wait(5)
    assert list(bench.datacenter.machines.running) == [(B, VMID)]
    bench.no_harm()
    story.undo()
    assert bench.guest.config == was
    assert bench.guest.node == A
    bench.no_harm()


def test_a_quorum_is_not_forced_while_the_other_node_is_seen(bench: Bench) -> None:
    story = Story(bench, "in_place")
    story.fence()
    pair = bench.pair()
    bench.datacenter.votes.lost.add(B)
    with pytest.raises(StepFailed, match="though it sees"):
        story.promote(pair=pair)


def test_a_configuration_is_not_moved_from_under_a_running_vm(story: Story, ssh_by_model: list[str]) -> None:
    with pytest.raises(StepFailed, match="it is on"):
        story.promote()  # nobody fenced it
    assert ssh_by_model == []


def test_without_ssh_it_is_refused(story: Story) -> None:
    bench = story.bench
    spec = replace(bench.spec, replica=replace(bench.spec.replica, ssh_user=None))
    bench.ends = replace(bench.ends, spec=spec)
    story.fence()
    with pytest.raises(Refused, match="no SSH"):
        story.promote()


def test_it_goes_home_only_after_the_loss_of_the_originals_disks_was_accepted(story: Story) -> None:
    bench = story.bench
    story.fence()
    story.promote()
    with pytest.raises(Refused, match="original's disks"):
        story.migrate("production")
    with pytest.raises(Refused, match="original_overwritten"):
        story.replicate("reversed")
    with pytest.raises(Refused, match="original_overwritten"):
        story.replicate("enabled")
    assert bench.world.copy(f"luca/{VMID}").data.is_corrupted  # the evidence is still there
    assert story.replicate("reversed", is_loss_accepted=True) == [
        "let the replication run the other way",
        "see the replica in sync",
    ]
    assert not bench.world.copy(f"luca/{VMID}").data.is_corrupted
    assert "migrate to pve1" in story.migrate("production")
    assert bench.guest.node == A
    assert (A, VMID) in bench.datacenter.machines.running
    bench.no_harm(accepted=LOSS)


def test_home_again_and_committed_it_is_a_plain_protected_vm(story: Story) -> None:
    bench = story.bench
    before = bench.shape()
    story.fence()
    story.promote()
    story.replicate("reversed", is_loss_accepted=True)
    story.migrate("production")
    story.commit()
    assert bench.shape() == before
    bench.forget_calls()
    assert story.commit() == []
    assert bench.sent == []
    bench.no_harm(accepted=LOSS)


def test_an_undo_after_the_original_was_overwritten_is_refused(story: Story) -> None:
    story.fence()
    story.promote()
    story.replicate("reversed", is_loss_accepted=True)
    with pytest.raises(Refused, match="overwritten"):
        story.undo()


def test_a_leftover_is_fenced_by_seeing_that_it_has_no_configuration(story: Story) -> None:
    bench = story.bench
    story.fence()
    story.promote()
    production = bench.pair().production
    assert production is not None
    assert not production.handle
    bench.forget_calls()
    assert acted(run(fence(bench.at_b, production, run_id=RUN), bench.clock)) == []
    assert bench.sent == []


def test_an_unfence_finds_the_vm_though_the_reading_showed_only_its_disks(story: Story) -> None:
    bench = story.bench
    was = dict(bench.guest.config)
    story.fence()
    story.promote()
    pair = bench.pair()
    assert pair.production is not None
    from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.settle import undo_promotion

    run(undo_promotion(bench.ends, pair, Former(), run_id=RUN), bench.clock, Memory())
    run(unfence(bench.at_b, pair.production, story.fenced.former()), bench.clock)
    assert bench.guest.config == was
