# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A replica is promoted once, at the chosen point, isolated until its guest lives; and undone without a trace."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from pyVmomi import vim

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import NotReplicated, Refused, StepFailed
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Pair, Power, RecoveryPoint
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Former
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Step, predict_steps
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.promote import promote
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.settle import commit, undo_promotion

from .conftest import HOST_A, Clock, Killed, Memory, Protected, acted, run

PROMOTION = [
    "stamp as being promoted",
    "protect the present state",
    "go to the recovery point",
    "stamp with the recovery point",
    "isolate before power on",
    "power on",
    "connect the NICs",
    "stamp as failed over",
]
UNDO = [
    "power off",
    "go back to the protective point",
    "stamp as taken back",
    "put the NICs back",
    "remove our protective point",
    "take the stamps off",
]


def promotion(
    protected: Protected,
    number: int = -1,
    *,
    run_id: str = "run-1",
    guest_within_s: float = 10,
    pair: Pair | None = None,
) -> Iterator[Step]:
    return promote(
        protected.sim.client,
        pair or protected.pair(),
        protected.point(number),
        run_id=run_id,
        guest_within_s=guest_within_s,
        clock=Clock(),
    )


def plugs(protected: Protected) -> list[tuple[bool, bool]]:
    """The NICs as (connected, starts connected), in the order of their keys, which is that of their making."""
    nics = protected.sim.vm(protected.replica).nics
    return [(n.is_connected, n.starts_connected) for n in sorted(nics, key=lambda n: int(n.key))]


def undo(protected: Protected, former: Former | None = None, *, run_id: str = "run-1") -> list[Step]:
    return undo_promotion(protected.sim.client, protected.pair(), former or Former(), run_id=run_id)


@pytest.mark.parametrize("number", [-1, 0, 1])
def test_a_promoted_replica_serves_from_the_chosen_point(protected: Protected, number: int) -> None:
    sim, handle = protected.sim, protected.replica
    assert acted(run(promotion(protected, number))) == PROMOTION
    seen = sim.vm(handle)
    assert seen.power is Power.ON
    assert seen.current_point == protected.points[number]
    # the first NIC started connected before, the second never did
    assert plugs(protected) == [(True, True), (False, False)]
    assert seen.stamps[stamps.RUN] == "run-1"
    assert seen.stamps[stamps.PHASE] == "failover"
    assert seen.stamps[stamps.POINT] == protected.points[number]
    assert [p.name for p in seen.points][-1] == "dr-promote-run-1"
    assert {p.id for p in seen.vendor_points()} == set(protected.points)


def test_a_promotion_run_again_changes_nothing(protected: Protected) -> None:
    run(promotion(protected))
    before = protected.sim.shape(protected.replica)
    assert acted(run(promotion(protected))) == []
    assert protected.sim.shape(protected.replica) == before


def test_a_promotion_that_is_past_never_touches_the_serving_copy_again(protected: Protected) -> None:
    """Somebody unplugged it, moved it to another point in mind: promote has nothing to say any more."""
    run(promotion(protected))
    protected.sim.power(protected.replica, is_on=False)
    assert acted(run(promotion(protected, 0))) == []


def test_check_mode_names_every_call_and_makes_none(protected: Protected) -> None:
    sim, handle = protected.sim, protected.replica
    before = sim.shape(handle)
    sim.guest_crashed(handle)
    predicted = predict_steps(promotion(protected, 0))
    assert all(step.changed and step.calls for step in predicted)
    calls = [call for step in predicted for call in step.calls]
    assert f"CreateSnapshot_Task({handle}, name='dr-promote-run-1', memory=False, quiesce=False)" in calls
    assert f"RevertToSnapshot_Task({protected.points[0]}, suppressPowerOn=True)" in calls
    assert f"PowerOnVM_Task({handle})" in calls
    assert sim.shape(handle) == before


def test_it_is_never_on_with_a_nic_before_its_guest_was_seen_alive(protected: Protected) -> None:
    sim, handle = protected.sim, protected.replica
    sim.guest_crashed(handle)
    with pytest.raises(StepFailed) as failed:
        run(promotion(protected, guest_within_s=1))
    assert "timed_out" in failed.value.why
    seen = sim.vm(handle)
    assert seen.power is Power.ON
    assert not any(n.is_connected for n in seen.nics)


