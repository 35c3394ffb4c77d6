# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What starts a VM without anybody asking (its node's autostart, HA), what would remove it, and the links of its NICs."""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Mapping

from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Step
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import keepsake, wire
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.acting import (
    IGNORED,
    Look,
    Machine,
    Sheet,
    never,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.faults import Kind, VendorFault
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.keepsake import Keepsake
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import AGAIN

HA_OURS = "ferragosto.dr: promotion of a dead node's VM"  # comment of a resource that a promotion has made
_HA_KEPT = ("state", "comment", "group", "failback", "max_relocate", "max_restart")


# --- autostart and protection ----------------------------------------------------------------------------------------


def autostart_off(machine: Machine) -> Step:
    return setting(machine, "switch autostart off", "onboot", False)


def protect(machine: Machine) -> Step:
    return setting(machine, "protect against removal", "protection", True)


def setting(machine: Machine, name: str, key: str, value: bool) -> Step:
    """Return the step that switches one option of the VM on or off."""
    return machine.step(
        name,
        calls=[f"PUT {machine.path}/config {key}={value:d}"],
        is_done=lambda sheet: wire.truth(sheet.config.get(key)) == value,
        act=lambda: machine.put(name, lambda sheet: {key: value}),
        next=f"`qm set {machine.vmid} --{key} {value:d}` on {machine.node}, {AGAIN}",
    )


# --- HA --------------------------------------------------------------------------------------------------------------


def ha_of(machine: Machine) -> dict[str, t.Any] | None:
    """Return how HA keeps this VM, in the vendor's words, or None when HA has nothing to do with it."""
    try:
        shown = machine.client.get(f"/cluster/ha/resources/vm:{machine.vmid}")
    except VendorFault as fault:
        if fault.kind is Kind.NO_SUCH_THING:
            return None
        raise
    return {key: shown[key] for key in _HA_KEPT if shown.get(key) is not None}


def kept_now(machine: Machine, sheet: Sheet) -> Keepsake:
    """Return what a VM is that nobody of us has touched yet. HA is asked only for a VM that it manages."""
    ha = ha_of(machine) if sheet.ha_state else None
    return keepsake.from_config(sheet.config, ha=None if ha is None or ha.get("comment") == HA_OURS else ha)


def ha_off(machine: Machine) -> Step:
    name = "take it out of HA's hands"
    return machine.step(
        name,
        calls=[f"PUT /cluster/ha/resources/vm:{machine.vmid} state={IGNORED}"],
        is_done=lambda sheet: not sheet.is_in_ha,
        act=lambda: set_ha(machine, IGNORED),
        next=f"`ha-manager set vm:{machine.vmid} --state {IGNORED}` on a node, {AGAIN}",
    )


def ha_back(machine: Machine, kept: Mapping[str, t.Any] | None) -> Step:
    state = str((kept or {}).get("state") or "")
    return machine.step(
        "give it back to HA",
        calls=[f"PUT /cluster/ha/resources/vm:{machine.vmid} state={state}"],
        is_done=lambda sheet: state in ("", IGNORED) or sheet.ha_state == state,
        act=lambda: set_ha(machine, state),
        next=f"`ha-manager set vm:{machine.vmid} --state {state}` on a node, {AGAIN}",
    )


def set_ha(machine: Machine, state: str) -> None:
    """Needs Sys.Console on /, which is why nothing is called for a VM that HA does not manage."""
    machine.client.send("PUT", f"/cluster/ha/resources/vm:{machine.vmid}", state=state)


# --- NICs ------------------------------------------------------------------------------------------------------------


def nics(
    machine: Machine,
    name: str,
    wanted: Callable[[Sheet], Mapping[str, str]],
    *,
    next: str,
    unless: Look = never,
    may_be_pending: bool = False,
) -> Step:
    """Return the step that makes the NICs' settings what ``wanted`` says of the VM as it is then.

    With ``may_be_pending`` it is enough that the next start finds them so: where NICs cannot be changed while it runs, the
    power off that follows must not be hindered by that.
    """

    def is_done(sheet: Sheet) -> bool:
        if unless(sheet):
            return True
        settings = wanted(sheet)
        if keepsake.are_alike(sheet.nets, settings):
            return True
        return (
            may_be_pending
            and sheet.is_there
            and keepsake.are_alike(keepsake.nets_of(machine.pending_config()), settings)
        )

    return machine.step(
        name,
        calls=[f"PUT {machine.path}/config net*: link_down"],
        is_done=is_done,
        act=lambda: machine.put(name, wanted),
        next=next,
    )


def unplug(machine: Machine, name: str, *, unless: Look = never, may_be_pending: bool = False) -> Step:
    return nics(
        machine,
        name,
        lambda sheet: keepsake.linked(sheet.nets, is_up=False),
        unless=unless,
        may_be_pending=may_be_pending,
        next=f"tick Disconnect on every NIC of VM {machine.vmid} (Hardware), {AGAIN}",
    )
