# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The decision card: all that a technician needs at 4 a.m., as data (JSON, flat enough for JMESPath)."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.ferragosto.dr.plugins.module_utils.core.clock import (
    iso,
    rto_line,
    say_ago,
    say_duration,
    say_instant,
    time_left_s,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.findings import (
    Capacity,
    CheckResult,
    Decision,
    Evidence,
    Loss,
    Move,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Event, Json
from ansible_collections.ferragosto.dr.plugins.module_utils.core.situation import Resume, Situation
from ansible_collections.ferragosto.dr.plugins.module_utils.core.words import Client

VERSION = 1


def card(
    s: Situation,
    decision: Decision,
    *,
    site: str,
    provider: str,
    client: Client,
    points: Sequence[Loss],
    read_at_s: float,
    now_s: float,
    clock_start_s: float,
    notes: Sequence[str] = (),
) -> Json:
    """Lay out what is known of one VM. ``points`` newest first; ``clock_start_s`` is where the contract's RTO begins.

    ``notes`` are what makes the site less ready than it looks.
    """
    zone = client.timezone
    left_s = time_left_s(clock_start_s, s.contract.rto_s, now_s)
    return {
        "card": VERSION,
        "vm": s.vm,
        "site": site,
        "provider": provider,
        "client": client.name,
        "contacts": [_contact(c.name, c.phone, c.email) for c in client.contacts],
        "timezone": zone,
        "read_at": iso(read_at_s),
        "read_at_s": read_at_s,
        "read_at_local": say_instant(read_at_s, zone),
        "made_at_s": now_s,
        "read_age_s": round(now_s - read_at_s, 3),
        "read_age": say_ago(now_s - read_at_s),
        "state": s.state.state.value,
        "state_reason": s.state.reason,
        "legal": list(s.state.legal()),
        "verdict": s.diagnosis.verdict.value,
        "is_certain": s.diagnosis.is_certain,
        "verdict_reason": s.diagnosis.reason,
        "by_whom": s.diagnosis.by_whom,
        "fault_at": _iso(s.diagnosis.fault_at_s),
        "fault_at_s": s.diagnosis.fault_at_s,
        "blast": s.diagnosis.blast.value,
        "blast_reason": s.diagnosis.blast_reason,
        "evidence": [_evidence(one, zone, read_at_s=read_at_s, now_s=now_s) for one in s.diagnosis.evidence],
        "last_change": _change(s.diagnosis.last_change, zone, now_s),
        "service": {
            "answers": s.service.answers,
            "reason": s.service.reason,
            "checks": [_check(one) for one in s.service.checks],
        },
        "points": [_point(one, zone) for one in points],
        "loss": _loss(s),
        "loss_s": s.loss.lost_s if s.loss is not None else None,
        "loss_text": say_duration(s.loss.lost_s) if s.loss is not None else s.loss_why,
        "rpo_s": s.contract.rpo_s,
        "rto_s": s.contract.rto_s,
        "rto_clock": rto_line(now_s, clock_start_s, s.contract.rto_s),
        "time_left_s": round(left_s, 3),
        "time_left": say_duration(left_s) if left_s >= 0 else f"missed by {say_duration(-left_s)}",
        "capacity": _capacity(s.capacity),
        "dependencies": [
            {"name": d.name, "is_healthy": d.is_healthy, "reason": d.reason, "is_in_play": d.is_in_play}
            for d in s.dependencies
        ],
        "fence": {"is_provable": s.fence.is_provable, "reason": s.fence.reason},
        "notes": list(notes),
        "way": s.way,
        "way_why": s.way_why,
        "job_disabled": s.job_disabled or s.accept.job_disabled or _hook(s.policy.job_hook) or _own_job(s),
        "consents": s.accept.given(),
        "approved_by": s.approved_by,
        "moves": [_move(one) for one in decision.moves],
        "decision": {
            "is_go": decision.is_go,
            "action": decision.action.value,
            "outcome": decision.outcome,
            "reason": decision.reason,
            "next": decision.next,
            "steps": list(decision.steps),
        },
        "resume": _resume(s.resume),
    }


def _contact(*words: str) -> str:
    return ", ".join(word for word in words if word)


def _evidence(one: Evidence, zone: str, *, read_at_s: float, now_s: float) -> Json:
    # A fact without a time of its own is as old as the reading that showed it.
    at_s = read_at_s if one.at_s is None else one.at_s
    return {
        "text": one.text,
        "at": iso(at_s),
        "at_s": at_s,
        "at_local": say_instant(at_s, zone),
        "age_s": round(now_s - at_s, 3),
        "age": say_ago(now_s - at_s),
    }


def _change(event: Event | None, zone: str, now_s: float) -> Json | None:
    if event is None:
        return None
    age_s = now_s - event.at_s
    return {
        "kind": event.kind.value,
        "text": event.text,
        "by": event.user,
        "at": iso(event.at_s),
        "at_s": event.at_s,
        "at_local": say_instant(event.at_s, zone),
        "age_s": round(age_s, 3),
        "age": say_ago(age_s),
    }


def _check(one: CheckResult) -> Json:
    return {
        "check": one.check,
        "kind": one.kind,
        "is_ok": one.is_ok,
        "detail": one.detail,
        "took_s": round(one.took_s, 3),
        "copy": one.copy,
    }


def _point(one: Loss, zone: str) -> Json:
    return {
        "id": one.point.id,
        "name": one.point.name,
        "kind": one.point.kind.value,
        "created_at": iso(one.point.created_at_s),
        "created_at_s": one.point.created_at_s,
        "created_at_local": say_instant(one.point.created_at_s, zone),
        "age_s": round(one.age_s, 3),
        "age": say_duration(one.age_s),
        "lost_s": round(one.lost_s, 3),
        "lost": say_duration(one.lost_s),
        "is_within_rpo": one.is_within_rpo,
    }


def _loss(s: Situation) -> Json | None:
    if s.loss is None:
        return None
    return {
        "point": s.loss.point.id,
        "point_name": s.loss.point.name,
        "seconds": round(s.loss.lost_s, 3),
        "text": say_duration(s.loss.lost_s),
        "is_within_rpo": s.loss.is_within_rpo,
    }


def _capacity(capacity: Capacity | None) -> Json | None:
    if capacity is None:
        return None
    return {
        "is_enough": capacity.is_enough,
        "reason": capacity.reason,
        "needed_bytes": capacity.needed_bytes,
        "free_bytes": capacity.free_bytes,
    }


def _move(move: Move) -> Json:
    return {
        "action": move.action.value,
        "is_allowed": move.is_allowed,
        "reason": move.reason,
        "next": move.next,
        "predicted_s": move.predicted_s,
        "predicted": say_duration(move.predicted_s) if move.predicted_s is not None else "",
        "predicted_from": move.predicted_from,
    }


def _resume(resume: Resume | None) -> Json | None:
    if resume is None:
        return None
    return {
        "run_id": resume.run_id,
        "has_acted": resume.has_acted,
        "restarts_done": resume.restarts_done,
        "done": sorted(resume.done),
        "last_step": resume.last_step,
    }


def _hook(path: str | None) -> str:
    return f"by the hook {path.rpartition('/')[2]}, before the promotion" if path else ""


def _own_job(s: Situation) -> str:
    return "the platform's own, which the promotion itself stops" if s.drives_replication else ""


def _iso(at_s: float | None) -> str | None:
    return None if at_s is None else iso(at_s)
