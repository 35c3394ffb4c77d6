# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asking whether the service answers, and which copy it was."""

from __future__ import annotations

import typing as t
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace

from ansible_collections.ferragosto.dr.plugins.module_utils.core import checks
from ansible_collections.ferragosto.dr.plugins.module_utils.core.findings import ServiceReading
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Power, Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.core.verify import Verification, verify
from ansible_collections.ferragosto.dr.plugins.module_utils.probes.prober import check_service
from ansible_collections.ferragosto.dr.plugins.module_utils.session import Session

GUEST_EVIDENCE_S = 1.0


def service_reading(
    session: Session, params: Mapping[str, t.Any], *, deadline_s: float, expected: Sequence[str] = ()
) -> ServiceReading:
    """Run the declared checks until all pass or the deadline is over. ``expected`` are the ids of the copy that is meant."""
    declared = checks.read_checks(params.get("checks"))
    reading = check_service(
        declared,
        address=params.get("address") or "",
        deadline_s=deadline_s,
        expected_copy=expected,
        clock=session.clock,
        progress=session.progress,
    )
    site = params.get("site") or {}
    nodes = {site[end].get("node") for end in ("production", "replica") if end in site}
    return _judge_host(reading, params.get("expected_host"), nodes)


def ask_service(session: Session, params: Mapping[str, t.Any], *, deadline_s: float) -> dict[str, t.Any]:
    """Return the reading as a module result; with an expected copy its power and its guest are verified too."""
    wanted = params.get("expected_copy")
    if not wanted:
        return {**asdict(service_reading(session, params, deadline_s=deadline_s)), "stages": []}
    vm = _shown(session, str(params.get("vm") or ""), wanted)
    expected = (wanted, *(vm.guest_ids if vm is not None else ()))
    service = service_reading(session, params, deadline_s=deadline_s, expected=expected)
    found = _verified(session, vm, service, deadline_s=deadline_s)
    answers = None if found.is_ok and not found.is_by_service else found.is_ok
    return {**asdict(service), "answers": answers, "reason": found.reason, "stages": [asdict(s) for s in found.stages]}


def _shown(session: Session, name: str, copy_id: str) -> Vm | None:
    """Return the copy as its hypervisor shows it now."""
    reading = session.site().read(deep=(name, copy_id))
    return next((vm for end in reading.endpoints() for vm in end.vms if vm.id == copy_id), None)


def _verified(session: Session, vm: Vm | None, service: ServiceReading, *, deadline_s: float) -> Verification:
    """Judge power, guest and service of one copy, in this order."""
    site = session.site()
    if vm is None:
        # Its hypervisor does not show it now: the service is then the only one that can vouch for it.
        power = Power.ON if service.answers else Power.UNKNOWN
        return verify(power, None, service)
    # A service that answers needs no silent guest to be waited for; without checks the guest is all there is.
    guest_within_s = GUEST_EVIDENCE_S if service.answers is not None else deadline_s
    guest = site.await_guest(vm, within_s=guest_within_s, since_s=session.clock.now_s())
    session.progress(f"guest {guest.outcome}: {guest.evidence}")
    return verify(vm.power, guest, service)


def _judge_host(reading: ServiceReading, expected: str | None, nodes: Collection[str | None]) -> ServiceReading:
    """An answer that names the other physical host of the site is not a success; most answers name none.

    Any other word under ``host`` is the application's own business.
    """
    if not expected or not reading.answers:
        return reading
    for check in reading.checks:
        host = check.answer.get("host")
        if isinstance(host, str) and host in nodes and host != expected:
            return replace(reading, answers=False, reason=f"{check.check}: answered from {host}, expected {expected}")
    return reading
