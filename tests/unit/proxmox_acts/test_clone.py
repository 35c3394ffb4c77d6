# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Promotion by a full clone: by API alone, original and replica untouched, and one clone however often the controller dies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput, Refused, StepFailed
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Former
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Step
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.promote import promote, ways
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.settle import undo_promotion

from .conftest import RUN, VMID, A, B, Bench, Fault, Killed, Story, moment, run, stamps_of, twice

CLONE = [
    "disable the replication job",
    "make a shell over the replica's disks",
    "copy the replica's disks",
    "make it the original's stand-in",
    "remove the shell",
    "power on",
    "see the guest alive",
    "connect the NICs",
    "stamp as failed over",
]

OF_THE_CLONE = frozenset({"disks_destroyed"})  # its own replica goes with it


@pytest.fixture
def story(bench: Bench) -> Story:
    story = Story(bench, "clone")
    story.corrupt()
    return story


def test_the_replica_serves_with_the_originals_face_and_the_original_stays(story: Story) -> None:
    bench = story.bench
    was = dict(bench.guest.config)
    story.fence()
    fenced = dict(bench.guest.config)
    good = bench.world.copy(f"replica:{VMID}").data
    assert story.promote() == CLONE
    clone = bench.promoted()
    assert clone is not None
    assert clone.node == B
    for key in ("name", "memory", "cores", "ostype", "bios", "machine", "scsihw", "agent", "smbios1", "net0", "net1"):
        assert clone.config[key] == was[key], key
    assert "onboot" not in clone.config
    assert "protection" not in clone.config
    assert clone.config["vmgenid"] != was["vmgenid"]
    shown = stamps_of(clone)
    assert shown == {
        stamps.RUN: RUN,
        stamps.PHASE: "failover",
        stamps.MODE: "clone",
        stamps.POINT: story.point.id,
    }
    assert bench.guest.config == fenced
    assert bench.world.copy(f"replica:{VMID}").data == good
    copy = bench.copy(clone.vmid)
    assert not copy.data.is_corrupted
    assert copy.data.generation >= good.generation
    assert bench.datacenter.replication.jobs[f"{VMID}-0"].is_disabled
    assert [g for g in bench.datacenter.guests.values() if g.vmid not in (VMID, clone.vmid)] == []
    bench.no_harm()


def test_no_run_of_the_job_comes_after_the_promotion_began(story: Story) -> None:
    story.fence()
    story.promote()
    before = story.bench.world.copy(f"replica:{VMID}").data
    story.bench.wait(3600)
    assert story.bench.world.copy(f"replica:{VMID}").data == before
    story.bench.no_harm()


def test_a_promotion_run_again_changes_nothing(story: Story) -> None:
    story.fence()
    story.promote()
    story.bench.forget_calls()
    assert story.promote() == []
    assert story.bench.sent == []


@pytest.mark.parametrize("kill", ["kill_after", "kill_before"])
@pytest.mark.parametrize("number", range(1, len(CLONE) + 1))
def test_a_controller_killed_at_any_act_is_continued_to_the_same_end(story: Story, kill: str, number: int) -> None:
    bench = story.bench
    before = bench.shape()
    story.fence()
    bench.forget_calls()
    after, before_act = moment(kill, number)
    with pytest.raises(Killed):
        story.promote(kill_after=after, kill_before=before_act)
    story.promote()
    assert twice(bench) == []
    clones = [g for g in bench.datacenter.guests.values() if g.vmid != VMID]
    assert len(clones) == 1
    assert stamps_of(clones[0])[stamps.PHASE] == "failover"
    bench.no_harm()
    story.undo()
    assert bench.shape() == before


@pytest.mark.parametrize("number", range(1, len(CLONE) + 1))
def test_a_promotion_cut_off_anywhere_can_be_undone(story: Story, number: int) -> None:
    bench = story.bench
    before = bench.shape()
    story.fence()
    with pytest.raises(Killed):
        story.promote(kill_after=number)
    story.undo()
    assert bench.shape() == before
    bench.no_harm()


@pytest.mark.parametrize("number", range(1, 5))
def test_an_undo_cut_off_anywhere_is_continued(story: Story, number: int) -> None:
    bench = story.bench
    before = bench.shape()
    story.fence()
    story.promote()
    try:
        story.undo(kill_after=number)
    except Killed:
        story.undo()
    assert bench.shape() == before
    bench.no_harm()


@pytest.mark.parametrize("kind", ["drop", "after", "before"])
@pytest.mark.parametrize(
    "path", ["/cluster/replication/100-0", "/nodes/pve2/qemu", "/clone", "/config", "DELETE", "/status/start"]
)
def test_whatever_befalls_a_call_no_second_clone_comes_of_it(story: Story, kind: str, path: str) -> None:
    bench = story.bench
    story.fence()
    bench.forget_calls()
    bench.at_b.faults.append(
        Fault(lambda method, where: method == path if path == "DELETE" else where.endswith(path), kind)
    )
    try:
        story.promote()
    except StepFailed:
        assert kind == "before"
        story.promote()
    if kind != "before":
        assert twice(bench) == []
    clones = [g for g in bench.datacenter.guests.values() if g.vmid != VMID]
    assert len(clones) == 1
    assert stamps_of(clones[0])[stamps.PHASE] == "failover"
    bench.no_harm()


