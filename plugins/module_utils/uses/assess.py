# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the inventory to the decision: read every site once, examine, weigh, and draw up the cards and the plan."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from ansible_collections.ferragosto.dr.plugins.module_utils.core import card, card_text, decide, plan, words
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput, DrError
from ansible_collections.ferragosto.dr.plugins.module_utils.core.findings import Verdict
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import SiteReading
from ansible_collections.ferragosto.dr.plugins.module_utils.core.situation import Dependency
from ansible_collections.ferragosto.dr.plugins.module_utils.session import Session
from ansible_collections.ferragosto.dr.plugins.module_utils.uses import replicas, weigh
from ansible_collections.ferragosto.dr.plugins.module_utils.uses.examine import Subject, examine
from ansible_collections.ferragosto.dr.plugins.module_utils.uses.item import Item, read_items
from ansible_collections.ferragosto.dr.plugins.module_utils.uses.query import search

Params: t.TypeAlias = Mapping[str, t.Any]
WORKERS = 16
_WELL = frozenset({Verdict.HEALTHY, Verdict.GUEST_TOOLS_MISSING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A VM that could not be examined, and why: its card says so, the other cards are not delayed by it."""

    item: Item
    error: DrError


def assess_plan(
    session: Session, given: Sequence[Params], *, is_deep: bool, query: str | None, show: str
) -> dict[str, t.Any]:
    """Return cards, texts, one-line states and waves for the protected VMs of a play."""
    asked_at_s = session.clock.now_s()
    items = read_items(given, now_s=asked_at_s)
    in_play = [item.host for item in items if item.is_in_play]
    planned = [plan.PlanItem(host=i.host, priority=i.priority, depends_on=i.depends_on) for i in items]
    waves = plan.waves(planned, in_play)
    readings = _read_sites(session, items)
    found = {item.host: _examined(session, item, readings[item.site["name"]], is_deep=is_deep) for item in items}
    cards = {}
    for item in items:
        if item.is_in_play:
            cards[item.host] = _card(session, found, found[item.host], is_deep=is_deep)
    texts = {host: _text(one) for host, one in cards.items()}
    lines = {host: card_text.line(one) for host, one in cards.items()}
    for text in {"cards": texts, "lines": lines, "nothing": {}}[show].values():
        session.progress.show(text)
    result: dict[str, t.Any] = {
        "cards": cards,
        "texts": texts,
        "lines": lines,
        "waves": [list(wave) for wave in waves],
        "wave_sizes": [len(wave) for wave in waves],
        "asked_at": asked_at_s,
    }
    if query is not None:
        result["result"] = search(query, cards)
    return result


def diagnose_one(session: Session, params: Params) -> dict[str, t.Any]:
    """Diagnose the VM of a module call."""
    subject = _one(session, params, contract=None, is_deep=True)
    found: dict[str, t.Any] = {"diagnosis": asdict(subject.diagnosis), "service": asdict(subject.service)}
    if params["screenshot"] and not session.is_check:
        found["screenshot"] = _screenshot(subject, str(params["screenshot"]))
    return found


def _screenshot(subject: Subject, path: str) -> str:
    """Write what the guest shows; without a picture, say why: it is evidence beside others, and never the reason to fail."""
    vm = subject.pair.production
    if vm is None:
        return "no picture: its hypervisor does not show it"
    try:
        picture = subject.site.screenshot(vm)
    except DrError as error:
        return f"no picture: {error.why}"
    if picture is None:
        return "no picture: this platform gives none"
    try:
        Path(path).write_bytes(picture)
    except OSError as error:
        raise BadInput(
            what="write the screenshot", why=f"{path}: {error.strerror}", next="name a file in a folder that exists"
        ) from error
    return path


def replica_facts(session: Session, params: Params) -> dict[str, t.Any]:
    """Return what is known of the replica of the VM of a module call."""
    subject = _one(session, params, contract=params["contract"], is_deep=False)
    return replicas.facts(subject, now_s=session.clock.now_s())


def _one(session: Session, params: Params, *, contract: Params | None, is_deep: bool) -> Subject:
    given = {
        **{key: params.get(key) for key in ("site", "vm", "replica", "checks", "address")},
        "host": params["vm"],
        "contract": contract or {"rto": "24h", "rpo": "24h"},
    }
    (item,) = read_items([given], now_s=session.clock.now_s())
    return examine(session, item, session.site(item.site).read(deep=(item.vm,)), is_deep=is_deep)


def _read_sites(session: Session, items: Sequence[Item]) -> dict[str, SiteReading]:
    """Read each site once, all at the same time."""
    sites = {item.site["name"]: session.site(item.site) for item in items}
    deep = {name: frozenset(item.vm for item in items if item.site["name"] == name) for name in sites}
    for name in sites:
        session.progress(f"reading site {name}")
    with ThreadPoolExecutor(max_workers=min(WORKERS, max(1, len(sites)))) as pool:
        readings = pool.map(lambda name: sites[name].read(deep=deep[name]), sites)
        return dict(zip(sites, readings, strict=True))


def _examined(session: Session, item: Item, reading: SiteReading, *, is_deep: bool) -> Subject | Unread:
    try:
        return examine(session, item, reading, is_deep=is_deep)
    except DrError as error:
        return Unread(item=item, error=error)


def _card(
    session: Session, found: Mapping[str, Subject | Unread], one: Subject | Unread, *, is_deep: bool
) -> dict[str, t.Any]:
    if isinstance(one, Unread):
        return _unread_card(one)
    now_s = session.clock.now_s()
    together = [s for s in found.values() if isinstance(s, Subject) and s.item.is_in_play]
    situation = weigh.situation(
        session,
        one,
        together=together,
        dependencies=tuple(_dependency(found[name]) for name in one.item.depends_on),
        is_deep=is_deep,
    )
    decision = decide.decide(situation)
    drawn = card.card(
        situation,
        decision,
        site=one.reading.name,
        provider=one.reading.provider,
        client=one.item.client,
        points=replicas.losses(one, now_s=now_s),
        read_at_s=one.reading.production.read_at_s,
        now_s=now_s,
        clock_start_s=one.run.alert_at_s if one.run is not None else one.item.alert_at_s,
        notes=_notes(one),
    )
    policy = one.item.policy
    return {
        **drawn,
        "host": one.item.host,
        "error": None,
        "alarms": replicas.alarms(one),
        "production_id": one.pair.production.id if one.pair.production is not None else "",
        "replica_id": one.pair.replica.id if one.pair.replica is not None else "",
        "policy": {**_policy(policy), "migration_mode": decide.migration(situation).mode or "live"},
    }


def _notes(one: Subject) -> list[str]:
    replica = one.pair.replica
    points = [f"recovery points: {replica.points_note}"] if replica is not None and replica.points_note else []
    ids = {vm.id for vm in one.pair.copies()}  # a site's other VMs have cards of their own
    return [*points, *dict.fromkeys(note for end in one.reading.endpoints() for note in end.notes_for(ids))]


def _unread_card(one: Unread) -> dict[str, t.Any]:
    """Draw up the card of a VM that could not be examined: the error is its decision."""
    return {
        "vm": one.item.vm,
        "host": one.item.host,
        "site": one.item.site["name"],
        "error": one.error.as_dict(),
        "state": "unknown",
        "state_reason": one.error.why,
        "verdict": "unknown",
        "alarms": [],
        "policy": {**_policy(one.item.policy), "migration_mode": "live"},
        "production_id": "",
        "replica_id": "",
        "decision": {
            "is_go": False,
            "action": "call_a_person",
            "outcome": "refused",
            "reason": f"{one.error.what}: {one.error.why}",
            "next": one.error.next,
            "steps": [],
        },
    }


def _text(card: Mapping[str, t.Any]) -> str:
    draw = card_text.render if card["error"] is None else card_text.render_error
    alarms = "".join(f"\nALARM: {alarm}" for alarm in card["alarms"])
    return draw(dict(card)) + alarms


def _policy(policy: words.Policy) -> dict[str, t.Any]:
    """Return what of the policy the role's tasks need."""
    return {
        "restarts": policy.restarts,
        "restart_timeout_s": policy.restart_timeout_s,
        "service_s": policy.deadlines.service_s,
        "job_hook": policy.job_hook,
    }


def _dependency(one: Subject | Unread) -> Dependency:
    name, is_in_play = one.item.host, one.item.is_in_play
    if isinstance(one, Unread):
        return Dependency(name=name, is_healthy=False, reason=one.error.why, is_in_play=is_in_play)
    answers = one.service.answers
    is_well = answers is not False and (answers is True or one.diagnosis.verdict in _WELL)
    reason = one.service.reason if answers is not None else f"{one.diagnosis.verdict}: {one.diagnosis.reason}"
    return Dependency(name=name, is_healthy=is_well, reason=reason, is_in_play=is_in_play)
