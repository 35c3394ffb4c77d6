# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Before a promotion: would the replica's host fail over to this point, and which switches is the guest to be connected to.

Everything is read from the replica's host in one process; the production host, which may be dead, is asked for the names of its
switches only where it is known to answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps, ways
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import DrError
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Pair, Power, RecoveryPoint, Vm, Way
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import keepsake, wire
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.acting import Machine
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.ends import Ends
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.keepsake import Keepsake
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.points import NEWEST, POINT, snapshot_of
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts import failover as scripts
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.survey import Adapter, Sheet
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.ends import require_replica

# States of a replica that a failover starts from. "Error" is none of them: resynchronise, or remove the replication.
PROMOTABLE = ("Replicating", "Resynchronizing", "Suspended", "WaitingForUpdateCompletion")
BEGUN = "FailedOverWaitingCompletion"
COMPLETED = "FailedOver"
CLUSTERED = "is a role of a failover cluster, which starts and moves it by itself"


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """What the production copy is, or was before its fence."""

    autostart: str
    replication: str  # the state of its replication
    nics: tuple[Adapter, ...]  # in their order, connected as before
    is_clustered: bool = False

    @classmethod
    def of(cls, sheet: Sheet) -> Original:
        kept = keepsake.now(sheet)
        nics = (replace(nic, switch=kept.nics.get(keepsake.short(nic.id), nic.switch)) for nic in sheet.nics)
        return cls(
            autostart=kept.autostart,
            replication=sheet.replication_state,
            nics=tuple(nics),
            is_clustered=sheet.is_clustered,
        )

    def switch_of(self, nic: Adapter, place: int, alike: Sequence[Adapter]) -> str | None:
        """Return where the adapter was connected that this one stands for: of the same id, the same name, or in the same place."""
        same = [own for own in self.nics if keepsake.short(own.id) == keepsake.short(nic.id)]
        if not same and [one.name for one in alike].count(nic.name) == 1:
            same = [own for own in self.nics if own.name == nic.name]
        if len(same) != 1 and len(self.nics) == len(alike):
            same = [self.nics[place]]
        return same[0].switch if len(same) == 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """What was found, and every reason that speaks against a failover. ``serve`` is adapter -> switch, by their short ids."""

    sheet: Sheet
    original: Original | None  # None where its host does not answer
    serve: Mapping[str, str] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()

    def kept(self) -> Keepsake:
        """Return what the replica is to keep of itself and of its original."""
        own = keepsake.now(self.sheet)
        if _is_kept(self.sheet):
            return own  # by this run before: the production host may be gone by now
        home = keepsake.Home()
        if self.original is not None:
            home = keepsake.Home(autostart=self.original.autostart, replication=self.original.replication)
        return replace(own, serve=self.serve, home=home)


def check(ends: Ends, pair: Pair, point: RecoveryPoint, machine: Machine | None = None) -> Preflight:
    """Read both hosts and judge. A replica that a run of ours has in its hands is not asked what it has begun already.

    ``machine`` is the replica in the hands of who goes on from here: what is read of it is the look of its first step.
    """
    vm = require_replica(pair, "promote the replica")
    machine = machine if machine is not None else ends.machine(vm)
    # The other host first: it may let us wait, and what is read of the replica must be of now
    original = None if stamps.MODE in vm.stamps else _original(ends, pair, vm)
    # Not tried on one of ours: a failover that is under way refuses a second one, and is ended first
    is_ours = bool(vm.stamps.get(stamps.RUN))
    row = machine.client.run(scripts.CHECK, id=machine.guid, point=snapshot_of(point.id), is_tried=not is_ours)
    sheet = machine.take(row.get("sheet") or {}) or machine.begin()
    switches = wire.words(row.get("switches"))
    serve, missing = ({}, []) if _is_kept(sheet) else _plan(ends, sheet, vm, switches, original)
    reasons = [*_reasons(sheet, point), *missing]
    if original is not None and original.is_clustered:
        reasons.append(f"the original, which would have to be fenced, {CLUSTERED}")
    refusal = row.get("refusal")
    if not reasons and isinstance(refusal, dict):
        said = f"{refusal.get('category') or 'refused'}: {str(refusal.get('message') or '').strip()}"
        reasons = [f"{vm.host} itself would refuse the failover ({said})"]
    return Preflight(sheet=sheet, original=original, serve=serve, reasons=tuple(reasons))


