# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Power changes once, waits no longer than it must, and a restart can be told to have happened."""

from __future__ import annotations

import datetime
import threading
import time

import pytest
from pyVmomi import vim

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import ProviderFault, StepFailed
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Power
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import predict_steps
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere import power, reconfigure
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.acting import Copy
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.power import power_off, power_on, reset

from .conftest import HOST_A, HOST_B, Killed, Sim, acted, run


@pytest.fixture
def on(sim: Sim) -> str:
    handle = sim.make_vm("production", host=HOST_A)
    sim.power(handle, is_on=True)
    return handle


def boot_at_s(sim: Sim, handle: str) -> float | None:
    return sim.vm(handle).guest.boot_at_s


def test_power_on_and_off_are_done_once(sim: Sim, on: str) -> None:
    assert acted(run(power_on(sim.client, sim.vm(on)))) == []
    assert acted(run(power_off(sim.client, sim.vm(on), guest_within_s=0))) == ["power off"]
    assert acted(run(power_off(sim.client, sim.vm(on), guest_within_s=0))) == []
    assert acted(run(power_on(sim.client, sim.vm(on)))) == ["power on"]


def test_a_suspended_copy_is_not_off_and_is_powered_off(sim: Sim, on: str) -> None:
    sim.task(sim.raw(on).SuspendVM_Task)
    assert acted(run(power_off(sim.client, sim.vm(on), guest_within_s=60))) == ["power off"]
    assert sim.vm(on).power is Power.OFF


def test_the_guest_is_asked_first_where_its_tools_run(sim: Sim, on: str) -> None:
    sim.guest_lives(on)
    (done,) = run(power_off(sim.client, sim.vm(on), guest_within_s=20))
    assert done.calls == (f"ShutdownGuest({on}), waited for up to 20 s", f"PowerOffVM_Task({on})")
    kinds = [type(e).__name__ for e in events_of(sim, on)]
    assert "vim.event.VmGuestShutdownEvent" in kinds
    assert "vim.event.VmStoppingEvent" not in kinds  # which only PowerOffVM_Task posts


def events_of(sim: Sim, handle: str) -> list[vim.event.Event]:
    spec = vim.event.EventFilterSpec(
        entity=vim.event.EventFilterSpec.ByEntity(entity=sim.raw(handle), recursion="self")
    )
    manager = sim.client.content.eventManager
    assert manager is not None
    return list(sim.client.call("read", manager.QueryEvents, spec))


def test_a_question_fails_the_power_on_at_once_instead_of_waiting_for_ever(sim: Sim) -> None:
    """vcsim ends every task of its own at once, so the task here is one that nobody works on."""
    handle = sim.make_vm("asks", host=HOST_A)
    question = vim.vm.QuestionInfo(
        id="1",
        text="msg.uuid.altered: did you move this virtual machine, or did you copy it?",
        choice=vim.option.ChoiceOption(
            choiceInfo=[vim.ElementDescription(key="1", label="moved", summary="moved")], defaultIndex=0
        ),
    )
    sim.extra(handle, runtime__question=question)
    copy = Copy(sim.client, sim.vm(handle))
    endless = sim.endless_task(handle, "VirtualMachine.powerOn")
    started_s = time.monotonic()
    with pytest.raises(ProviderFault, match=r"msg\.uuid\.altered"):
        copy.run_unless_asked("power on", lambda: endless, within_s=30)
    assert time.monotonic() - started_s < 5


def test_a_look_waits_for_the_task_that_a_dead_controller_left_running(sim: Sim, on: str) -> None:
    left = sim.endless_task(on, "VirtualMachine.powerOff")
    (step,) = power_off(sim.client, sim.vm(on), guest_within_s=0)

    def end_it() -> None:
        time.sleep(0.5)
        hands = sim.new_client()
        task = hands.object(vim.Task, left._moId)
        # Not waited for by this session: two sessions' waits take each other's news in vcsim.
        hands.call("end", hands.object(vim.VirtualMachine, on).PowerOffVM_Task)
        time.sleep(0.2)
        hands.call("end", task.SetTaskState, "running", None, None)
        hands.call("end", task.SetTaskState, "success", None, None)
        hands.close()

    ending = threading.Thread(target=end_it)
    ending.start()
    sight = step.look()
    ending.join()
    assert sight.is_done


