# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fence the production copy, so that it neither runs nor can start by itself (invariant 6); and take the fence off again.

The order, chosen for a controller that dies between any two steps:

1. Stamp first. It proves nothing (proof is power and NICs, read again), but a second controller with another journal sees
   whose hands are on this VM, and the same write keeps what the VM was, before anything of it is changed.
2. Autostart and HA off while it still runs: from the moment it is off, nothing of the platform brings it back.
3. The guest is asked while it still has its network, so that databases and shares close cleanly.
4. NICs before the plug is pulled: a copy that refuses to stop (QEMU hanging in its storage) is then seen disconnected at
   least, which is the second proof that invariant 2 knows.
5. Power off. 6. Protected last against a person's clean-up: its disks are the evidence, and the way back.
"""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import ProviderFault
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Former
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Sight, Step
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import guards, keepsake, power, tags
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.acting import (
    Machine,
    Sheet,
    rows,
    vmid_of,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.keepsake import Keepsake
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import AGAIN

GUEST_WITHIN_S = 30.0  # the RTO clock runs, and what is fenced is mostly broken already


def fence(
    client: Client,
    vm: Vm,
    *,
    run_id: str,
    guest_within_s: float = GUEST_WITHIN_S,
    off_within_s: float = power.POWER_OFF_WITHIN_S,
) -> list[Step]:
    if not vm.handle:
        return [_cannot_start(client, vm)]
    machine = Machine.of(client, vm)
    steps = [_claim(machine, run_id), guards.autostart_off(machine), guards.ha_off(machine)]
    if guest_within_s > 0:
        steps.append(power.ask_guest_step(machine, guest_within_s=guest_within_s))
    steps.append(guards.unplug(machine, "disconnect the NICs", may_be_pending=True))
    steps.append(power.power_off_step(machine, guest_within_s=0, within_s=off_within_s))
    steps.append(guards.protect(machine))
    return steps


def unfence(client: Client, vm: Vm, former: Former) -> list[Step]:
    """Put everything back as it was, then take our stamps off. Power is left to ``power_on``.

    The VM's own memory of what it was comes first, to the letter; the journal's serves where that was taken off by hand.
    """
    machine = Machine.of(client, vm)
    start = machine.now()
    if not start.is_there:
        return []
    kept = keepsake.of(start.config)
    if kept is None and stamps.FENCED not in start.stamps:
        return [_forget(machine, kept)]  # unfenced already: what was changed since is not ours to put back
    return [
        guards.nics(
            machine,
            "put the NICs back",
            lambda sheet: _nets_before(sheet, kept, former),
            next=f"untick Disconnect on the NICs of VM {machine.vmid} as they were (Hardware), {AGAIN}",
        ),
        _options_back(machine, kept, former),
        guards.ha_back(machine, kept.ha if kept is not None else None),
        _forget(machine, kept),
    ]


def claim_change(machine: Machine, run_id: str, sheet: Sheet) -> dict[str, object]:
    """Return what one write puts on a VM to fence it in name: the stamp, and the memory of what it was."""
    kept = keepsake.of(sheet.config) or guards.kept_now(machine, sheet)
    return {
        "tags": tags.with_stamps(sheet.config.get("tags"), {stamps.FENCED: run_id}),
        "description": keepsake.written(sheet.config, kept),
    }


def _claim(machine: Machine, run_id: str) -> Step:
    name = "stamp as fenced"
    return machine.step(
        name,
        calls=[f"PUT {machine.path}/config tags, description (keeps what it was)"],
        is_done=lambda sheet: sheet.stamps.get(stamps.FENCED) == run_id and keepsake.of(sheet.config) is not None,
        act=lambda: machine.put(name, lambda sheet: claim_change(machine, run_id, sheet)),
        next=f"read the answer of Proxmox VE above, {AGAIN}",
    )


def _cannot_start(client: Client, vm: Vm) -> Step:
    """Return the step that sees that mere disks have no VM on their node: what has no configuration cannot start."""
    vmid = vmid_of(vm)

    def look() -> Sight:
        at = next((row.node for row in rows(client) if row.vmid == vmid), "")
        return Sight(is_done=at != vm.host, seen={"id": vm.id, "configured_on": at or "no node"})

    def act() -> None:
        raise ProviderFault(
            what=f"fence the disks of VM {vmid} on {vm.host}",
            why="a configuration of this VM lies on that node again",
            next="read the site again with the assess playbook",
        )

    return Step(
        name="see that it has no configuration",
        target=f"{vm.name} (VM {vmid})",
        calls=(),
        look=look,
        act=act,
        next="read the site again with the assess playbook",
    )


def _nets_before(sheet: Sheet, kept: Keepsake | None, former: Former) -> Mapping[str, str]:
    if kept is not None and kept.nets:
        return {key: text for key, text in kept.nets.items() if key in sheet.nets}
    own = {key: text for key, text in sheet.nets.items() if key in former.nics}
    up = keepsake.linked(own, is_up=True)
    down = keepsake.linked(own, is_up=False)
    return {key: up[key] if former.nics[key].get("starts_connected") else down[key] for key in own}


def _options_back(machine: Machine, kept: Keepsake | None, former: Former) -> Step:
    name = "put autostart and protection back"

    def change(_sheet: Sheet) -> dict[str, object]:
        if kept is not None:
            return {"onboot": kept.onboot, "protection": kept.protection}
        return {"onboot": "1" if former.has_autostart else "", "protection": ""}

    return machine.step(
        name,
        calls=[f"PUT {machine.path}/config onboot, protection as they were"],
        is_done=lambda sheet: all(str(sheet.config.get(key, "")) == value for key, value in change(sheet).items()),
        act=lambda: machine.put(name, change),
        next=f"set Start at boot and Protection of VM {machine.vmid} as they were (Options), {AGAIN}",
    )


def _forget(machine: Machine, kept: Keepsake | None) -> Step:
    name = "take the fence stamp off"

    def change(sheet: Sheet) -> dict[str, object]:
        left = tags.with_stamps(sheet.config.get("tags"), {stamps.FENCED: ""})
        if kept is not None and sorted(tags.split_tags(left)) == sorted(tags.split_tags(kept.tags)):
            left = kept.tags  # to the letter, also in their order
        return {"tags": left, "description": keepsake.forgotten(sheet.config)}

    return machine.step(
        name,
        calls=[f"PUT {machine.path}/config tags, description as they were"],
        is_done=lambda sheet: stamps.FENCED not in sheet.stamps and keepsake.is_forgotten(sheet.config),
        act=lambda: machine.put(name, change),
        next=f"remove the dr.* tags and the line {tags.KEEPSAKE_PREFIX.strip()} from VM {machine.vmid}, {AGAIN}",
    )
