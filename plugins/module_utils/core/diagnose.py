# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with one VM, by rule, with the evidence kept.

One read cannot tell a guest that boots from one that hangs, so the caller keeps first-seen times: note every pair of
``observables`` in the journal's observations under the VM's key, then hand over the observations of all names in ``OBSERVED``:
also those not seen now, they are the last known values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ansible_collections.ferragosto.dr.plugins.module_utils.core import blast
from ansible_collections.ferragosto.dr.plugins.module_utils.core.findings import (
    Blast,
    Diagnosis,
    Evidence,
    ServiceReading,
    Verdict,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import (
    EndpointReading,
    Event,
    EventKind,
    Host,
    Power,
    Tools,
    Vm,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Observation
from ansible_collections.ferragosto.dr.plugins.module_utils.core.symptoms import (
    STARTS,
    STOPS,
    Case,
    clock_skew_s,
    lost_contact,
    span,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.verdicts import RULES

OBSERVED = ("contact", "power", "heartbeat", "question", "service", "tools_ran")
UNHEALTHY = frozenset(Verdict) - {Verdict.HEALTHY, Verdict.GUEST_TOOLS_MISSING}

_CHANGES = (EventKind.RECONFIGURED, EventKind.SNAPSHOT, EventKind.MIGRATED)
_CHANGES_BY_PERSON = STARTS + STOPS


def observables(
    vm: Vm | None, *, endpoint: EndpointReading, host: Host | None, service: ServiceReading | None
) -> dict[str, str | bool]:
    """Return what is worth a first-seen time, by name; only what is seen now, never a last known value."""
    lost = lost_contact(vm, endpoint, host)
    seen: dict[str, str | bool] = {"contact": "lost" if lost else "seen"}
    if service is not None and service.answers is not None:
        seen["service"] = service.answers
    if vm is not None and not lost:
        seen |= {"power": vm.power.value, "heartbeat": vm.guest.heartbeat.value, "question": vm.question or ""}
        if vm.guest.tools is Tools.RUNNING:
            seen["tools_ran"] = True  # never taken back: it tells tools that stopped from tools that never were
    return seen


def diagnose(
    vm: Vm | None,
    *,
    endpoint: EndpointReading,
    host: Host | None,
    neighbours: Sequence[Vm] = (),
    events: Sequence[Event] = (),
    observations: Mapping[str, Observation] | None = None,
    service: ServiceReading | None = None,
    now_s: float,
    others: Sequence[EndpointReading] = (),
    boot_grace_s: float = 300.0,
    hung_after_s: float = 120.0,
    loop_window_s: float = 900.0,
) -> Diagnosis:
    """Diagnose one copy. ``vm`` None: it is not seen; ``others`` are the site's other endpoints, for the blast radius.

    Events and boot times are on the endpoint's clock; what is returned is on ours. The adapter leaves ``Event.user`` empty
    for the platform's own accounts, so that a named user is a person.
    """
    skew_s = clock_skew_s(endpoint)
    case = Case(
        vm=vm,
        endpoint=endpoint,
        host=host,
        neighbours=neighbours,
        events=tuple(sorted((replace(e, at_s=e.at_s - skew_s) for e in events), key=lambda e: e.at_s)),
        observations=observations or {},
        service=service,
        now_s=now_s,
        skew_s=skew_s,
        others=others,
        boot_grace_s=boot_grace_s,
        hung_after_s=hung_after_s,
        loop_window_s=loop_window_s,
    )
    found = next(finding for rule in RULES if (finding := rule(case)) is not None)
    radius, radius_reason = Blast.NONE, ""
    if found.verdict in UNHEALTHY:
        radius, radius_reason = found.blast or (
            blast.of_trouble(vm, neighbours) if vm else (Blast.VM, "it is not seen")
        )
    return Diagnosis(
        verdict=found.verdict,
        is_certain=found.is_certain,
        reason=found.reason,
        evidence=_evidence(case),
        blast=radius,
        blast_reason=radius_reason,
        by_whom=found.by_whom,
        fault_at_s=found.fault_at_s,
        last_change=_last_change(case, found.fault_at_s),
    )


# --- evidence --------------------------------------------------------------------------------------------------------


def _evidence(case: Case) -> tuple[Evidence, ...]:
    found = _shown(case)
    found += [
        Evidence(text=f"crash: {e.text}" if e.text else "crash reported by the guest", at_s=e.at_s)
        for e in case.crashes()[-3:]
    ]
    if (stop := case.newest(*STOPS)) is not None and case.vm is not None and case.vm.power is not Power.ON:
        by = f" by {stop.user}" if stop.user else ""
        found.append(Evidence(text=f"{stop.kind.replace('_', ' ')}{by}: {stop.text}".rstrip(": "), at_s=stop.at_s))
    if case.service is not None and case.service.answers is not None:
        found.append(Evidence(text=f"service: {case.service.reason}"))
    if case.skew_s:
        way = "ahead of" if case.skew_s > 0 else "behind"
        found.append(Evidence(text=f"the clock of {case.endpoint.address} is {span(abs(case.skew_s))} {way} ours"))
    return tuple(found)


def _shown(case: Case) -> list[Evidence]:
    """Return what the hypervisor shows, or its last known values with their age (invariant 10)."""
    lost = lost_contact(case.vm, case.endpoint, case.host)
    if lost:
        facts = [
            Evidence(text=f"last known {name} {o.value}", at_s=o.last_at_s)
            for name in ("power", "heartbeat")
            if (o := case.observations.get(name)) is not None
        ]
        if not facts and case.vm is not None:
            facts = [Evidence(text=f"last known power {case.vm.power}, of unknown age")]
        return [Evidence(text=lost, at_s=case.endpoint.read_at_s), *facts]
    vm, at_s = case.seen, case.endpoint.read_at_s
    found = [Evidence(text=f"{vm.host}: power {vm.power}", at_s=at_s)]
    if vm.question is not None:
        found.append(Evidence(text=f"question: {vm.question}", at_s=at_s))
    if vm.power is Power.ON:
        found.append(Evidence(text=f"heartbeat {vm.guest.heartbeat}, guest tools {vm.guest.tools}", at_s=at_s))
        if case.boot_at_s is not None:
            found.append(Evidence(text="last start", at_s=case.boot_at_s))
    return found


def _last_change(case: Case, fault_at_s: float | None) -> Event | None:
    """Return the newest change up to the fault (what came later is an answer to it), else the newest at all."""
    changes = [e for e in case.events if e.kind in _CHANGES or (e.kind in _CHANGES_BY_PERSON and e.user)]
    before = [e for e in changes if fault_at_s is None or e.at_s <= fault_at_s]
    return next(reversed(before or changes), None)
