# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Power: on, off (the guest is asked first), and one restart attempt that can be told to have happened."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from datetime import UTC, datetime

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import ProviderFault
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Heartbeat, Power, Tools, Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Step
from ansible_collections.ferragosto.dr.plugins.module_utils.core.waiting import wait_until
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere import reconfigure
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.acting import Copy, Look
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.sdk import vim

POWER_ON_WITHIN_S = 180.0  # memory is reserved and swap made first; a busy datastore needs a minute or two
POWER_OFF_WITHIN_S = 90.0  # a VMM that has not ended by then is stuck and must be ended on the host
TRACE_WITHIN_S = 5.0
RESET_WITHIN_S = 180.0  # a reset may power on
MARK = "ferragosto.dr.restart"  # "<run id> <attempt> <server time> <boot time before>", in extraConfig


def power_on(
    client: Client,
    vm: Vm,
    *,
    within_s: float = POWER_ON_WITHIN_S,
    name: str = "power on",
    unless: Look = reconfigure.never,
) -> list[Step]:
    copy = Copy(client, vm)
    return [
        copy.step(
            name,
            calls=[f"PowerOnVM_Task({copy.handle})"],
            is_done=lambda now: unless(now) or now.power is Power.ON,
            act=lambda: _power_on(copy, name, within_s),
            task="poweron",
            within_s=within_s,
            next=f"read the task's error in the vSphere client; check memory and datastore room on {vm.host}, "
            "then run the same command again",
        )
    ]


def power_off(
    client: Client,
    vm: Vm,
    *,
    guest_within_s: float,
    within_s: float = POWER_OFF_WITHIN_S,
    unless: Look = reconfigure.never,
) -> list[Step]:
    """Ask the guest for ``guest_within_s`` (0 = not at all), then pull the plug; one step, off at its end."""
    copy = Copy(client, vm)
    calls = [f"PowerOffVM_Task({copy.handle})"]
    if guest_within_s > 0 and can_be_asked(vm):
        calls.insert(0, f"ShutdownGuest({copy.handle}), waited for up to {guest_within_s:.0f} s")

    def act() -> None:
        if guest_within_s > 0 and ask_guest(copy, guest_within_s):
            return
        _pull_plug(copy, within_s)

    return [
        copy.step(
            "power off",
            calls=calls,
            is_done=lambda now: unless(now) or now.power is Power.OFF,
            act=act,
            task="poweroff",
            within_s=within_s,
            next=_next_when_stuck(vm),
        )
    ]


def pull_plug(client: Client, vm: Vm, *, within_s: float = POWER_OFF_WITHIN_S) -> Step:
    """Return the step that powers off without asking the guest."""
    return power_off(client, vm, guest_within_s=0, within_s=within_s)[0]


def ask_guest_step(client: Client, vm: Vm, *, guest_within_s: float) -> Step:
    """Return the step that gives the guest its chance to shut down cleanly. It cannot fail: a hard power off follows.

    Its desired state is "off, unable to, or asked"; a run started again asks once more.
    """
    copy = Copy(client, vm)
    asked: list[bool] = []

    def act() -> None:
        asked.append(ask_guest(copy, guest_within_s))

    return copy.step(
        "shut the guest down",
        calls=[f"ShutdownGuest({copy.handle}), waited for up to {guest_within_s:.0f} s"],
        is_done=lambda now: bool(asked) or not can_be_asked(now),
        act=act,
        more=lambda now: {"guest_obeyed": asked[-1]} if asked else {},
        next="run the same command again",
    )


def can_be_asked(vm: Vm) -> bool:
    """A guest with a red heartbeat has crashed or hangs, though its tools may be shown as running for a while."""
    return vm.power is Power.ON and vm.guest.tools is Tools.RUNNING and vm.guest.heartbeat is not Heartbeat.RED


def ask_guest(copy: Copy, within_s: float) -> bool:
    """Ask the guest to shut down and wait; tell whether it went off. A guest that cannot be asked is no error."""
    if not can_be_asked(copy.now()):
        return False
    what = f"shut down the guest of {copy.target}"
    try:
        copy.client.call(what, copy.object.ShutdownGuest)
    except ProviderFault as fault:
        # ToolsUnavailable, or off by itself meanwhile: the hard power off, or the look, settles it.
        if not fault.is_answer_lost:
            return False
    off = copy.client.wait_for(
        copy.object,
        ["runtime.powerState"],
        lambda seen: True if seen.get("runtime.powerState") == "poweredOff" else None,
        within_s=within_s,
    )
    return off is True


def _power_on(copy: Copy, what: str, within_s: float) -> None:
    copy.run_unless_asked(what, copy.object.PowerOnVM_Task, within_s=within_s)