def test_a_controller_that_dies_while_the_disks_are_copied_waits_for_the_same_copy(story: Story) -> None:
    bench = story.bench
    bench.datacenter.trouble.stuck_tasks.add("qmclone")
    story.fence()
    pair = bench.pair()
    steps = promote(bench.ends, pair, story.point, way="clone", run_id=RUN, guest_within_s=30, clock=bench.clock)
    real = bench.at_b.await_task

    def die(*_args: object, **_words: object) -> None:
        raise Killed

    bench.at_b.await_task = die  # type: ignore[assignment, method-assign]
    with pytest.raises(Killed):
        run(_surviving_creation(steps, bench, real), bench.clock, story.log)
    bench.at_b.await_task = real  # type: ignore[method-assign]
    bench.forget_calls()
    bench.datacenter.trouble.stuck_tasks.clear()
    story.promote()
    assert not [s for s in bench.sent if s.path.endswith("/clone")]
    assert len(bench.datacenter.guests) == 2
    bench.no_harm()


def _surviving_creation(steps: Iterable[Step], bench: Bench, real: object) -> Iterator[Step]:
    for step in steps:
        if step.name != "copy the replica's disks":

            def act(step: Step = step) -> None:
                mine, bench.at_b.await_task = bench.at_b.await_task, real  # type: ignore[method-assign, assignment]
                try:
                    step.act()
                finally:
                    bench.at_b.await_task = mine  # type: ignore[method-assign]

            yield replace(step, act=act)
        else:
            yield step


def test_a_replica_that_moved_on_since_the_choice_is_refused(story: Story) -> None:
    bench = story.bench
    pair = bench.pair()
    story.fence()
    bench.wait(1000)  # the job ran once more meanwhile
    with pytest.raises(Refused, match="replicated since the point was chosen"):
        story.promote(pair=pair)
    assert len(bench.datacenter.guests) == 1
    story.undo()


def test_a_run_that_is_going_on_is_waited_for(story: Story) -> None:
    bench = story.bench
    bench.at_a.send("POST", f"/nodes/{A}/replication/{VMID}-0/schedule_now")
    deadline = bench.clock.now_s() + 120
    while not bench.datacenter.replication.runs and bench.clock.now_s() < deadline:
        bench.wait(0.05)
    assert bench.datacenter.replication.runs
    story.fence()
    with pytest.raises(Refused):
        story.promote()  # what it brought is another point
    assert not bench.datacenter.replication.runs


def test_another_runs_copy_is_not_touched(story: Story) -> None:
    story.fence()
    story.promote()
    pair = story.bench.pair()
    with pytest.raises(Refused, match="holds it"):
        next(
            iter(
                promote(
                    story.bench.ends,
                    pair,
                    story.point,
                    way="clone",
                    run_id="20260816T000000Z-ffffff",
                    guest_within_s=1,
                    clock=story.bench.clock,
                )
            )
        )


def test_the_id_that_a_person_wants_is_given(story: Story) -> None:
    bench = story.bench
    story.fence()
    steps = promote(
        bench.ends,
        bench.pair(),
        story.point,
        way="clone",
        run_id=RUN,
        guest_within_s=30,
        clock=bench.clock,
        promoted_id="7100",
    )
    run(steps, bench.clock)
    assert 7100 in bench.datacenter.guests


@pytest.mark.parametrize("wanted", ["100", "99", "x1"])
def test_an_id_that_cannot_be_given_is_refused_before_anything_is_made(story: Story, wanted: str) -> None:
    bench = story.bench
    story.fence()
    steps = promote(
        bench.ends,
        bench.pair(),
        story.point,
        way="clone",
        run_id=RUN,
        guest_within_s=30,
        clock=bench.clock,
        promoted_id=wanted,
    )
    with pytest.raises(BadInput, match="dr_promoted_id"):
        run(steps, bench.clock)
    assert len(bench.datacenter.guests) == 1


def test_ways_tell_what_is_possible_and_what_it_costs(story: Story) -> None:
    found = {way.name: way for way in ways(story.bench.ends, story.bench.pair(), story.point)}
    assert list(found) == ["clone", "in_place", "ha"]
    assert found["clone"].is_possible
    assert found["clone"].copied_bytes == 96 * 2**30
    assert found["in_place"].is_possible
    assert found["in_place"].copied_bytes == 0
    assert not found["ha"].is_possible
    assert "lives" in found["ha"].reason
    assert story.bench.sent == []


def test_without_room_a_clone_is_not_possible(story: Story) -> None:
    storage = story.bench.datacenter.shelf.storages["tank"]
    storage.total_bytes[B] = 100 * 2**30
    found = {way.name: way for way in ways(story.bench.ends, story.bench.pair(), story.point)}
    assert not found["clone"].is_possible
    assert "GiB free" in found["clone"].reason


