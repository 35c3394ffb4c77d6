# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asking whether the service answers, and which copy it was."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping
from dataclasses import asdict, replace

from ansible_collections.ferragosto.dr.plugins.module_utils.core import checks
from ansible_collections.ferragosto.dr.plugins.module_utils.core.findings import ServiceReading
from ansible_collections.ferragosto.dr.plugins.module_utils.probes.prober import check_service
from ansible_collections.ferragosto.dr.plugins.module_utils.session import Session


def service_reading(session: Session, params: Mapping[str, t.Any], *, deadline_s: float) -> ServiceReading:
    """Run the declared checks until all pass or the deadline is over."""
    declared = checks.read_checks(params.get("checks"))
    reading = check_service(
        declared,
        address=params.get("address") or "",
        deadline_s=deadline_s,
        expected_copy=params.get("expected_copy"),
        clock=session.clock,
        progress=session.progress,
    )
    return _judge_host(reading, params.get("expected_host"))


def ask_service(session: Session, params: Mapping[str, t.Any], *, deadline_s: float) -> dict[str, t.Any]:
    """Return the reading as a module result."""
    return asdict(service_reading(session, params, deadline_s=deadline_s))


def _judge_host(reading: ServiceReading, expected: str | None) -> ServiceReading:
    """An answer that names another physical host than the one expected is not a success; most answers name none."""
    if not expected or not reading.answers:
        return reading
    for check in reading.checks:
        host = check.answer.get("host")
        if isinstance(host, str) and host != expected:
            return replace(reading, answers=False, reason=f"{check.check}: answered from {host}, expected {expected}")
    return reading
