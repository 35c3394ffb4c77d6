# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the customer reads: what happened, since when, until when, which data, where it runs, what remains. In his words.

No hypervisor, fence or snapshot is named: a customer has a server, a replica and a service.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ansible_collections.ferragosto.dr.plugins.module_utils.core.clock import (
    Mark,
    in_zone,
    rpo_achieved_s,
    rto_achieved_s,
    rto_start_s,
    say_duration,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.paper import plain
from ansible_collections.ferragosto.dr.plugins.module_utils.core.phrases import MONTHS, OUTCOMES, PHRASES, Phrases
from ansible_collections.ferragosto.dr.plugins.module_utils.core.words import Client, Contract

__all__ = ["OUTCOMES", "Closing", "Message", "customer_message"]

_PROMOTED = frozenset({"recovered_home", "recovered_on_replica"})
_SERVES = _PROMOTED | {"restarted", "healthy"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """How a run ended. ``note`` is a technician's own sentence for the customer, in the customer's language."""

    vm: str
    outcome: str  # one of OUTCOMES
    marks: Mapping[str, float] = field(default_factory=dict)  # "T0" -> seconds since the epoch
    point_at_s: float | None = None  # the recovery point that was promoted
    production_host: str = ""
    replica_host: str = ""
    is_job_disabled: bool = True  # the vendor's replication job waits for reprotection
    is_committed: bool = False
    is_original_kept: bool = True  # else there is nothing to go back to
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    subject: str
    body: str


def customer_message(closing: Closing, client: Client, contract: Contract) -> Message:
    """Write the message in the client's language, with times in the client's zone."""
    words = PHRASES[client.locale]
    vm = plain(closing.vm)
    greeting = words.greeting.format(client=plain(client.name)) if client.name else words.greeting_plain
    parts = [
        greeting,
        " ".join(_story(closing, client, contract, words, vm)),
        " ".join(_data_and_place(closing, client, words)),
        _rest(closing, words),
        plain(closing.note),
    ]
    subject = words.subjects[closing.outcome].format(vm=vm)
    return Message(subject=subject, body="\n\n".join(part for part in parts if part))


def say_moment(at_s: float, client: Client) -> str:
    """Say an instant as in a letter: "15 August 2026 at 04:13 (CEST)", "15 agosto 2026, ore 04:13 (CEST)"."""
    moment = in_zone(at_s, client.timezone)
    words = PHRASES[client.locale]
    return words.moment.format(
        day=moment.day,
        month=MONTHS[client.locale][moment.month - 1],
        year=moment.year,
        time=f"{moment:%H:%M}",
        zone=moment.tzname(),
    )


def _story(closing: Closing, client: Client, contract: Contract, words: Phrases, vm: str) -> list[str]:
    marks, outcome = closing.marks, closing.outcome
    fault = next((marks[m] for m in (Mark.FAULT, Mark.DETECTED, Mark.ALERT) if m in marks), None)
    said = []
    if outcome == "healthy":
        return [words.stories[outcome].format(vm=vm)]
    if fault is not None:
        said.append(words.stopped.format(vm=vm, at=say_moment(fault, client)))
    else:
        said.append(words.stopped_unknown.format(vm=vm))
    said.append(words.stories[outcome].format(vm=vm))
    back = marks.get(Mark.VERIFIED)
    took_s = rto_achieved_s(marks, contract.rto_from)
    if outcome not in _SERVES or back is None:
        return said
    said.append(words.back.format(at=say_moment(back, client)))
    start = rto_start_s(marks, contract.rto_from)
    if took_s is not None and start is not None:
        kept = words.in_time if took_s <= contract.rto_s else words.too_late
        said.append(
            kept.format(took=say_duration(took_s, client.locale), agreed=say_duration(contract.rto_s, client.locale))
        )
    return said


def _data_and_place(closing: Closing, client: Client, words: Phrases) -> list[str]:
    said = []
    if closing.outcome == "restarted":
        said.append(words.no_loss)
    if closing.outcome in _PROMOTED and closing.point_at_s is not None:
        lost_s = rpo_achieved_s(closing.marks, closing.point_at_s)
        said.append(words.data.format(at=say_moment(closing.point_at_s, client)))
        if lost_s:
            said.append(words.lost.format(lost=say_duration(lost_s, client.locale)))
    at_home = closing.outcome != "recovered_on_replica"
    host = plain(closing.production_host if at_home else closing.replica_host)
    if closing.outcome in _SERVES and host:
        said.append((words.at_home if at_home else words.on_replica).format(host=host))
    return said


def _rest(closing: Closing, words: Phrases) -> str:
    """List what remains to be done; a promoted VM has no second copy until it is protected again."""
    tasks = []
    if closing.outcome in _PROMOTED:
        tasks.append(words.check_data)
        if closing.outcome == "recovered_on_replica":
            tasks.append(words.go_home)
        if Mark.REPROTECTED not in closing.marks:
            tasks.append(words.job_waits if closing.is_job_disabled else words.unprotected)
        if not closing.is_committed:
            tasks.append(words.commit if closing.is_original_kept else words.commit_only)
    elif closing.outcome == "restarted":
        tasks.append(words.find_cause)
    elif closing.outcome not in _SERVES:
        tasks.append(words.keep_off)
    if not tasks:
        return ""
    return "\n".join([words.remains, *(f"- {task}" for task in tasks)])