def test_without_quorum_a_clone_is_not_possible_but_in_place_is(bench: Bench) -> None:
    story = Story(bench, "clone")
    pair = bench.pair()
    bench.datacenter.fail_node(A)
    found = {way.name: way for way in ways(bench.ends, pair, story.point)}
    assert not found["clone"].is_possible
    assert "quorum" in found["clone"].reason
    assert found["in_place"].is_possible
    assert not found["ha"].is_possible
    assert "quorum" in found["ha"].reason


def test_a_dead_nodes_vm_is_cloned_by_what_the_journal_remembers() -> None:
    bench = Bench(has_qdevice=True)
    story = Story(bench, "clone")
    pair = bench.pair()
    assert pair.production is not None
    assert pair.production.remembered["config"]
    bench.datacenter.fail_node(A)
    assert story.promote(pair=pair) == CLONE
    clone = bench.promoted()
    assert clone is not None
    assert clone.config["net0"].startswith("virtio=BC:24:11:0A:0B:0C")
    bench.no_harm()


def test_what_serves_is_not_stopped_for_an_original_on_a_dead_node() -> None:
    bench = Bench(has_qdevice=True)
    story = Story(bench, "clone")
    pair = bench.pair()
    bench.datacenter.fail_node(A)
    story.promote(pair=pair)
    with pytest.raises(Refused, match="not in the cluster"):
        next(iter(undo_promotion(bench.ends, pair, Former(), run_id=RUN)))


def test_a_copy_that_does_not_come_up_can_be_taken_back_though_the_original_is_dead() -> None:
    bench = Bench(has_qdevice=True)
    story = Story(bench, "clone")
    pair = bench.pair()
    bench.datacenter.fail_node(A)
    with pytest.raises(Killed):
        story.promote(pair=pair, kill_after=6)
    run(undo_promotion(bench.ends, pair, Former(), run_id=RUN), bench.clock)
    assert list(bench.datacenter.guests) == [VMID]
    assert not bench.datacenter.replication.jobs[f"{VMID}-0"].is_disabled


def test_a_commit_keeps_everything_and_lets_it_start_with_its_node(story: Story) -> None:
    bench = story.bench
    story.fence()
    story.promote()
    story.commit()
    clone = bench.promoted()
    assert clone is not None
    assert stamps_of(clone)[stamps.PHASE] == "committed"
    assert clone.config["onboot"] == "1"
    assert bench.guest.config["onboot"] == "0"
    with pytest.raises(Refused, match="committed"):
        story.undo()


@pytest.mark.parametrize("mode", ["live", "cold"])
def test_the_clone_goes_home_with_its_disks_and_the_original_stays_fenced(story: Story, mode: str) -> None:
    bench = story.bench
    story.fence()
    story.promote()
    assert "migrate to pve1" in story.migrate("production", mode)
    clone = bench.promoted()
    assert clone is not None
    assert clone.node == A
    assert stamps_of(clone)[stamps.PHASE] == "failback"
    assert (A, clone.vmid) in bench.datacenter.machines.running
    assert bench.guest.config["onboot"] == "0"
    bench.no_harm()
    bench.forget_calls()
    assert story.migrate("production", mode) == []
    assert bench.sent == []


@pytest.mark.parametrize("number", range(1, 4))
def test_a_move_cut_off_anywhere_is_continued(story: Story, number: int) -> None:
    bench = story.bench
    story.fence()
    story.promote()
    bench.forget_calls()
    try:
        story.migrate("production", "cold", kill_after=number)
    except Killed:
        story.migrate("production", "cold")
    clone = bench.promoted()
    assert clone is not None
    assert clone.node == A
    assert (A, clone.vmid) in bench.datacenter.machines.running
    assert twice(bench) == []
    bench.no_harm()


def test_a_clone_at_home_gets_a_replica_again_on_the_old_schedule(story: Story) -> None:
    bench = story.bench
    story.fence()
    story.promote()
    story.migrate("production")
    clone = bench.promoted()
    assert clone is not None
    assert story.replicate("reversed") == ["replicate it to the other node", "see the replica in sync"]
    job = bench.datacenter.replication.jobs[f"{clone.vmid}-0"]
    assert (job.target, job.schedule) == (B, "*/15")
    assert (B, clone.config["scsi0"].partition(",")[0]) in bench.datacenter.shelf.volumes
    bench.forget_calls()
    assert story.replicate("reversed") == []
    assert bench.sent == []


def test_a_clone_at_home_is_undone_where_it_is(story: Story) -> None:
    bench = story.bench
    before = bench.shape()
    story.fence()
    story.promote()
    story.migrate("production")
    story.replicate("reversed")
    bench.forget_calls()
    story.undo()
    assert bench.shape() == before
    assert not [s for s in bench.sent if s.path.endswith("/migrate")]
    bench.no_harm(accepted=OF_THE_CLONE)


def test_an_undo_also_ends_the_clones_own_replication(story: Story) -> None:
    bench = story.bench
    before = bench.shape()
    story.fence()
    story.promote()
    story.migrate("production")
    story.replicate("reversed")
    story.migrate("replica")
    story.undo()
    assert bench.shape() == before
    bench.no_harm(accepted=OF_THE_CLONE)