def test_a_look_does_not_wait_for_other_peoples_tasks(sim: Sim, on: str) -> None:
    sim.endless_task(on, "VirtualMachine.powerOn")
    (step,) = power_off(sim.client, sim.vm(on), guest_within_s=0)
    started_s = time.monotonic()
    assert not step.look().is_done
    assert time.monotonic() - started_s < 1


def test_a_restart_happens_once_per_attempt(sim: Sim, on: str) -> None:
    first = boot_at_s(sim, on)
    assert acted(run(reset(sim.client, sim.vm(on), attempt=1, run_id="run-1"))) == ["restart attempt 1"]
    second = boot_at_s(sim, on)
    assert second != first
    assert acted(run(reset(sim.client, sim.vm(on), attempt=1, run_id="run-1"))) == []
    assert boot_at_s(sim, on) == second
    assert acted(run(reset(sim.client, sim.vm(on), attempt=2, run_id="run-1"))) == ["restart attempt 2"]
    assert acted(run(reset(sim.client, sim.vm(on), attempt=1, run_id="run-1"))) == []
    assert acted(run(reset(sim.client, sim.vm(on), attempt=1, run_id="run-2"))) == ["restart attempt 1"]


def test_a_restart_whose_controller_died_is_not_repeated(sim: Sim, on: str) -> None:
    with pytest.raises(Killed):
        run(reset(sim.client, sim.vm(on), attempt=1, run_id="run-1"), kill_after=1)
    booted = boot_at_s(sim, on)
    (step,) = run(reset(sim.client, sim.vm(on), attempt=1, run_id="run-1"))
    assert not step.changed
    assert step.after["attempt"] == 1
    assert boot_at_s(sim, on) == booted


def test_a_controller_that_died_between_mark_and_reset_resets(sim: Sim, on: str) -> None:
    booted = boot_at_s(sim, on)
    mark = power.Mark(run_id="run-1", attempt=1, at_s=time.time(), boot_at_s=booted)
    reconfigure.write_marks(Copy(sim.client, sim.vm(on)), "mark", {power.MARK: str(mark)})
    assert acted(run(reset(sim.client, sim.vm(on), attempt=1, run_id="run-1"))) == ["restart attempt 1"]
    assert boot_at_s(sim, on) != booted


def test_a_restart_of_a_copy_that_is_off_powers_it_on(sim: Sim, on: str) -> None:
    sim.power(on, is_on=False)
    predicted = predict_steps(reset(sim.client, sim.vm(on), attempt=1, run_id="run-1"))
    assert predicted[0].calls[-1] == f"PowerOnVM_Task({on})"
    run(reset(sim.client, sim.vm(on), attempt=1, run_id="run-1"))
    assert sim.vm(on).power is Power.ON


def test_a_restart_is_seen_by_the_event_log_where_the_boot_time_stays(sim: Sim, on: str) -> None:
    """Some ESXi keep bootTime at a reset: here it is taken back to what it was before."""
    with pytest.raises(Killed):
        run(reset(sim.client, sim.vm(on), attempt=1, run_id="run-1"), kill_after=1)
    mark = power.Mark.read(sim.vm(on).stamps[power.MARK])
    assert mark is not None
    assert mark.boot_at_s is not None
    old = datetime.datetime.fromtimestamp(mark.boot_at_s, datetime.UTC)
    sim.extra(on, summary__runtime__bootTime=old)
    assert boot_at_s(sim, on) == pytest.approx(mark.boot_at_s, abs=1e-5)
    assert acted(run(reset(sim.client, sim.vm(on), attempt=1, run_id="run-1"))) == []


def test_a_power_on_that_the_host_refuses_tells_the_next_move(sim: Sim) -> None:
    handle = sim.make_vm("unlucky", host=HOST_B)
    host = sim.host(HOST_B)
    sim.task(lambda: host.EnterMaintenanceMode_Task(timeout=0))
    try:
        with pytest.raises(StepFailed) as failed:
            run(power_on(sim.client, sim.vm(handle)))
    finally:
        sim.task(lambda: host.ExitMaintenanceMode_Task(timeout=0))
    assert "InvalidState" in failed.value.why
    assert failed.value.next
