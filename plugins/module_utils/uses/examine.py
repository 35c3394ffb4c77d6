# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Examining one protected VM: its two copies, its state, its service, its diagnosis. Reads only; keeps first-seen times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ansible_collections.ferragosto.dr.plugins.module_utils.core import diagnose, memory, runs, states
from ansible_collections.ferragosto.dr.plugins.module_utils.core.findings import Diagnosis, ServiceReading
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import (
    EndpointReading,
    Host,
    Pair,
    SiteReading,
    Vm,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Record, Site
from ansible_collections.ferragosto.dr.plugins.module_utils.core.verify import read_service
from ansible_collections.ferragosto.dr.plugins.module_utils.probes.prober import check_service
from ansible_collections.ferragosto.dr.plugins.module_utils.session import Session
from ansible_collections.ferragosto.dr.plugins.module_utils.uses.item import Item

EVENTS_SINCE_S = 7 * 86400.0
PROMOTED = frozenset({states.State.FAILOVER, states.State.FAILBACK, states.State.COMMITTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One VM, examined."""

    item: Item
    site: Site
    reading: SiteReading
    pair: Pair
    records: Sequence[Record]
    run: runs.Run | None
    state: states.StateView
    service: ServiceReading
    diagnosis: Diagnosis

    @property
    def production_host(self) -> Host | None:
        return self.reading.production.host(self.pair.production_node)

    @property
    def replica_host(self) -> Host | None:
        return self.reading.replica.host(self.pair.replica_node)


def examine(session: Session, item: Item, reading: SiteReading, *, is_deep: bool) -> Subject:
    """Examine one VM in a reading of its site."""
    site = session.site(item.site)
    records = session.journal.records(vm_key=item.vm_key)
    run = runs.open_run(records)
    now_s = session.clock.now_s()
    reading, pair = memory.find_pair(
        session.journal,
        item.vm_key,
        reading,
        run,
        vm=item.vm,
        replica=item.replica,
        isolated=item.isolated,
        noted_at_s=None if session.is_check else now_s,
    )
    trail = runs.trail(records, session.journal.lease(item.vm_key), session.owner)
    state = states.derive(pair, trail, now_s=now_s, rpo_s=item.contract.rpo_s)
    service = _service(session, item, pair, state) if is_deep else read_service(())
    return Subject(
        item=item,
        site=site,
        reading=reading,
        pair=pair,
        records=records,
        run=run,
        state=state,
        service=service,
        diagnosis=_diagnosis(session, item, site, reading, pair, service, is_deep=is_deep),
    )


def _service(session: Session, item: Item, pair: Pair, state: states.StateView) -> ServiceReading:
    """Ask once: the card shows how it is now. The copy that should serve is the one whose answer counts."""
    serving = pair.replica if state.state in PROMOTED else pair.production
    return check_service(
        item.checks,
        address=item.address,
        deadline_s=0.0,
        expected_copy=(serving.id, *serving.guest_ids) if serving is not None else None,
        clock=session.clock,
        progress=lambda _text: None,
    )


def _diagnosis(
    session: Session,
    item: Item,
    site: Site,
    reading: SiteReading,
    pair: Pair,
    service: ServiceReading,
    *,
    is_deep: bool,
) -> Diagnosis:
    vm, endpoint = pair.production, reading.production
    host = endpoint.host(vm.host if vm is not None else pair.production_node)
    now_s = session.clock.now_s()
    if not session.is_check:
        seen = diagnose.observables(vm, endpoint=endpoint, host=host, service=service)
        for name, value in seen.items():
            session.journal.observe(item.vm_key, name, value, at_s=now_s)
    noted = {name: session.journal.observation(item.vm_key, name) for name in diagnose.OBSERVED}
    return diagnose.diagnose(
        vm,
        endpoint=endpoint,
        host=host,
        neighbours=_neighbours(vm, endpoint),
        events=site.events(vm, now_s - EVENTS_SINCE_S) if vm is not None and is_deep else (),
        observations={name: one for name, one in noted.items() if one is not None},
        service=service if service.answers is not None else None,
        now_s=now_s,
        others=tuple(end for end in reading.endpoints() if end is not endpoint),
    )


def _neighbours(vm: Vm | None, endpoint: EndpointReading) -> tuple[Vm, ...]:
    """Return the other VMs of its host and of its datastores; those that are off by design say nothing of the trouble."""
    if vm is None:
        return endpoint.vms
    stores = set(vm.datastores)
    return tuple(
        other
        for other in endpoint.vms
        if other.id != vm.id and (other.host == vm.host or stores & set(other.datastores))
    )
