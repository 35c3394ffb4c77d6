# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Power acts, restart attempts that happen once, the job's state, and moves that are refused."""

from __future__ import annotations

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import Refused, StepFailed
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.migrate import migrate
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.power import power_off, power_on, reset

from .conftest import RUN, VMID, A, B, Bench, Fault, Killed, Memory, Story, acted, run, twice


def _resets(bench: Bench) -> int:
    return len([s for s in bench.sent if s.path.endswith(("/status/reset", "/status/start"))])


def test_a_guest_is_asked_before_the_plug_is_pulled(bench: Bench) -> None:
    assert acted(run(power_off(bench.at_b, bench.vm(), guest_within_s=20), bench.clock)) == ["power off"]
    assert [s.path.rpartition("/")[2] for s in bench.sent] == ["shutdown"]
    assert not bench.datacenter.machines.running


def test_a_guest_that_does_not_obey_is_stopped(bench: Bench) -> None:
    bench.world.hang(bench.copy(VMID).id)
    bench.wait(1)
    run(power_off(bench.at_b, bench.vm(), guest_within_s=5), bench.clock)
    assert not bench.datacenter.machines.running


def test_a_shutdown_that_a_killed_controller_began_does_not_hinder_the_stop(bench: Bench) -> None:
    bench.world.hang(bench.copy(VMID).id)
    bench.guest.config["agent"] = "0"
    bench.at_b.send("POST", f"/nodes/{A}/qemu/{VMID}/status/shutdown", timeout=600)
    run(power_off(bench.at_b, bench.vm(), guest_within_s=0, within_s=20), bench.clock)
    assert not bench.datacenter.machines.running


def test_a_shutdown_that_was_asked_for_is_waited_for_and_not_asked_again(bench: Bench) -> None:
    bench.at_b.send("POST", f"/nodes/{A}/qemu/{VMID}/status/shutdown", timeout=600)
    run(power_off(bench.at_b, bench.vm(), guest_within_s=20), bench.clock)
    assert [s.path.rpartition("/")[2] for s in bench.sent] == ["shutdown"]


def test_power_on_and_off_are_found_done(bench: Bench) -> None:
    assert acted(run(power_on(bench.at_b, bench.vm()), bench.clock)) == []
    assert bench.sent == []


@pytest.mark.parametrize("kind", ["drop", "after"])
def test_a_lost_answer_to_a_start_is_settled_by_reading(bench: Bench, kind: str) -> None:
    run(power_off(bench.at_b, bench.vm(), guest_within_s=0), bench.clock)
    bench.forget_calls()
    bench.at_b.faults.append(Fault(lambda method, where: where.endswith("start"), kind))
    run(power_on(bench.at_b, bench.vm()), bench.clock)
    assert (A, VMID) in bench.datacenter.machines.running
    assert len(bench.sent) == 1


def test_a_start_without_memory_or_disk_says_the_platforms_words(bench: Bench) -> None:
    run(power_off(bench.at_b, bench.vm(), guest_within_s=0), bench.clock)
    bench.datacenter.trouble.failing_tasks["qmstart"] = "start failed: bridge 'vmbr7' does not exist"
    with pytest.raises(StepFailed) as told:
        run(power_on(bench.at_b, bench.vm()), bench.clock)
    assert "vmbr7" in told.value.why


def test_each_restart_attempt_happens_once(bench: Bench) -> None:
    for number in (1, 2):
        assert acted(run(reset(bench.at_b, bench.vm(), attempt=number, run_id=RUN), bench.clock)) == [
            f"restart attempt {number}"
        ]
        assert acted(run(reset(bench.at_b, bench.vm(), attempt=number, run_id=RUN), bench.clock)) == []
    assert acted(run(reset(bench.at_b, bench.vm(), attempt=1, run_id=RUN), bench.clock)) == []
    assert _resets(bench) == 2


@pytest.mark.parametrize("kind", ["drop", "after"])
def test_a_reset_whose_answer_is_lost_is_not_made_again(bench: Bench, kind: str) -> None:
    bench.at_b.faults.append(Fault(lambda method, where: where.endswith("reset"), kind))
    run(reset(bench.at_b, bench.vm(), attempt=1, run_id=RUN), bench.clock)
    assert _resets(bench) == 1


def test_a_controller_killed_right_after_the_reset_knows_it_again(bench: Bench) -> None:
    log = Memory()
    with pytest.raises(Killed):
        run(reset(bench.at_b, bench.vm(), attempt=1, run_id=RUN), bench.clock, log, kill_after=1)
    assert acted(run(reset(bench.at_b, bench.vm(), attempt=1, run_id=RUN), bench.clock, log)) == []
    assert _resets(bench) == 1


