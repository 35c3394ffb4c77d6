# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fence the production copy, so that it neither runs nor can start by itself (invariant 6); and take the fence off again.

The order, chosen for a controller that dies between any two steps:

1. Stamp first. It proves nothing (proof is power and NICs, read again), but a second controller with another journal sees
   whose hands are on this VM, and the same write keeps what the VM was and turns its autostart off: from the moment it is off,
   its host does not bring it back.
2. The guest is asked while it still has its network, so that databases and shares close cleanly.
3. NICs before the plug is pulled: a copy that refuses to power off (a worker process hanging in its storage) is then seen
   disconnected at least, which is the second proof that invariant 2 knows.
4. Power off last. Nothing after it can be forgotten by a dead controller.
"""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Former
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Step
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import keepsake, power
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.acting import Change, Machine, unplugged
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.keepsake import Keepsake
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.survey import NO_AUTOSTART, Sheet
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import AGAIN

GUEST_WITHIN_S = 30.0  # the RTO clock runs, and what is fenced is mostly broken already
USUAL_AUTOSTART = "StartIfRunning"  # Hyper-V's own default, where nothing tells the word that was


def fence(
    client: Client,
    vm: Vm,
    *,
    run_id: str,
    guest_within_s: float = GUEST_WITHIN_S,
    off_within_s: float = power.POWER_OFF_WITHIN_S,
) -> list[Step]:
    machine = Machine.of(client, vm)
    steps = [claim_step(machine, run_id)]
    if guest_within_s > 0:
        steps.append(power.ask_guest_step(machine, guest_within_s=guest_within_s))
    steps.append(unplug_step(machine, "disconnect the NICs"))
    steps.append(power.power_off_step(machine, guest_within_s=0, within_s=off_within_s))
    return steps


def unfence(client: Client, vm: Vm, former: Former) -> list[Step]:
    """Put everything back as it was, then take our stamps off. Power is left to ``power_on``.

    The VM's own memory of what it was comes first, to the letter; the journal's serves where that was taken off by hand.
    """
    machine = Machine.of(client, vm)
    start = machine.begin()
    kept = keepsake.of(start)
    if kept is None and stamps.FENCED not in start.stamps:
        return [forget_step(machine)]  # unfenced already: what was changed since is not ours to put back
    nics = kept.nics if kept is not None else {}
    return [
        machine.nics_step(
            "put the NICs back",
            lambda sheet: keepsake.on_adapters(sheet.switches(), nics),
            next=f"connect the NICs of {vm.name} on {machine.host} as they were ({_say(nics, former)}), {AGAIN}",
        ),
        forget_step(machine, autostart=_autostart_before(start, kept, former)),
    ]


def claim_step(machine: Machine, run_id: str) -> Step:
    """Return the step that fences a VM in name, keeps what it was, and lets its host start it no more."""
    return machine.stamp_step(
        "stamp as fenced, autostart off",
        lambda sheet: Change(marks={stamps.FENCED: run_id}, kept=keepsake.now(sheet), autostart=NO_AUTOSTART),
    )


def unplug_step(machine: Machine, name: str) -> Step:
    return machine.nics_step(
        name,
        unplugged,
        next=f"set every NIC of {machine.name} on {machine.host} to Not connected (Settings), {AGAIN}",
    )


def forget_step(machine: Machine, *, autostart: str = "", name: str = "take the fence stamp off") -> Step:
    """Return the step that puts the autostart back ("" leaves it) and takes off what a fence has written."""

    def change(sheet: Sheet) -> Change:
        return Change(marks={stamps.FENCED: "", power.MARK: ""}, forgets=True, autostart=autostart)

    return machine.stamp_step(
        name,
        change,
        next=f"take the line `ferragosto.dr: ...` out of the Notes of {machine.name} on {machine.host}, {AGAIN}",
    )


def _autostart_before(start: Sheet, kept: Keepsake | None, former: Former) -> str:
    if kept is not None and kept.autostart:
        return kept.autostart
    if start.autostart == NO_AUTOSTART and former.has_autostart:
        return USUAL_AUTOSTART
    return ""


def _say(nics: Mapping[str, str], former: Former) -> str:
    if nics:
        return ", ".join(f"{key}: {switch or 'not connected'}" for key, switch in nics.items())
    told = (f"{key}: {'connected' if nic.get('is_connected') else 'not connected'}" for key, nic in former.nics.items())
    return ", ".join(told) or "unknown"