def test_it_connects_as_soon_as_the_guest_lives(protected: Protected) -> None:
    sim, handle = protected.sim, protected.replica
    sim.guest_crashed(handle)

    def awake() -> None:
        hands = sim.new_client()
        time.sleep(1.5)
        raw = hands.object(vim.VirtualMachine, handle)
        for key, value in (
            ("guest.toolsRunningStatus", "guestToolsRunning"),
            ("guestHeartbeatStatus", vim.ManagedEntity.Status("green")),
        ):
            option = vim.option.OptionValue(key=f"SET.{key}", value=value)
            hands.call("wake", raw.ReconfigVM_Task, vim.vm.ConfigSpec(extraConfig=[option]))
        hands.close()

    waking = threading.Thread(target=awake)
    waking.start()
    done = run(promotion(protected, guest_within_s=30))
    waking.join()
    assert "see the guest alive" in acted(done)
    assert plugs(protected) == [(True, True), (False, False)]


def crash_at_boot(protected: Protected) -> None:
    """Promote a point whose guest dies: the crash is newer than the boot."""
    sim, handle = protected.sim, protected.replica
    sim.guest_crashed(handle)
    for step in promotion(protected, -1):
        if step.name == "see the guest alive":
            break
        if not step.look().is_done:
            step.act()
    sim.post_crash(handle)


def test_a_crashed_guest_fails_and_names_an_older_point_as_the_next_move(protected: Protected) -> None:
    crash_at_boot(protected)
    with pytest.raises(StepFailed) as failed:
        run(promotion(protected, guest_within_s=10))
    assert "crashed" in failed.value.why
    assert "older recovery point" in failed.value.next
    assert not any(n.is_connected for n in protected.sim.vm(protected.replica).nics)


def test_the_same_run_may_come_again_with_an_older_point(protected: Protected) -> None:
    sim, handle = protected.sim, protected.replica
    before = sim.shape(handle)
    crash_at_boot(protected)
    sim.guest_lives(handle)
    done = run(promotion(protected, 0))
    assert acted(done)[:2] == ["power off", "go to the recovery point"]
    seen = sim.vm(handle)
    assert seen.current_point == seen.stamps[stamps.POINT] == protected.points[0]
    assert [p.name for p in seen.points].count("dr-promote-run-1") == 1
    run(undo(protected))
    assert sim.shape(handle) == before


def test_another_point_is_refused_once_the_copy_may_have_served(protected: Protected) -> None:
    log = Memory()
    with pytest.raises(Killed):
        run(promotion(protected), log, kill_after=7)  # NICs connected, not yet stamped as failed over
    with pytest.raises(Refused, match="may have served"):
        run(promotion(protected, 0))
    assert protected.sim.vm(protected.replica).power is Power.ON


# --- killed anywhere --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("forgets", [False, True], ids=["vcsim's revert", "vSphere's revert"])
@pytest.mark.parametrize("kill_after", range(1, len(PROMOTION) + 1))
def test_a_promotion_killed_after_any_act_ends_the_same(protected: Protected, kill_after: int, forgets: bool) -> None:
    sim, handle, log = protected.sim, protected.replica, Memory()
    before = sim.shape(handle)
    with pytest.raises(Killed):
        run(reverting(protected, promotion(protected, 1), forgets=forgets), log, kill_after=kill_after)
    run(reverting(protected, promotion(protected, 1), forgets=forgets), log)
    seen = sim.vm(handle)
    assert (seen.power, seen.current_point, seen.stamps[stamps.PHASE]) == (Power.ON, protected.points[1], "failover")
    assert plugs(protected) == [(True, True), (False, False)]
    assert len(seen.points) == 4
    run(reverting(protected, undo(protected), forgets=forgets))
    assert sim.shape(handle) == before


