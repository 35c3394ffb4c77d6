# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Power: on, off (the guest is asked first), and one restart attempt that can be told to have happened."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.ferragosto.dr.plugins.module_utils.core import marks
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import ProviderFault
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Power, Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Step
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import keepsake, tags, wire
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.acting import (
    Look,
    Machine,
    Sheet,
    active_tasks,
    never,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.faults import Kind, VendorFault
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import AGAIN

POWER_ON = marks.POWER_ON  # the clock of a recovery goes by this name
POWER_ON_WITHIN_S = 180.0  # volumes are activated and memory is reserved first
POWER_OFF_WITHIN_S = 90.0  # a QEMU that has not ended by then hangs in its storage and must be ended on the node
RESET_WITHIN_S = 180.0  # a reset may power on
HA_WITHIN_S = 120.0  # the managers of HA look every ten seconds
ON_TASKS = ("qmstart", "hastart")
OFF_TASKS = ("qmstop", "hastop")
ASK_TASK = "qmshutdown"  # not waited for to its end: a guest that does not obey is stopped
RESET_TASKS = ("qmreset", "qmreboot", *ON_TASKS)


def power_on(client: Client, vm: Vm) -> list[Step]:
    return [power_on_step(Machine.of(client, vm))]


def power_on_step(machine: Machine, *, unless: Look = never) -> Step:
    return machine.step(
        POWER_ON,
        calls=[f"POST {machine.path}/status/start"],
        is_done=lambda sheet: unless(sheet) or sheet.power is Power.ON,
        act=lambda: start(machine, POWER_ON, POWER_ON_WITHIN_S),
        tasks=ON_TASKS,
        within_s=POWER_ON_WITHIN_S,
        next=f"read the task's log on {machine.node}: memory, storage and the bridges of its NICs must be there; {AGAIN}",
    )


def power_off(client: Client, vm: Vm, *, guest_within_s: float, within_s: float = POWER_OFF_WITHIN_S) -> list[Step]:
    """Ask the guest for ``guest_within_s`` (0 = not at all), then pull the plug; one step, off at its end."""
    return [power_off_step(Machine.of(client, vm), guest_within_s=guest_within_s, within_s=within_s)]


def power_off_step(
    machine: Machine,
    *,
    guest_within_s: float,
    within_s: float = POWER_OFF_WITHIN_S,
    unless: Look = never,
) -> Step:
    calls = [f"POST {machine.path}/status/stop"]
    if guest_within_s > 0:
        calls.insert(0, f"POST {machine.path}/status/shutdown, waited for up to {guest_within_s:.0f} s")

    def act() -> None:
        if guest_within_s > 0 and ask_guest(machine, guest_within_s):
            return
        pull_plug(machine, within_s)

    return machine.step(
        "power off",
        calls=calls,
        is_done=lambda sheet: unless(sheet) or sheet.power is Power.OFF,
        act=act,
        tasks=OFF_TASKS,
        within_s=guest_within_s + within_s,
        next=next_when_stuck(machine),
    )


def ask_guest_step(machine: Machine, *, guest_within_s: float) -> Step:
    """Return the step that gives the guest its chance to shut down cleanly. It cannot fail: a hard stop follows.

    Its desired state is "off, unable to, or asked"; a run started again asks once more.
    """
    asked: list[bool] = []

    def act() -> None:
        asked.append(ask_guest(machine, guest_within_s))

    return machine.step(
        "shut the guest down",
        calls=[f"POST {machine.path}/status/shutdown, waited for up to {guest_within_s:.0f} s"],
        is_done=lambda sheet: bool(asked) or not can_be_asked(machine, sheet),
        act=act,
        more=lambda sheet: {"guest_obeyed": asked[-1]} if asked else {},
        next="run the same command again",
    )


def can_be_asked(machine: Machine, sheet: Sheet) -> bool:
    """A guest whose agent is silent has crashed or hangs: neither the agent nor ACPI will be heard.

    Without an agent only ACPI can tell, so the guest is asked.
    """
    if sheet.power is not Power.ON:
        return False
    return not has_agent(sheet) or is_agent_alive(machine)


def has_agent(sheet: Sheet) -> bool:
    return wire.has_agent(sheet.config)


def is_agent_alive(machine: Machine) -> bool:
    try:
        machine.client.send("POST", f"{machine.path}/agent/ping")
    except ProviderFault:
        return False
    return True


def ask_guest(machine: Machine, within_s: float) -> bool:
    """Ask the guest to shut down and wait; tell whether it went off. A guest that does not obey is no error."""
    sheet = machine.now()
    if not can_be_asked(machine, sheet):
        return sheet.power is Power.OFF
    try:
        asked = active_tasks(machine.client, machine.node, (ASK_TASK,), machine.vmid)
        if asked:  # by a controller that was killed while it waited
            machine.client.await_task(f"shut down the guest of {machine.target}", asked[0], within_s=within_s)
        else:
            machine.run(
                "shut down the guest",
                "POST",
                f"{machine.path}/status/shutdown",
                within_s=within_s + 15.0,
                timeout=max(1, round(within_s)),
            )
    except VendorFault as fault:
        # A lock or a missing right will hinder the hard stop as well, and says why.
        if fault.kind in (Kind.NO_RIGHT, Kind.NO_QUORUM):
            raise
    except ProviderFault:
        pass  # the look, or the hard stop, settles it
    if machine.now().is_in_ha:
        machine.await_sheet(lambda now: now.power is Power.OFF, within_s=within_s)
    return machine.now().power is Power.OFF


def start(machine: Machine, what: str, within_s: float) -> None:
    machine.run(what, "POST", f"{machine.path}/status/start", within_s=within_s)
    _await_ha(machine, Power.ON)


def pull_plug(machine: Machine, within_s: float) -> None:
    """Stop the VM. A shutdown that an earlier controller began, and whose guest does not obey, is not waited for."""
    overrule: dict[str, bool] = {"overrule-shutdown": True}
    machine.run("power off", "POST", f"{machine.path}/status/stop", within_s=within_s, **overrule)
    _await_ha(machine, Power.OFF)


def next_when_stuck(machine: Machine) -> str:
    return (
        f"if it is locked, wait for the task that holds it or `qm unlock {machine.vmid}`; if QEMU hangs, on {machine.node}:"
        f" `kill -9 $(cat /run/qemu-server/{machine.vmid}.pid)`, see it off, {AGAIN}"
    )


def _await_ha(machine: Machine, power: Power) -> None:
    """Wait for HA to do what it has only taken note of."""
    sheet = machine.now()
    if sheet.power is not power and sheet.is_in_ha:
        machine.await_sheet(lambda now: now.power is power, within_s=HA_WITHIN_S)


# --- restart attempts ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What the VM carries so that a restart can be told to have happened, even by a controller that comes later."""

    run_id: str
    number: int
    last_task: str  # the newest restart in the node's task list before this one, "-" for none

    def __str__(self) -> str:
        return f"{self.run_id} {self.number} {self.last_task}"

    @staticmethod
    def read(text: str) -> Attempt | None:
        try:
            run_id, number, last_task = text.split()
            return Attempt(run_id=run_id, number=int(number), last_task=last_task)
        except ValueError:
            return None


def reset(client: Client, vm: Vm, *, attempt: int, run_id: str) -> list[Step]:
    """Reset (or power on, when it is off), once per ``attempt`` of a run.

    A reset of QEMU leaves neither the power state nor the uptime changed, and the controller may die right after it. So the
    VM is marked first with the newest restart that its node's task list knows; once there is a newer one, it has happened.
    """
    machine = Machine.of(client, vm)
    name = f"restart attempt {attempt}"

    def is_done(sheet: Sheet) -> bool:
        mark = Attempt.read(keepsake.restart_of(sheet.config))
        if sheet.power is not Power.ON or mark is None or mark.run_id != run_id or mark.number < attempt:
            return False
        return mark.number > attempt or newest_restart(machine) != mark.last_task

    def act() -> None:
        sheet = machine.now()
        mark = Attempt(run_id=run_id, number=attempt, last_task=newest_restart(machine))
        machine.put(f"{name}: mark", lambda now: {"description": keepsake.with_restart(now.config, str(mark))})
        if sheet.power is Power.ON:
            machine.run(name, "POST", f"{machine.path}/status/reset", within_s=RESET_WITHIN_S)
            return
        if sheet.power is Power.SUSPENDED:
            pull_plug(machine, POWER_OFF_WITHIN_S)
        start(machine, name, RESET_WITHIN_S)

    call = "reset" if vm.power is Power.ON else "start"
    return [
        machine.step(
            name,
            calls=[
                f"PUT {machine.path}/config (description: {tags.KEEPSAKE_PREFIX}restart)",
                f"POST {machine.path}/status/{call}",
            ],
            is_done=is_done,
            act=act,
            tasks=RESET_TASKS,
            within_s=RESET_WITHIN_S,
            more=lambda sheet: {"attempt": attempt, "uptime_s": sheet.status.get("uptime")},
            next="look at the VM's console; if it does not come up, go on to the replica",
        )
    ]


def newest_restart(machine: Machine) -> str:
    """Return the newest start or reset that ended well, "-" for none."""
    shown = machine.client.get(f"/nodes/{machine.node}/tasks", vmid=machine.vmid, source="all", limit=50) or []
    found = [
        row
        for row in shown
        if row.get("type") in RESET_TASKS and str(row.get("id") or "") == str(machine.vmid) and _ended_well(row)
    ]
    return (
        str(max(found, key=lambda row: (float(row.get("starttime") or 0), str(row["upid"])))["upid"]) if found else "-"
    )


def _ended_well(row: Mapping[str, t.Any]) -> bool:
    return str(row.get("status") or "") == "OK" or str(row.get("status") or "").startswith("WARNINGS")
