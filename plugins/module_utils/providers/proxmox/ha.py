# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Promote by Proxmox VE's own HA, which alone may take a VM from a dead node by API. Only when a person names this way.

HA believes the node dead because the others do not see it. One that is merely cut off, and had no HA service before, has no
watchdog armed and goes on running the VM: two copies. So the core demands a proof that its power is off, and here it must at
least be gone from the cluster, which must have a quorum without it. HA powers the VM on with its network: there is no
look at the guest before that.
"""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import ProviderFault, Refused
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Power
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Sight, Step
from ansible_collections.ferragosto.dr.plugins.module_utils.core.waiting import wait_until
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import guards, inplace, power
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.acting import Machine, votes
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.faults import Kind, VendorFault
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.promotion import Promotion
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import AGAIN

RECOVERED_WITHIN_S = 600.0  # two minutes until the dead node's lease is over, then the start


def promote(p: Promotion) -> Iterator[Step]:
    """Yield the steps. Refuses before the first of them."""
    p.refuse_foreign()
    machine = Machine(p.client, p.origin, name=p.name, node=p.owner(), vm_id=p.replica.id)
    if machine.node != p.ends.away:
        require_dead(p)
    yield from p.hold_job(is_point_checked=lambda: p.owner() == p.ends.home)
    yield _pin(p)
    yield _hand_over(p, machine)
    yield _recovered(p, machine)
    yield inplace.stand_in(p, machine)
    yield _take_back(machine)
    yield from p.serve(machine)


def require_dead(p: Promotion) -> None:
    shown = votes(p.client)
    if p.ends.home not in shown.known:
        why = f"{p.ends.home} is not a node of the cluster of {p.ends.away}"
    elif not shown.is_dead(p.ends.home):
        why = f"the cluster still sees {p.ends.home}: HA takes nothing from a node that lives"
    elif not shown.is_quorate:
        why = f"without {p.ends.home} the cluster has no quorum, and HA does nothing"
    else:
        return
    raise Refused(what=p.what, why=why, next="promote by clone or in_place (dr_policy.promotion)")


def rule_of(vmid: int) -> str:
    return f"ferragosto-dr-{vmid}"


def _pin(p: Promotion) -> Step:
    """Return the step that lets HA choose no other node than the replica's, where the disks are."""
    rule = rule_of(p.origin)

    def is_pinned() -> bool:
        try:
            shown = p.client.get(f"/cluster/ha/rules/{rule}")
        except VendorFault as fault:
            if fault.kind in (Kind.NO_SUCH_THING, Kind.BAD_PARAMETER):
                return p.owner() == p.ends.away
            raise
        return str(shown.get("nodes") or "").startswith(p.ends.away)

    def act() -> None:
        p.client.send(
            "POST",
            "/cluster/ha/rules",
            rule=rule,
            type="node-affinity",
            resources=f"vm:{p.origin}",
            nodes=p.ends.away,
            strict=True,
            comment=guards.HA_OURS,
        )

    return Step(
        name="pin it to the replica node",
        target=f"{p.name} (VM {p.origin})",
        calls=(f"POST /cluster/ha/rules rule={rule} nodes={p.ends.away} strict=1",),
        look=lambda: Sight(is_done=is_pinned(), seen={"rule": rule}),
        act=act,
        next=f"make a node affinity rule for vm:{p.origin} by hand (Datacenter > HA > Affinity Rules), {AGAIN}",
    )


def _hand_over(p: Promotion, machine: Machine) -> Step:
    """Return the step that asks HA to run the VM. One that HA manages already is being recovered by itself."""

    def is_handed_over() -> bool:
        return p.owner() == p.ends.away or guards.ha_of(machine) is not None

    return Step(
        name="hand it to HA",
        target=machine.target,
        calls=(f"POST /cluster/ha/resources sid=vm:{p.origin} state=started",),
        look=lambda: Sight(is_done=is_handed_over(), seen={"id": machine.vm_id, "configured_on": p.owner()}),
        act=lambda: p.client.send(
            "POST", "/cluster/ha/resources", sid=f"vm:{p.origin}", state="started", comment=guards.HA_OURS
        ),
        next=f"add vm:{p.origin} to HA by hand (`ha-manager add vm:{p.origin} --state started`), {AGAIN}",
    )


def _recovered(p: Promotion, machine: Machine) -> Step:
    def is_here() -> bool:
        if p.owner() != p.ends.away:
            return False
        machine.node = p.ends.away
        return machine.now().power is Power.ON

    def act() -> None:
        if wait_until(lambda: is_here() or None, within_s=RECOVERED_WITHIN_S, clock=p.clock, every_s=2.0) is None:
            raise ProviderFault(
                what=f"wait until HA has recovered {machine.target}",
                why=f"after {RECOVERED_WITHIN_S:.0f} s it is still configured on {p.owner()}",
                next=f"read `ha-manager status` on {p.ends.away}: is the dead node fenced, does a rule forbid it? {AGAIN}",
            )

    return Step(
        name=power.POWER_ON,
        target=machine.target,
        calls=(f"GET /cluster/resources until VM {p.origin} runs on {p.ends.away}",),
        look=lambda: Sight(is_done=is_here(), seen={"id": machine.vm_id, "configured_on": p.owner()}),
        act=act,
        next=f"read `ha-manager status` on {p.ends.away}, {AGAIN}",
    )


def _take_back(machine: Machine) -> Step:
    """Return the step that ends HA's part: what follows is this run's to decide."""

    def act() -> None:
        own = guards.ha_of(machine)
        if own is not None and own.get("comment") == guards.HA_OURS:
            machine.client.send("DELETE", f"/cluster/ha/resources/vm:{machine.vmid}", purge=True)
        else:
            guards.set_ha(machine, "ignored")

    return machine.step(
        "take it out of HA's hands",
        calls=[f"DELETE /cluster/ha/resources/vm:{machine.vmid} purge=1"],
        is_done=lambda sheet: not sheet.is_in_ha,
        act=act,
        tasks=power.ON_TASKS,
        next=f"`ha-manager remove vm:{machine.vmid}` on a node, {AGAIN}",
    )