def reverting(protected: Protected, steps: Iterator[Step] | list[Step], *, forgets: bool) -> Iterator[Step]:
    """With ``forgets``, let a revert bring back what real vSphere brings back: the extraConfig and NICs of the snapshot."""
    for step in steps:
        if forgets and step.name in ("go to the recovery point", "go back to the protective point"):
            yield replace(step, act=lambda step=step: vsphere_revert(protected, step))  # type: ignore[misc]
        else:
            yield step


def vsphere_revert(protected: Protected, step: Step) -> None:
    step.act()
    sim, handle = protected.sim, protected.replica
    current = sim.vm(handle).current_point
    assert current is not None
    snapshot = sim.client.object(vim.vm.Snapshot, current)
    then = sim.client.retrieve([snapshot], ["config"])[current]["config"]
    shown = sim.client.retrieve([sim.raw(handle)], ["config.extraConfig"])[handle]
    now = {o.key: str(o.value) for o in shown.get("config.extraConfig") or ()}
    was = {o.key: str(o.value) for o in then.extraConfig or ()}
    gone = [vim.option.OptionValue(key=key, value="") for key in now if key not in was]
    back = [vim.option.OptionValue(key=key, value=value) for key, value in was.items()]
    edits = [
        vim.vm.device.VirtualDeviceSpec(operation="edit", device=device)
        for device in then.hardware.device
        if isinstance(device, vim.vm.device.VirtualEthernetCard)
    ]
    raw = sim.raw(handle)
    sim.task(lambda: raw.ReconfigVM_Task(vim.vm.ConfigSpec(extraConfig=gone + back, deviceChange=edits)))


@pytest.mark.parametrize("forgets", [False, True], ids=["vcsim's revert", "vSphere's revert"])
@pytest.mark.parametrize("reached", range(1, len(PROMOTION) + 1))
def test_undo_returns_the_exact_former_state_from_anywhere(protected: Protected, reached: int, forgets: bool) -> None:
    sim, handle, log = protected.sim, protected.replica, Memory()
    before = sim.shape(handle)
    with pytest.raises(Killed):
        run(reverting(protected, promotion(protected, 0), forgets=forgets), log, kill_after=reached)
    run(reverting(protected, undo(protected, log.former()), forgets=forgets))
    assert sim.shape(handle) == before
    assert acted(run(undo(protected, log.former()))) == []


@pytest.mark.parametrize("forgets", [False, True], ids=["vcsim's revert", "vSphere's revert"])
@pytest.mark.parametrize("kill_after", range(1, len(UNDO) + 1))
def test_an_undo_killed_after_any_act_ends_the_same(protected: Protected, kill_after: int, forgets: bool) -> None:
    sim, handle, log = protected.sim, protected.replica, Memory()
    before = sim.shape(handle)
    run(reverting(protected, promotion(protected, 0), forgets=forgets), log)
    with contextlib.suppress(Killed):
        run(reverting(protected, undo(protected, log.former()), forgets=forgets), kill_after=kill_after)
    run(reverting(protected, undo(protected, log.former()), forgets=forgets))
    assert sim.shape(handle) == before


def test_undo_names_its_calls_and_removes_only_our_own_point(protected: Protected) -> None:
    run(promotion(protected, 0))
    ours = protected.sim.vm(protected.replica).points[-1].id
    predicted = predict_steps(undo(protected))
    assert acted(predicted) == UNDO[:3] + UNDO[3:]
    calls = [call for step in predicted for call in step.calls]
    assert [c for c in calls if "Snapshot" in c] == [
        f"RevertToSnapshot_Task({ours}, suppressPowerOn=True)",
        f"RemoveSnapshot_Task({ours}, removeChildren=False)",
    ]


def test_undo_leaves_a_copy_that_this_run_never_touched(protected: Protected) -> None:
    protected.sim.power(protected.replica, is_on=True)
    assert acted(run(undo(protected))) == []
    assert protected.sim.vm(protected.replica).power is Power.ON


def test_undo_refuses_where_the_protective_point_is_gone(protected: Protected) -> None:
    run(promotion(protected))
    ours = protected.sim.vm(protected.replica).points[-1].id
    snapshot = protected.sim.client.object(vim.vm.Snapshot, ours)
    protected.sim.task(lambda: snapshot.RemoveSnapshot_Task(False))
    with pytest.raises(Refused, match="dr-promote-run-1 is gone"):
        undo(protected)