def _is_kept(sheet: Sheet) -> bool:
    return stamps.MODE in sheet.stamps and keepsake.of(sheet) is not None


def as_way(found: Preflight, ends: Ends) -> Way:
    if found.reasons:
        return Way(name=ways.FAILOVER, is_possible=False, reason="; ".join(found.reasons))
    return Way(
        name=ways.FAILOVER,
        is_possible=True,
        reason=f"Hyper-V fails its replica over on {ends.away}; original and recovery points stay as they are",
    )


# --- what speaks against it ------------------------------------------------------------------------------------------


def _reasons(sheet: Sheet, point: RecoveryPoint) -> list[str]:
    """Return what the replica itself shows against a failover, in our words."""
    relation, is_ours = sheet.relation, stamps.RUN in sheet.stamps
    found = []
    if sheet.is_clustered:
        found.append(f"the replica {CLUSTERED}")
    if point.id != NEWEST and not point.id.startswith(POINT):
        found.append(f"{point.id} is no recovery point of Hyper-V Replica")
    elif not _has_point(sheet, point):
        found.append(f"its recovery point {point.name!r} is gone")
    if relation is None or not relation.is_replica:
        return [*found, f"it is no replica there (replication mode {sheet.mode})"]
    if is_ours:
        return found
    if relation.state == BEGUN:
        found.append(
            "a failover that bears no stamp of ours is under way (FailedOverWaitingCompletion): Stop-VMFailover takes it back"
        )
    elif relation.state not in PROMOTABLE:
        found.append(f"its replication state is {relation.state}: a failover starts from {', '.join(PROMOTABLE)}")
    if relation.last_at_s is None:
        found.append("it has never received a replication to its end")
    if sheet.power is not Power.OFF:
        found.append(f"it is {sheet.state}, and a failover starts from a VM that is off")
    return found


def _has_point(sheet: Sheet, point: RecoveryPoint) -> bool:
    is_there_already = sheet.stamps.get(stamps.POINT) == point.id and sheet.replication_state not in PROMOTABLE
    if point.id == NEWEST or is_there_already:
        return True  # what it was failed over to may not be listed any more
    return snapshot_of(point.id) in {one.id for one in sheet.recovery_points()}


# --- switches --------------------------------------------------------------------------------------------------------


def _original(ends: Ends, pair: Pair, replica: Vm) -> Original | None:
    if not pair.is_production_reachable or pair.production is None:
        return None
    try:
        return Original.of(ends.counterpart(replica).now())
    except DrError:
        return None  # it died meanwhile: what it was is not needed where dr_site.replica.network says it


def _plan(
    ends: Ends, sheet: Sheet, vm: Vm, switches: Sequence[str], original: Original | None
) -> tuple[dict[str, str], list[str]]:
    """Choose a switch for each adapter, "" for one that was not connected; and say which cannot be chosen."""
    network = ends.end_at(vm.host).network or ""
    before = [original.switch_of(nic, place, sheet.nics) if original else None for place, nic in enumerate(sheet.nics)]
    serve: dict[str, str] = {}
    missing: dict[str, None] = {}
    for place, nic in enumerate(sheet.nics):
        was = before[place]
        if was == "" and network and not any(before):
            was = None  # somebody pulled every cable by hand: it is to serve where dr_site says
        wanted = _switch(was, network, switches)
        if wanted is None:
            missing[
                f"the switch that its NIC {nic.name!r} was connected to is not known, and {vm.host} has"
                f" {_list(switches)}: set `network` of dr_site.replica"
            ] = None
        elif wanted and wanted not in switches:
            missing[
                f"{vm.host} has no switch {wanted!r} (it has {_list(switches)}): make it, or set `network` of dr_site.replica"
            ] = None
        else:
            serve[keepsake.short(nic.id)] = wanted
    return serve, list(missing)


def _switch(was: str | None, network: str, switches: Sequence[str]) -> str | None:
    if was == "":
        return ""  # it was not connected there either
    if network:
        return network
    if was is not None:
        return was
    return switches[0] if len(switches) == 1 else None


def _list(switches: Sequence[str]) -> str:
    return ", ".join(repr(one) for one in switches) or "no switch at all"
