# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Promote in place: the VM's own configuration moves to its replica's disks. At once, but only over SSH.

What it leaves behind are disks without a VM, as they were, for as long as the job stays disabled: once it runs again, in the
other direction, they are overwritten.
"""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import ProviderFault, Refused
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Power
from ansible_collections.ferragosto.dr.plugins.module_utils.core.stamps import Phase
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Sight, Step
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import guards, keepsake, ssh, tags
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.acting import Machine, Sheet, rows, votes
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.ends import HA, Ends
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.keepsake import Keepsake
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.promotion import Promotion
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import AGAIN


def promote(p: Promotion) -> Iterator[Step]:
    """Yield the steps. Refuses before the first of them."""
    p.refuse_foreign()
    if not ssh.is_configured(p.ends.spec.replica):
        raise Refused(
            what=p.what,
            why="a configuration can be moved on a node only, and no SSH is configured for the replica's endpoint",
            next="set ssh_user, ssh_key_path and ssh_known_hosts_path of dr_site.replica, or promote by clone",
        )
    if not p.ends.is_one_cluster():
        raise Refused(
            what=p.what,
            why=f"{p.ends.home} and {p.ends.away} are not nodes of one cluster: there is no configuration to move",
            next="restore a backup instead",
        )
    machine = Machine(p.client, p.origin, name=p.name, node=p.owner(), vm_id=p.replica.id)
    yield quorum_of_one(p.ends)
    yield from p.hold_job(is_point_checked=lambda: p.owner() == p.ends.home)
    yield move_step(
        p.ends, machine, source=p.ends.home, target=p.ends.away, name="move its configuration to the replica"
    )
    yield stand_in(p, machine)
    yield guards.ha_off(machine)
    yield from p.serve(machine)


# --- the steps -------------------------------------------------------------------------------------------------------


def quorum_of_one(ends: Ends) -> Step:
    """Return the step that lets the surviving node write again. Never while the cluster sees the other one."""
    shell = ssh.NodeShell(ends.spec.replica)

    def act() -> None:
        if not votes(ends.replica).is_dead(ends.home):
            raise ProviderFault(
                what=f"let {ends.away} decide alone",
                why=f"the cluster has no quorum, though it sees {ends.home}",
                next=f"repair the cluster (pvecm status), {AGAIN}",
            )
        shell.expect_one_vote()

    def look() -> Sight:
        shown = votes(ends.replica)
        return Sight(is_done=shown.is_quorate, seen={"is_quorate": shown.is_quorate, "online": sorted(shown.online)})

    return Step(
        name="get a quorum",
        target=f"cluster of {ends.away}",
        calls=(f"ssh {ends.away} pvecm expected 1",),
        look=look,
        act=act,
        next=f"bring the other node or the QDevice back, or run `pvecm expected 1` on {ends.away}, {AGAIN}",
    )


def move_step(ends: Ends, machine: Machine, *, source: str, target: str, name: str) -> Step:
    """Return the step that gives the VM's configuration to the other node, where the other set of its disks is."""
    shell = ssh.NodeShell(ends.spec.replica)

    def place() -> str:
        return next((row.node for row in rows(machine.client) if row.vmid == machine.vmid), "")

    def act() -> None:
        _require_off(ends, machine, source)
        shell.move_config(machine.vmid, source=source, target=target)
        machine.node = target

    def look() -> Sight:
        at = place()
        return Sight(is_done=at == target, seen={"id": machine.vm_id, "configured_on": at or "no node"})

    return Step(
        name=name,
        target=machine.target,
        calls=(f"ssh {ends.away} {' '.join(ssh.move_argv(machine.vmid, source=source, target=target))}",),
        look=look,
        act=act,
        next=f"see on {ends.away} where {machine.vmid}.conf is (ls /etc/pve/nodes/*/qemu-server) and why it does not move,"
        f" {AGAIN}",
    )


def _require_off(ends: Ends, machine: Machine, source: str) -> None:
    """A VM that runs goes on running without its configuration, on the disks that are left behind: two copies."""
    if votes(ends.replica).is_dead(source):
        return  # proven off by a witness, or accepted: the core asked before
    sheet = machine.now()
    if sheet.power is not Power.OFF or sheet.lock:
        raise ProviderFault(
            what=f"move the configuration of {machine.target}",
            why=f"it is {sheet.power} on {source}" + (f" and locked ({sheet.lock})" if sheet.lock else ""),
            next=f"fence it first: it must be seen off, {AGAIN}",
        )


def stand_in(p: Promotion, machine: Machine) -> Step:
    """Return the step that says whose it is, in the write that takes it off the network.

    Of a dead node's VM this is the first write of all: what it was is kept in it.
    """

    def kept_of(sheet: Sheet) -> Keepsake:
        kept = keepsake.of(sheet.config) or guards.kept_now(machine, sheet)
        return keepsake.at_home(kept, origin=p.origin, home=p.ends.home)

    def change(sheet: Sheet) -> dict[str, object]:
        kept = kept_of(sheet)
        # HA starts it with its network before anybody of us can write: what serves is not cut off for form's sake.
        nets = {} if p.way == HA else keepsake.linked(sheet.nets, is_up=False)
        marks = {
            stamps.FENCED: "",
            stamps.RUN: p.run_id,
            stamps.PHASE: Phase.PROMOTING,
            stamps.MODE: p.way,
            stamps.POINT: p.point.id,
        }
        return {
            **nets,
            "tags": tags.with_stamps(sheet.config.get("tags"), marks),
            "description": keepsake.written(sheet.config, kept),
            "onboot": False,
        }

    def is_done(sheet: Sheet) -> bool:
        return sheet.has_run(p.run_id) and sheet.stamps.get(stamps.MODE) == p.way and stamps.PHASE in sheet.stamps

    return machine.step(
        "stamp as being promoted",
        calls=[f"PUT {machine.path}/config tags, description, net* (link_down=1), onboot=0"],
        is_done=is_done,
        act=lambda: machine.put("stamp as being promoted", change),
        next=f"read the answer of Proxmox VE above, {AGAIN}",
    )