def test_undo_refuses_a_copy_that_lives_on_the_production_host(protected: Protected) -> None:
    run(promotion(protected))
    sim, raw = protected.sim, protected.sim.raw(protected.replica)
    host = sim.host(HOST_A)
    sim.task(lambda: raw.RelocateVM_Task(vim.vm.RelocateSpec(host=host)))
    with pytest.raises(Refused, match="production host"):
        undo(protected)


# --- commit -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kill_after", [None, 1, 2])
def test_commit_removes_our_point_and_nothing_else(protected: Protected, kill_after: int | None) -> None:
    sim, handle = protected.sim, protected.replica
    run(promotion(protected, 0))
    with contextlib.suppress(Killed):
        run(commit(sim.client, protected.pair(), run_id="run-1"), kill_after=kill_after)
    run(commit(sim.client, protected.pair(), run_id="run-1"))
    seen = sim.vm(handle)
    assert {p.id for p in seen.points} == set(protected.points)
    assert seen.stamps[stamps.PHASE] == "committed"
    assert seen.power is Power.ON
    assert seen.current_point == protected.points[0]
    assert acted(run(commit(sim.client, protected.pair(), run_id="run-1"))) == []
    with pytest.raises(Refused, match="committed"):
        undo(protected)


def test_commit_of_another_run_is_refused(protected: Protected) -> None:
    run(promotion(protected))
    with pytest.raises(Refused, match="run-1"):
        commit(protected.sim.client, protected.pair(), run_id="run-2")


# --- refused before anything ------------------------------------------------------------------------------------------


def test_a_replica_that_somebody_powered_on_is_refused(protected: Protected) -> None:
    protected.sim.power(protected.replica, is_on=True)
    before = protected.sim.shape(protected.replica)
    with pytest.raises(Refused, match="no run of ours powered it on"):
        run(promotion(protected))
    assert protected.sim.shape(protected.replica) == before


def test_a_replica_held_by_another_run_is_refused(protected: Protected) -> None:
    with pytest.raises(Killed):
        run(promotion(protected), kill_after=1)
    with pytest.raises(Refused, match="run run-1 holds it"):
        run(promotion(protected, run_id="run-2"))


def test_a_replica_whose_job_runs_is_refused(protected: Protected) -> None:
    protected.sim.endless_task(protected.replica, "VirtualMachine.powerOff")
    with pytest.raises(Refused, match="a task works on the replica"):
        run(promotion(protected))


def test_a_replica_with_a_question_is_refused(protected: Protected) -> None:
    question = vim.vm.QuestionInfo(
        id="1",
        text="msg.uuid.altered",
        choice=vim.option.ChoiceOption(
            choiceInfo=[vim.ElementDescription(key="1", label="moved", summary="moved")], defaultIndex=0
        ),
    )
    protected.sim.extra(protected.replica, runtime__question=question)
    with pytest.raises(Refused, match=r"msg\.uuid\.altered"):
        run(promotion(protected))


def test_a_point_that_is_gone_is_refused(protected: Protected) -> None:
    gone = RecoveryPoint(id="snapshot-999999", name="last year", created_at_s=0.0)
    with pytest.raises(NotReplicated, match="last year"):
        run(promote(protected.sim.client, protected.pair(), gone, run_id="run-1", guest_within_s=1, clock=Clock()))


def test_a_replica_whose_nics_are_all_unplugged_for_safety_is_connected_whole(protected: Protected) -> None:
    sim = protected.sim
    handle = sim.make_vm("careful_replica", host="DC0_C0_H1", nics=(False,))
    point = sim.snapshot(handle, "Restore Point")
    sim.guest_lives(handle)
    careful = Protected(sim=sim, production=protected.production, replica=handle, points=(point,))
    before = sim.shape(handle)
    run(promotion(careful))
    assert [(n.is_connected, n.starts_connected) for n in sim.vm(handle).nics] == [(True, True)]
    run(undo(careful))
    assert sim.shape(handle) == before
