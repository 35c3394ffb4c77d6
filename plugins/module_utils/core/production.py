# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Use cases on the production copy: power, restart attempts, fence, unfence."""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ansible_collections.ferragosto.dr.plugins.module_utils.core import runs, stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import SiteUnreachable, SplitBrainRisk
from ansible_collections.ferragosto.dr.plugins.module_utils.core.fencing import prove_fenced
from ansible_collections.ferragosto.dr.plugins.module_utils.core.findings import (
    FenceProof,
    ProofKind,
    ServiceReading,
    Witness,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import (
    Connection,
    Pair,
    Power,
    SiteReading,
    Vm,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import GuestOutcome
from ansible_collections.ferragosto.dr.plugins.module_utils.core.words import Deadlines
from ansible_collections.ferragosto.dr.plugins.module_utils.core.work import Work

Probe: t.TypeAlias = Callable[[], ServiceReading]


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartOutcome:
    is_serving: bool
    attempts: tuple[dict[str, t.Any], ...]
    service: ServiceReading | None


def seen_production(pair: Pair) -> Vm:
    """Return the production copy, or say that it cannot be seen."""
    if pair.production is None:
        raise SiteUnreachable(
            what=f"work on the production copy of {pair.name}",
            why=f"the endpoint of {pair.production_node or 'the production host'} does not answer",
            next="restore the connection, or recover on the replica with a witness or dr_accept.unfenced",
        )
    return pair.production


def may_power_on(pair: Pair) -> None:
    """Refuse to start the production copy where that would make two live copies, or undo a fence (invariants 1 and 6)."""
    production = seen_production(pair)
    fenced_by = production.stamps.get(stamps.FENCED)
    if fenced_by:
        raise SplitBrainRisk(
            what=f"power on {production.name}",
            why=f"it is fenced by run {fenced_by}: its replica may serve in its place",
            next="use the undo playbook, which stops the replica first",
        )
    if pair.replica is not None and pair.replica.power is Power.ON:
        raise SplitBrainRisk(
            what=f"power on {production.name}",
            why=f"its replica {pair.replica.name} is powered on at {pair.replica.host}",
            next="see the status playbook: adopt, undo or resolve first",
        )


def restart(work: Work, pair: Pair, *, attempts: int, within_s: float, probe: Probe) -> RestartOutcome:
    """Restart until the service answers, at most ``attempts`` times in this run; each attempt is waited for and verified."""
    production = seen_production(pair)
    may_power_on(pair)
    rows: list[dict[str, t.Any]] = []
    run = runs.open_run(work.journal.records(vm_key=work.vm_key))
    ended = run.restarts_ended if run is not None else 0
    for number in range(ended + 1, attempts + 1):
        asked_at_s = work.clock.now_s()
        work.do("restart", work.site.reset(production, attempt=number, run_id=work.run_id))
        if work.is_check:
            break
        work.progress(f"restart {number} of {attempts}: waiting for the guest")
        # A killed controller may have reset it: its guest crashed before we came, and will not crash again.
        began_at_s = runs.restart_began_at_s(work.journal.records(vm_key=work.vm_key), work.run_id)
        since_s = asked_at_s if began_at_s is None else min(asked_at_s, began_at_s)
        guest = work.site.await_guest(production, within_s=within_s, since_s=since_s)
        service = probe() if guest.outcome is GuestOutcome.ALIVE else None
        is_serving = service is not None and service.answers is not False
        row = {
            "attempt": number,
            "guest": guest.outcome.value,
            "evidence": guest.evidence if service is None else service.reason,
            "is_serving": is_serving,
            "took_s": round(work.clock.now_s() - asked_at_s, 3),
        }
        work.note("attempt", row)
        work.progress(f"restart {number} of {attempts}: {row['evidence']}")
        rows.append(row)
        if is_serving:
            return RestartOutcome(is_serving=True, attempts=tuple(rows), service=service)
    return RestartOutcome(is_serving=False, attempts=tuple(rows), service=None)


def fence(
    work: Work,
    reading: SiteReading,
    pair: Pair,
    *,
    ask_witnesses: Callable[[], Sequence[Witness]],
    accepted: str | None,
    limits: Deadlines,
) -> FenceProof:
    """Fence the production copy and return the proof. Raise SplitBrainRisk when nothing proves it (invariant 2)."""
    if can_act_on(reading, pair):
        production = seen_production(pair)
        # A fence belongs to the run that made it: its intents tell what the copy was before.
        run_id = production.stamps.get(stamps.FENCED, work.run_id)
        steps = work.site.fence(
            production, run_id=run_id, guest_within_s=limits.shutdown_s, off_within_s=limits.fence_s
        )
        work.do("fence", steps)
        if work.is_check:
            return FenceProof(kind=ProofKind.SEEN_OFF, detail="would be powered off and read back")
        return proof_now(work, reading, pair, witnesses=(), accepted=None)
    witnesses = tuple(ask_witnesses())
    proof = proof_now(work, reading, pair, witnesses=witnesses, accepted=accepted)
    if proof.kind is ProofKind.ACCEPTED:
        work.note("consent", {"kind": "unfenced", "reason": accepted})
    # The copy itself is untouched: it must be fenced when its host returns, before it can start (invariant 6).
    work.note("fence_pending", {"vm": pair.name, "node": pair.production_node, "proof": proof.detail})
    return proof


def can_act_on(reading: SiteReading, pair: Pair) -> bool:
    """Tell whether the hypervisor of the production copy answers for it now."""
    return (
        reading.production.is_reachable
        and pair.production is not None
        and pair.production.connection is Connection.CONNECTED
    )


def proof_now(
    work: Work, reading: SiteReading, pair: Pair, *, witnesses: Sequence[Witness], accepted: str | None
) -> FenceProof:
    """Prove the fence from what the hypervisor shows at this moment, never from what it showed before."""
    fresh = pair
    if can_act_on(reading, pair) and pair.production is not None:
        fresh = replace(pair, production=work.site.refresh(pair.production))
    host = reading.production.host(pair.production_node)
    return prove_fenced(fresh, reading.production, host, witnesses, accepted)


def unfence(work: Work, reading: SiteReading, pair: Pair) -> None:
    """Give the production copy back its NICs, autostart, HA and power as they were before the fence."""
    production = seen_production(pair)
    running = _promoted(reading, production) or pair.replica
    if running is not None and running.power is Power.ON:
        raise SplitBrainRisk(
            what=f"unfence {production.name}",
            why=f"its replica {running.name} is powered on at {running.host}",
            next="use the undo playbook, which stops the replica first",
        )
    fenced_by = production.stamps.get(stamps.FENCED, work.run_id)
    former = runs.former(work.journal.records(vm_key=work.vm_key), fenced_by, phase="fence")
    work.do("undo", work.site.unfence(production, former))
    if former.power == Power.ON:
        work.do("undo", work.site.power_on(production))


def _promoted(reading: SiteReading, production: Vm) -> Vm | None:
    """Return the copy promoted by the run that fenced this one: its stamp shows it also where dr_replica was not given."""
    run_id = production.stamps.get(stamps.FENCED)
    every = (vm for end in reading.endpoints() for vm in end.vms)
    return next((vm for vm in every if run_id and vm.stamps.get(stamps.RUN) == run_id), None)
