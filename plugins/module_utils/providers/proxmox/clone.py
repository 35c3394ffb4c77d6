# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Promote by a full clone of the replica's disks, by API alone: original and replica both stay as they are.

No call boots a replica's disks, which belong to a VM of another node. But a VM may be *created* over them, and that one can be
cloned: the shell. It has no NIC, is never started, and its removal leaves disks alone that bear another VM's number.

The ids of both are planned once and then read off the shell's own tags: whoever continues finds the same two VMs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import ProviderFault, Refused
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Power
from ansible_collections.ferragosto.dr.plugins.module_utils.core.stamps import Phase
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Step
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ways import COPIED
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import hardware, keepsake, tags
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.acting import Machine, Sheet
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.ends import (
    CLONE,
    copy_of,
    original_config,
    shells_of,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.promotion import Promotion
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.vmids import (
    new_vmids,
    outlast_unnamed,
    require_wished,
    until_free,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import AGAIN

CREATE_WITHIN_S = 300.0
COPY_WITHIN_S = 6 * 3600.0  # a terabyte at 50 MB/s
DESTROY_WITHIN_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """``shell`` is None once the clone is made and its shell gone."""

    clone: int
    shell: int | None


def promote(p: Promotion) -> Iterator[Step]:
    """Yield the steps. Refuses before the first of them."""
    p.refuse_foreign()
    config = keepsake.untouched(original_config(p.ends, p.pair, p.origin)) if not _is_stamped(p) else {}
    _require_whole(p, config)
    require_wished(p)
    yield from p.hold_job(is_point_checked=lambda: not _is_cloned(p))
    plan = _plan(p)
    clone = machine_of(p, plan.clone)
    if plan.shell is not None:
        shell = Machine(p.client, plan.shell, name=f"shell of {p.name}", node=p.ends.away)
        yield _build_shell(p, shell, clone, config)
        yield _copy(p, shell, clone, config)
    yield stand_in(p, clone, config)
    if plan.shell is not None:
        yield remove_shell(shell, clone=clone.vmid, origin=p.origin, run_id=p.run_id)
    yield from p.serve(clone)


def machine_of(p: Promotion, vmid: int) -> Machine:
    return Machine(p.client, vmid, name=p.name, node=p.ends.away)


# --- the plan --------------------------------------------------------------------------------------------------------


def _plan(p: Promotion) -> Plan:
    """Return the ids of shell and clone: those begun with, else new ones."""
    found = _begun(p)
    if found is None:
        # A shell that a killed controller has just asked for bears its tags only once it is made.
        outlast_unnamed(p, "qmcreate", within_s=CREATE_WITHIN_S)
        found = _begun(p)
    if found is not None:
        return found
    clone, shell = new_vmids(p, 2)
    return Plan(clone=clone, shell=shell)


def _begun(p: Promotion) -> Plan | None:
    found = p.found()
    copy, shells = copy_of(found), shells_of(found)
    if copy is not None:
        return Plan(clone=copy.vmid, shell=next((row.vmid for row in shells), None))
    for row in shells:
        return Plan(clone=int(row.stamps[tags.SHELL]), shell=row.vmid)
    return None


def _is_stamped(p: Promotion) -> bool:
    """Tell whether the clone bears its own stamps: from then on the original's configuration is not needed."""
    copy = p.copy()
    return copy is not None and stamps.PHASE in copy.stamps


def _is_cloned(p: Promotion) -> bool:
    copy = p.copy()
    return copy is not None and not machine_of(p, copy.vmid).now().lock


def _require_whole(p: Promotion, config: hardware.Config) -> None:
    reasons = hardware.obstacles(config) if config else ()
    if reasons:
        raise Refused(what=p.what, why="; ".join(reasons), next="restore a backup, which holds all disks")
    missed = hardware.left_behind(config)
    if missed:
        p.client.progress(f"{p.name}: the clone comes without {', '.join(missed)}, which only the other node has")


# --- the steps -------------------------------------------------------------------------------------------------------


def _build_shell(p: Promotion, shell: Machine, clone: Machine, config: hardware.Config) -> Step:
    def make() -> None:
        shell.run(
            "make the shell",
            "POST",
            f"/nodes/{p.ends.away}/qemu",
            within_s=CREATE_WITHIN_S,
            vmid=shell.vmid,
            name=f"dr-shell-{clone.vmid}",
            tags=tags.with_stamps("", _shell_marks(p, clone)),
            pool=p.ends.spec.replica.pool,
            **hardware.shell_config(config),
        )

    def choose_again() -> None:
        clone.vmid, shell.vmid = new_vmids(p, 2)

    return shell.step(
        "make a shell over the replica's disks",
        calls=[f"POST /nodes/{p.ends.away}/qemu vmid={shell.vmid} (disks of VM {p.origin}, no NIC)"],
        is_done=lambda sheet: _is_shell(sheet, clone.vmid, p.run_id) or _is_cloned(p),
        act=lambda: until_free(p, make, choose_again),
        tasks=("qmcreate",),
        within_s=CREATE_WITHIN_S,
        next=f"see that the disks vm-{p.origin}-disk-* are on {p.ends.away} and that the account may use them"
        f" (Datastore.Allocate on their storage), {AGAIN}",
    )


def _shell_marks(p: Promotion, clone: Machine) -> dict[str, str]:
    return {
        stamps.RUN: p.run_id,
        stamps.MODE: CLONE,
        stamps.POINT: p.point.id,
        tags.SHELL: str(clone.vmid),
    }


def _is_shell(sheet: Sheet, clone: int, run_id: str) -> bool:
    return sheet.is_there and not sheet.lock and sheet.has_run(run_id) and sheet.stamps.get(tags.SHELL) == str(clone)


def _copy(p: Promotion, shell: Machine, clone: Machine, config: hardware.Config) -> Step:
    def make() -> None:
        if not _is_shell(shell.now(), clone.vmid, p.run_id):
            raise ProviderFault(
                what=f"clone {shell.target}", why="it is not the shell that this run made", next="undo this run"
            )
        clone.run(
            "copy the replica's disks",
            "POST",
            f"{shell.path}/clone",
            within_s=COPY_WITHIN_S,
            newid=clone.vmid,
            name=config.get("name"),
            full=True,
            storage=p.ends.spec.replica.datastore,
            pool=p.ends.spec.replica.pool,
        )

    def choose_again() -> None:
        # The new id first into the shell's tag: whoever continues must find the clone that is made of it.
        (vmid,) = new_vmids(p, 1)
        marks = {tags.SHELL: str(vmid)}
        shell.put("plan another clone", lambda sheet: {"tags": tags.with_stamps(sheet.config.get("tags"), marks)})
        clone.vmid = vmid

    return clone.step(
        "copy the replica's disks",
        calls=[f"POST {shell.path}/clone newid={clone.vmid} full=1"],
        # What is copied bears the shell's tags at once, and the lock until it is whole.
        is_done=lambda sheet: sheet.is_there and sheet.has_run(p.run_id) and not sheet.lock,
        act=lambda: until_free(p, make, choose_again),
        tasks=("qmclone",),
        task_vmid=shell.vmid,
        on_nodes=lambda: [shell.node],
        within_s=COPY_WITHIN_S,
        more=lambda sheet: {COPIED: hardware.size_bytes(sheet.config)} if sheet.is_there and not sheet.lock else {},
        next=f"free space on the storage of {p.ends.away}, {AGAIN}; a copy that was cut off goes with `qm unlock"
        f" {clone.vmid}` and `qm destroy {clone.vmid}`",
    )


def stand_in(p: Promotion, machine: Machine, config: hardware.Config) -> Step:
    """Return the step that makes a fresh copy the original's stand-in, off the network, in one write."""
    name = "make it the original's stand-in"
    kept = keepsake.from_config(config, ha=None, origin=p.origin, home=p.ends.home)

    def change(sheet: Sheet) -> dict[str, object]:
        return hardware.identity(
            sheet.config, config, kept, run_id=p.run_id, phase=Phase.PROMOTING, mode=p.way, point=p.point.id
        )

    def is_done(sheet: Sheet) -> bool:
        is_marked = sheet.has_run(p.run_id) and stamps.PHASE in sheet.stamps and tags.SHELL not in sheet.stamps
        return is_marked and keepsake.of(sheet.config) is not None

    def act() -> None:
        sheet = machine.now()
        if sheet.power is not Power.OFF or not sheet.has_run(p.run_id) or machine.vmid == p.origin:
            raise ProviderFault(
                what=f"{name}: {machine.target}",
                why=f"it is {sheet.power} and not what this run has just copied",
                next="see the status playbook, then undo this run",
            )
        machine.put(name, change)

    return machine.step(
        name,
        calls=[f"PUT {machine.path}/config name, smbios1, net* (same MAC, link_down=1), tags, description"],
        is_done=is_done,
        act=act,
        next=f"read the answer of Proxmox VE above, {AGAIN}",
    )


def remove_shell(shell: Machine, *, clone: int, origin: int, run_id: str) -> Step:
    """Return the step that removes the shell, and nothing but the shell of this run."""

    def act() -> None:
        sheet = shell.now()
        is_ours = sheet.has_run(run_id) and sheet.stamps.get(tags.SHELL) == str(clone)
        if not is_ours or sheet.power is not Power.OFF or shell.vmid in (clone, origin):
            raise ProviderFault(
                what=f"remove {shell.target}",
                why=f"it is {sheet.power} and not the shell that run {run_id} made",
                next="look at this VM yourself; it is left as it is",
            )
        destroy(shell)

    return shell.step(
        "remove the shell",
        calls=[f"DELETE {shell.path} (its disks are VM {origin}'s and stay)"],
        is_done=lambda sheet: not sheet.is_there,
        act=act,
        tasks=("qmdestroy",),
        within_s=DESTROY_WITHIN_S,
        next=f"remove VM {shell.vmid} by hand, never with 'Destroy unreferenced disks', {AGAIN}",
    )


def destroy(machine: Machine, **params: bool) -> None:
    options = {"destroy-unreferenced-disks": False, **params}
    machine.run("remove", "DELETE", machine.path, within_s=DESTROY_WITHIN_S, **options)