def _pull_plug(copy: Copy, within_s: float) -> None:
    copy.run("power off", copy.object.PowerOffVM_Task, within_s=within_s)


def _next_when_stuck(vm: Vm) -> str:
    return (
        f"on {vm.host} run `esxcli vm process list` and `esxcli vm process kill --type=force --world-id=...` for "
        f"{vm.name}, see it off, then run the same command again"
    )


# --- restart attempts ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What the VM carries so that a restart can be told to have happened, even by a controller that comes later."""

    run_id: str
    attempt: int
    at_s: float  # server's clock, when the mark was set
    boot_at_s: float | None  # boot time before

    def __str__(self) -> str:
        return f"{self.run_id} {self.attempt} {self.at_s:.6f} {self.boot_at_s or 0:.6f}"

    @staticmethod
    def read(text: str) -> Mark | None:
        words = text.split()
        try:
            run_id, attempt, at_s, boot_at_s = words
            return Mark(run_id=run_id, attempt=int(attempt), at_s=float(at_s), boot_at_s=float(boot_at_s) or None)
        except ValueError:
            return None


def reset(client: Client, vm: Vm, *, attempt: int, run_id: str, within_s: float = RESET_WITHIN_S) -> list[Step]:
    """Reset (or power on, when it is off), once per ``attempt`` of a run.

    A reset leaves no trace in the power state, and the controller may die right after it. So the VM is marked first with the
    time and its boot time; the reset has happened when, after the mark, the boot time is another or an event tells of it
    (ESXi does not change ``bootTime`` at a reset in every version; vcsim -esx keeps no events).
    """
    copy = Copy(client, vm)
    name = f"restart attempt {attempt}"

    def is_done(now: Vm) -> bool:
        mark = Mark.read(now.stamps.get(MARK, ""))
        if now.power is not Power.ON or mark is None or mark.run_id != run_id or mark.attempt < attempt:
            return False
        if mark.attempt > attempt:
            return True
        return _has_booted_since(copy, now, mark)

    def act() -> None:
        now = copy.now()
        mark = Mark(run_id=run_id, attempt=attempt, at_s=_server_now_s(client), boot_at_s=now.guest.boot_at_s)
        reconfigure.write_marks(copy, f"{name}: mark", {MARK: str(mark)})
        if now.power is Power.ON:
            copy.run_unless_asked(name, copy.object.ResetVM_Task, within_s=within_s)
        else:
            _power_on(copy, name, within_s)
        _await_trace(copy, is_done)

    call = "ResetVM_Task" if vm.power is Power.ON else "PowerOnVM_Task"
    return [
        copy.step(
            name,
            calls=[f"ReconfigVM_Task({copy.handle}, extraConfig {MARK})", f"{call}({copy.handle})"],
            is_done=is_done,
            act=act,
            more=lambda now: {"attempt": attempt, "boot_at_s": now.guest.boot_at_s},
            task="reset" if vm.power is Power.ON else "poweron",
            within_s=within_s,
            next="look at the VM's console; if it does not come up, go on to the replica",
        )
    ]


def _has_booted_since(copy: Copy, now: Vm, mark: Mark) -> bool:
    boot_at_s = now.guest.boot_at_s
    if boot_at_s is not None and boot_at_s != mark.boot_at_s:
        return True
    return _has_start_event_since(copy, mark.at_s)


def _has_start_event_since(copy: Copy, since_s: float) -> bool:
    """Ask the event log; a platform without one knows nothing more."""
    by_time = vim.event.EventFilterSpec.ByTime(beginTime=datetime.fromtimestamp(since_s, UTC))
    by_entity = vim.event.EventFilterSpec.ByEntity(
        entity=copy.object, recursion=vim.event.EventFilterSpec.RecursionOption.self
    )
    spec = vim.event.EventFilterSpec(
        time=by_time, entity=by_entity, eventTypeId=["VmResettingEvent", "VmPoweredOnEvent", "VmStartingEvent"]
    )
    manager = copy.client.content.eventManager
    if manager is None:
        return False
    try:
        events = copy.client.read_call("read the events", manager.QueryEvents, spec)
    except ProviderFault:
        return False
    return any(event.createdTime.timestamp() > since_s for event in events)


def _await_trace(copy: Copy, is_done: Look) -> None:
    """Give the event log the moment it needs to show what the task just did."""
    wait_until(lambda: is_done(copy.now()) or None, within_s=TRACE_WITHIN_S, clock=copy.client.clock)


def _server_now_s(client: Client) -> float:
    instance = client.object(vim.ServiceInstance, "ServiceInstance")
    return t.cast("float", client.read_call("read the clock", instance.CurrentTime).timestamp())
