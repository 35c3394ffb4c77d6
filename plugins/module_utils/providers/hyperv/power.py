# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Power: on, off (the guest is asked first), and one restart attempt that can be told to have happened."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.ferragosto.dr.plugins.module_utils.core import marks
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import ProviderFault
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Heartbeat, Power, Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Step
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import notes, wire
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.acting import Look, Machine, never
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts import power as scripts
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.survey import Sheet
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import AGAIN

POWER_ON = marks.POWER_ON  # the clock of a recovery goes by this name
POWER_ON_WITHIN_S = 180.0  # memory is assigned first, and a saved VM is read back from its file
POWER_OFF_WITHIN_S = (
    90.0  # a worker process that has not ended by then hangs in its storage and must be ended on the host
)
RESET_WITHIN_S = 180.0  # a reset may power on
MARK = "ferragosto.dr.restart"  # "<run id> <attempt> <host's time> <boot time before>", among our stamps
BOOT_SLACK_S = (
    5.0  # how far two readings of one boot time may lie apart: uptime is in whole seconds, and it is read late
)


def power_on(client: Client, vm: Vm) -> list[Step]:
    return [power_on_step(Machine.of(client, vm))]


def power_on_step(machine: Machine, *, unless: Look = never) -> Step:
    return machine.step(
        POWER_ON,
        calls=scripts.POWER_ON.calls(machine.host, id=machine.guid),
        is_done=lambda sheet: unless(sheet) or sheet.power is Power.ON,
        act=lambda: machine.act(scripts.POWER_ON, within_s=POWER_ON_WITHIN_S),
        next=f"see the event log Hyper-V-Worker on {machine.host}: memory, disks and switches must be there; {AGAIN}",
    )


def power_off(client: Client, vm: Vm, *, guest_within_s: float) -> list[Step]:
    """Ask the guest for ``guest_within_s`` (0 = not at all), then pull the plug; one step, off at its end."""
    return [power_off_step(Machine.of(client, vm), guest_within_s=guest_within_s)]


def power_off_step(
    machine: Machine,
    *,
    guest_within_s: float,
    within_s: float = POWER_OFF_WITHIN_S,
    unless: Look = never,
) -> Step:
    calls = list(scripts.TURN_OFF.calls(machine.host, id=machine.guid))
    if guest_within_s > 0:
        calls = [*shutdown_calls(machine, guest_within_s), *calls]

    def act() -> None:
        if guest_within_s > 0 and ask_guest(machine, guest_within_s):
            return
        machine.act(scripts.TURN_OFF, within_s=within_s)

    return machine.step(
        "power off",
        calls=calls,
        is_done=lambda sheet: unless(sheet) or sheet.power is Power.OFF,
        act=act,
        next=f"on {machine.host}, end the worker process of this VM (vmwp.exe with {machine.guid} in its command line),"
        f" see it off (Hyper-V may start it once more: turn it off then), {AGAIN}",
    )


def ask_guest_step(machine: Machine, *, guest_within_s: float) -> Step:
    """Return the step that gives the guest its chance to shut down cleanly. It cannot fail: the plug is pulled after it.

    Its desired state is "off, unable to, or asked"; a run started again asks once more.
    """
    asked: list[bool] = []

    return machine.step(
        "shut the guest down",
        calls=shutdown_calls(machine, guest_within_s),
        is_done=lambda sheet: bool(asked) or not can_be_asked(sheet),
        act=lambda: asked.append(ask_guest(machine, guest_within_s)),
        more=lambda sheet: {"guest_obeyed": asked[-1]} if asked else {},
        next="run the same command again",
    )


def is_guest_alive(sheet: Sheet) -> bool:
    return sheet.power is Power.ON and wire.is_alive(sheet.heartbeat, sheet.uptime_s)


def can_be_asked(sheet: Sheet) -> bool:
    """A guest whose heartbeat was lost has crashed or hangs, and one that never had any has nothing that would hear."""
    return sheet.state == "Running" and wire.to_heartbeat(sheet.heartbeat)[0] is not Heartbeat.RED


def ask_guest(machine: Machine, within_s: float) -> bool:
    """Ask the guest to shut down and wait; tell whether it went off. A guest that does not obey is no error.

    Stop-VM waits for it by itself, and is ended when its time is up; what it asked of the guest stays asked.
    """
    if not can_be_asked(machine.last()):
        return False
    try:
        after = machine.act(scripts.SHUT_DOWN, within_s=within_s)
    except ProviderFault:
        after = machine.now()  # not heard, not obeyed, or the answer got lost: the state, or the plug, settles it
    return after is not None and after.power is Power.OFF


def shutdown_calls(machine: Machine, within_s: float) -> tuple[str, ...]:
    return scripts.SHUT_DOWN.calls(machine.host, id=machine.guid, within_s=round(within_s))


# --- restart attempts ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What the VM carries so that a restart can be told to have happened, even by a controller that comes later."""

    run_id: str
    number: int
    at_s: float  # the host's clock, when it was last seen before
    boot_at_s: float  # 0: it was not running

    def __str__(self) -> str:
        return f"{self.run_id} {self.number} {self.at_s:.3f} {self.boot_at_s:.3f}"

    @staticmethod
    def read(text: str) -> Attempt | None:
        try:
            run_id, number, at_s, boot_at_s = text.split()
            return Attempt(run_id=run_id, number=int(number), at_s=float(at_s), boot_at_s=float(boot_at_s))
        except ValueError:
            return None


def reset(client: Client, vm: Vm, *, attempt: int, run_id: str) -> list[Step]:
    """Reset (or power on, when it is off), once per ``attempt`` of a run.

    A reset leaves the power state as it was, and the controller may die right after it. So the VM is marked first, with the
    time and its boot time; the reset has happened when it has booted after the mark.
    """
    machine = Machine.of(client, vm)

    def is_done(sheet: Sheet) -> bool:
        mark = Attempt.read(sheet.stamps.get(MARK, ""))
        if sheet.power is not Power.ON or mark is None or mark.run_id != run_id or mark.number < attempt:
            return False
        return mark.number > attempt or has_booted_since(sheet, mark)

    def act() -> None:
        sheet = machine.last()
        mark = Attempt(run_id=run_id, number=attempt, at_s=sheet.read_at_s, boot_at_s=booted_at_s(sheet))
        text = notes.written(sheet.notes, {MARK: str(mark)})
        machine.act(scripts.RESTART, within_s=RESET_WITHIN_S, old=sheet.notes, new=text)

    return [
        machine.step(
            f"restart attempt {attempt}",
            calls=scripts.RESTART.calls(machine.host, id=machine.guid),
            is_done=is_done,
            act=act,
            more=lambda sheet: {"attempt": attempt, "uptime_s": sheet.uptime_s},
            next="look at the VM's console; if it does not come up, go on to the replica",
        )
    ]


def booted_at_s(sheet: Sheet) -> float:
    """Return the host's time of this boot; 0 when it is not running."""
    return sheet.read_at_s - sheet.uptime_s if sheet.power is Power.ON else 0.0


def has_booted_since(sheet: Sheet, mark: Attempt) -> bool:
    boot_at_s = booted_at_s(sheet)
    return mark.boot_at_s == 0 or boot_at_s > mark.boot_at_s + BOOT_SLACK_S or boot_at_s > mark.at_s
