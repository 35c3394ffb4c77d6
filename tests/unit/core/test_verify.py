# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Only the service, by the copy that is meant, makes a VM recovered."""

from __future__ import annotations

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core.checks import Check
from ansible_collections.ferragosto.dr.plugins.module_utils.core.findings import CheckResult, ServiceReading
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Power
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import GuestOutcome, GuestWait
from ansible_collections.ferragosto.dr.plugins.module_utils.core.verify import (
    Expected,
    in_order,
    judge_copy,
    read_service,
    verify,
)

ALIVE = GuestWait(outcome=GuestOutcome.ALIVE, took_s=20.0, evidence="heartbeat green")
SILENT = GuestWait(outcome=GuestOutcome.TIMED_OUT, took_s=600.0, evidence="no heartbeat in 10 min")
CRASHED = GuestWait(outcome=GuestOutcome.CRASHED, took_s=9.0, evidence="blue screen")
ANSWERS = ServiceReading(answers=True, reason="2 checks are ok")
MUTE = ServiceReading(answers=False, reason="tcp 10.0.0.5:1433: refused")
UNDECLARED = ServiceReading(answers=None, reason="no check is declared")


def http(*, is_ok: bool = True, copy: str | None = None) -> CheckResult:
    return CheckResult(check="http http://g/health", kind="http", is_ok=is_ok, detail="200", copy=copy)


def tcp(*, is_ok: bool = True) -> CheckResult:
    return CheckResult(check="tcp 10.0.0.5:1433", kind="tcp", is_ok=is_ok, detail="refused" if not is_ok else "open")


@pytest.mark.parametrize(
    ("copy", "expected", "is_ok"),
    [
        ("replica-1", "replica-1", True),
        ("REPLICA-1", "replica-1", True),
        ("gestionale_replica", ("replica-1", "gestionale_replica"), True),
        ("prod-1", "replica-1", False),
        ("prod-1", ("replica-1", "gestionale_replica"), False),
        (None, "replica-1", True),
        ("prod-1", None, True),
        ("prod-1", "", True),
    ],
)
def test_the_wrong_copy_is_not_an_answer(copy: str | None, expected: Expected, is_ok: bool) -> None:
    assert judge_copy(http(copy=copy), expected).is_ok is is_ok


def test_the_wrong_copy_is_named() -> None:
    reading = read_service([tcp(), http(copy="prod-1")], "replica-1")
    assert reading.answers is False
    assert reading.reason == "http http://g/health: the wrong copy answers: prod-1, expected replica-1"


def test_a_failed_check_stays_failed_whoever_answered() -> None:
    assert judge_copy(http(is_ok=False, copy="replica-1"), "replica-1").is_ok is False


@pytest.mark.parametrize(
    ("results", "answers", "reason"),
    [
        ((), None, "no check is declared (dr_checks): nothing but the guest can vouch for it"),
        ((tcp(),), True, "1 check is ok"),
        ((tcp(), http(copy="replica-1")), True, "2 checks are ok, answered by replica-1"),
        ((tcp(is_ok=False), http()), False, "tcp 10.0.0.5:1433: refused"),
    ],
)
def test_every_declared_check_must_be_ok(results: tuple[CheckResult, ...], answers: bool | None, reason: str) -> None:
    reading = read_service(results, "replica-1")
    assert (reading.answers, reading.reason) == (answers, reason)


@pytest.mark.parametrize(
    ("power", "guest", "service", "is_ok", "is_by_service", "reason"),
    [
        (Power.ON, ALIVE, ANSWERS, True, True, "2 checks are ok"),
        (Power.ON, ALIVE, UNDECLARED, True, False, "no check is declared"),
        (Power.ON, SILENT, ANSWERS, True, True, "2 checks are ok"),
        (Power.ON, None, ANSWERS, True, True, "2 checks are ok"),
        (Power.ON, SILENT, UNDECLARED, False, False, "guest: timed_out: no heartbeat in 10 min"),
        (Power.ON, CRASHED, ANSWERS, False, False, "guest: crashed: blue screen"),
        (Power.ON, None, UNDECLARED, False, False, "guest: not asked"),
        (Power.ON, ALIVE, MUTE, False, False, "service: tcp 10.0.0.5:1433: refused"),
        (Power.ON, ALIVE, None, False, False, "service: not asked"),
        (Power.OFF, ALIVE, ANSWERS, False, False, "power: power is off"),
        (Power.UNKNOWN, ALIVE, ANSWERS, False, False, "power: power is unknown"),
    ],
)
def test_a_vm_is_verified_in_order_and_never_by_silence(
    power: Power,
    guest: GuestWait | None,
    service: ServiceReading | None,
    is_ok: bool,
    is_by_service: bool,
    reason: str,
) -> None:
    found = verify(power, guest, service)
    assert (found.is_ok, found.is_by_service, found.reason) == (is_ok, is_by_service, reason)


def test_ports_are_asked_before_pages() -> None:
    page, port, other = (
        Check(kind="http", url="http://g/"),
        Check(kind="tcp", port=1433),
        Check(kind="tcp", port=22),
    )
    assert in_order([page, port, other]) == (port, other, page)