def test_a_vm_that_is_off_is_started_as_an_attempt(bench: Bench) -> None:
    run(power_off(bench.at_b, bench.vm(), guest_within_s=0), bench.clock)
    bench.forget_calls()
    run(reset(bench.at_b, bench.vm(), attempt=1, run_id=RUN), bench.clock)
    assert (A, VMID) in bench.datacenter.machines.running
    assert acted(run(reset(bench.at_b, bench.vm(), attempt=1, run_id=RUN), bench.clock)) == []


# --- replication -----------------------------------------------------------------------------------------------------


def test_a_disabled_job_comes_back_as_it_was(bench: Bench) -> None:
    story, before = Story(bench, "clone"), bench.shape()
    assert story.replicate("disabled") == ["disable the replication job"]
    assert story.replicate("disabled") == []
    assert story.replicate("enabled") == ["put the replication job back"]
    assert bench.shape() == before
    assert twice(bench) == []


def test_synced_means_a_run_that_began_after_it_was_asked(bench: Bench) -> None:
    story, before = Story(bench, "clone"), bench.last_sync_s()
    bench.wait(5)
    assert story.replicate("synced") == ["see the replica in sync"]
    assert bench.last_sync_s() > before


def test_a_run_that_fails_is_told_in_its_own_words(bench: Bench) -> None:
    story = Story(bench, "clone")
    bench.datacenter.replication.failing[f"{VMID}-0"] = (
        "No common base snapshot on volume(s) tank:vm-100-disk-0\nPlease"
    )
    with pytest.raises(StepFailed) as told:
        story.replicate("synced")
    assert "No common base snapshot" in told.value.why
    assert "on the target node" in told.value.next


def test_a_fenced_originals_job_is_not_enabled(bench: Bench) -> None:
    story = Story(bench, "clone")
    story.corrupt()
    story.fence()
    for state in ("enabled", "synced"):
        with pytest.raises(Refused, match="overwrite the replica"):
            story.replicate(state)
    bench.no_harm()


def test_nothing_promoted_is_nothing_to_reverse(bench: Bench) -> None:
    with pytest.raises(Refused, match="no copy of it is promoted"):
        Story(bench, "clone").replicate("reversed")


# --- moves -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def promoted(bench: Bench) -> Story:
    story = Story(bench, "clone")
    story.corrupt()
    story.fence()
    story.promote()
    bench.forget_calls()
    return story


def _replica(story: Story) -> Vm:
    replica = story.bench.pair().replica
    assert replica is not None
    return replica


def test_a_dead_home_is_refused(promoted: Story) -> None:
    replica = _replica(promoted)
    promoted.bench.datacenter.fail_node(A)
    with pytest.raises(Refused, match="not in the cluster"):
        next(iter(migrate(promoted.bench.ends, replica, to="production", mode="live", run_id=RUN)))
    assert promoted.bench.sent == []


def test_a_home_without_room_beside_the_original_is_refused(promoted: Story) -> None:
    promoted.bench.datacenter.shelf.storages["tank"].total_bytes[A] = 100 * 2**30
    with pytest.raises(Refused, match="GiB free"):
        promoted.migrate("production")
    assert promoted.bench.sent == []


def test_a_locked_vm_does_not_move(promoted: Story) -> None:
    clone = promoted.bench.promoted()
    assert clone is not None
    clone.config["lock"] = "backup"
    with pytest.raises(Refused, match="backup"):
        promoted.migrate("production")
    assert promoted.bench.sent == []


@pytest.mark.parametrize("kind", ["drop", "after"])
def test_a_lost_answer_to_a_move_is_settled_by_reading(promoted: Story, kind: str) -> None:
    bench = promoted.bench
    bench.at_b.faults.append(Fault(lambda method, where: where.endswith("/migrate"), kind))
    promoted.migrate("production")
    assert len([s for s in bench.sent if s.path.endswith("/migrate")]) == 1
    clone = bench.promoted()
    assert clone is not None
    assert clone.node == A
    bench.no_harm()


def test_a_move_that_aborts_is_not_called_a_success(promoted: Story) -> None:
    bench = promoted.bench
    bench.datacenter.trouble.failing_tasks["qmigrate"] = "migration aborted"
    with pytest.raises(StepFailed, match="migration aborted"):
        promoted.migrate("production")
    clone = bench.promoted()
    assert clone is not None
    assert clone.node == B
    del bench.datacenter.trouble.failing_tasks["qmigrate"]
    promoted.migrate("production")
    assert clone.node == A


def test_a_vm_in_ha_has_moved_when_its_node_is_another(promoted: Story) -> None:
    bench = promoted.bench
    clone = bench.promoted()
    assert clone is not None
    bench.at_b.send("POST", "/cluster/ha/resources", sid=f"vm:{clone.vmid}", state="started")
    bench.wait(2)
    promoted.migrate("production")
    assert clone.node == A
    assert (A, clone.vmid) in bench.datacenter.machines.running
    bench.no_harm()
