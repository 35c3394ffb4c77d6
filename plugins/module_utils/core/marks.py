# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The clock of one run, T0 to T13, read from its records.

The marks are derived from what was done and verified, so that none can be forgotten by a killed controller; a mark that a person
or a role wrote by itself (T1, T11) wins.
"""

from __future__ import annotations

import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.ferragosto.dr.plugins.module_utils.core.clock import Mark
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Record

# Results that set a mark: (phase, step) -> mark. Step names are the providers' contract.
POWER_ON = "power on"
GUEST_ALIVE = "see the guest alive"
REPROTECTED = "see the replica in sync"


def marks(own: Sequence[Record]) -> dict[str, float]:
    """Return mark -> instant for the records of one run, oldest first."""
    found: dict[str, float] = {}
    for record in own:
        for mark, at_s in _of(record):
            if mark in (Mark.FENCED, Mark.REPROTECTED):
                found[mark.value] = at_s  # these end with their last step
            else:
                found.setdefault(mark.value, at_s)
    written = {str(r.body["mark"]): float(r.body["at_s"]) for r in reversed(own) if r.kind == "mark"}
    return {**found, **written}


def _of(record: Record) -> list[tuple[Mark, float]]:
    body = record.body
    match record.kind:
        case "run_opened":
            alert_at_s = float(body.get("alert_at_s") or record.at_s)
            return [(Mark.ALERT, alert_at_s), (Mark.ACKNOWLEDGED, record.at_s)]
        case "decided":
            fault = body.get("fault_at_s")
            found = [(Mark.FAULT, float(fault))] if fault is not None else []
            return [*found, (Mark.DIAGNOSED, float(body.get("read_at_s") or record.at_s)), (Mark.DECIDED, record.at_s)]
        case "result":
            return _of_result(body, record.at_s)
        case "fence_pending":
            return [(Mark.FENCED, record.at_s)]
        case "attempt":
            return [(Mark.VERIFIED, record.at_s)] if body.get("is_serving") else []
        case "verified":
            # Without declared checks "answers" is null: then the guest, seen alive, is all that can vouch.
            if body.get("answers") is False:
                return []
            home = [(Mark.HOME, record.at_s)] if body.get("where") == "home" else []
            return [(Mark.VERIFIED, record.at_s), *home]
        case "run_closed":
            return [(Mark.TOLD, record.at_s)]
        case _:
            return []


def _of_result(body: Mapping[str, t.Any], at_s: float) -> list[tuple[Mark, float]]:
    if body.get("error"):
        return []
    match (body.get("phase"), body.get("step")):
        case ("fence", _):
            return [(Mark.FENCED, at_s)]
        case ("promote", step) if step == POWER_ON:
            return [(Mark.REPLICA_ON, at_s)]
        case ("promote", step) if step == GUEST_ALIVE:
            return [(Mark.GUEST_UP, at_s)]
        case ("reprotect", step) if step == REPROTECTED:
            return [(Mark.REPROTECTED, at_s)]
        case _:
            return []
