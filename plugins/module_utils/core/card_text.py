# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The decision card as text: what is down first, what to do last, nothing that has to be scrolled for."""

from __future__ import annotations

import typing as t

from ansible_collections.ferragosto.dr.plugins.module_utils.core.clock import say_duration
from ansible_collections.ferragosto.dr.plugins.module_utils.core.decide import NO_PAST
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Json
from ansible_collections.ferragosto.dr.plugins.module_utils.core.paper import columns, labelled, pad, plain, wrap

_LEAST_WIDTH = 60
_SHOWN = 5  # evidence and points: the newest tell the story, the rest is in the JSON


def render(card: Json, width: int = 100) -> str:
    """Draw a card. Names are shown literally; every reading carries its age."""
    width = max(_LEAST_WIDTH, width)
    lines = [*_head(card, width), "=" * width]
    for label, texts in _sections(card):
        lines += labelled(label, texts, width=width)
    return "\n".join([*lines, "=" * width])


def line(card: Json) -> str:
    """Say the state of a VM in one line, with its alarms."""
    said = f"{plain(card['vm'])}: {card['state']} ({plain(card['state_reason'])})"
    if card.get("error") is None:
        # In these states the original is fenced: how it fares says nothing of the service.
        fares = "" if card["state"] in ("failover", "failback", "committed") else f"{card['verdict']}, "
        if card["verdict"] == "unreachable":
            fares = f"unreachable: {plain(card['verdict_reason'])}, "
        said += f"; {fares}read {card['read_age']}"
    return " ! ".join([said, *(plain(alarm) for alarm in card.get("alarms", ()))])


def render_error(card: Json, width: int = 100) -> str:
    """Draw the card of a VM that could not be examined."""
    decision = card["decision"]
    lines = [*wrap(f"{plain(card['vm'])}  |  {plain(card['site'])}", width), "=" * width]
    lines += labelled("DECISION", [f"REFUSED: {plain(decision['reason'])}"], width=width)
    lines += labelled("NEXT", [plain(decision["next"])], width=width)
    return "\n".join([*lines, "=" * width])


def _head(card: Json, width: int) -> list[str]:
    who = "  |  ".join(
        plain(word) for word in (card["vm"], card["client"], f"{card['site']} ({card['provider']})") if word
    )
    read = f"read {card['read_at_local']}, {card['read_age']}"
    gap = width - columns(who) - columns(read)
    return [who + " " * gap + read] if gap >= 2 else [*wrap(who, width), *wrap(read, width)]


def _sections(card: Json) -> list[tuple[str, list[str]]]:
    found = [
        ("WHAT", [_what(card)]),
        ("HOW WIDE", [_said(card["blast"], card["blast_reason"])]),
        ("SERVICE", _service(card["service"])),
        ("EVIDENCE", _evidence(card["evidence"])),
        ("CHANGED", [_change(card["last_change"])]),
        ("STATE", [_said(card["state"], card["state_reason"])]),
        ("POINTS", _points(card)),
        ("LOSS", [_loss(card)]),
        ("TIME", [f"{card['rto_clock']}, {_left(card)}"]),
        ("CAPACITY", [_capacity(card["capacity"])]),
        (
            "FENCE",
            [_said("can be proven" if card["fence"]["is_provable"] else "NOT PROVABLE", card["fence"]["reason"])],
        ),
        ("SITE", card["notes"]),
        ("WAY", [card["way_why"]] if card["way_why"] else []),
        ("JOB", [card["job_disabled"] or "the replication job is not known to be disabled"]),
        ("NEEDS", [_dependency(one) for one in card["dependencies"]]),
        ("ACCEPTED", [f"{key}: {reason}" for key, reason in card["consents"].items()]),
        ("APPROVED", [f"by {card['approved_by']}"] if card["approved_by"] else []),
        ("RESUMES", _resume(card["resume"])),
        ("MOVES", _moves(card["moves"])),
        ("DECISION", _decision(card["decision"])),
        ("NEXT", [card["decision"]["next"]] if card["decision"]["next"] else []),
        ("CALL", card["contacts"]),
    ]
    return [(label, texts) for label, texts in found if texts]


def _what(card: Json) -> str:
    sure = "certain" if card["is_certain"] else "probable"
    return f"{card['verdict'].upper().replace('_', ' ')} ({sure}): {card['verdict_reason']}"


def _service(service: Json) -> list[str]:
    says = {True: "answers", False: "DOES NOT ANSWER", None: "unknown"}[service["answers"]]
    checks = service["checks"]
    if len(checks) < 2:
        return [_said(says, service["reason"])]
    return [says, *(f"{'ok ' if one['is_ok'] else 'NO '} {one['check']}: {one['detail']}" for one in checks)]


def _evidence(evidence: list[Json]) -> list[str]:
    ordered = sorted(evidence, key=lambda one: float(one["at_s"]), reverse=True)
    return [f"{_clock(one)}  {one['text']} ({one['age']})" for one in ordered[:_SHOWN]] + _more(ordered)


def _change(change: Json | None) -> str:
    if change is None:
        return "no change is on record"
    by = f" by {change['by']}" if change["by"] else ""
    return f"{change['at_local']} ({change['age']}){by}: {change['text'] or change['kind']}"


def _points(card: Json) -> list[str]:
    points = card["points"]
    chosen = card["loss"]["point"] if card["loss"] else None
    lines = []
    for one in points[:_SHOWN]:
        mark = "->" if one["id"] == chosen else "  "
        late = "" if one["is_within_rpo"] else ", BEYOND THE RPO"
        name = pad(plain(one["name"]), 24)
        lines.append(f"{mark} {name} {one['created_at_local']}, {one['age']} old, would lose {one['lost']}{late}")
    return lines + _more(points) if points else ["none"]


def _loss(card: Json) -> str:
    if card["loss"] is None:
        return f"a promotion is not possible: {card['loss_text']}"
    fits = "within" if card["loss"]["is_within_rpo"] else "BEYOND"
    return f"{card['loss_text']} of data, if promoted; {fits} the contract's {say_duration(card['rpo_s'])}"


def _left(card: Json) -> str:
    return f"{card['time_left']} left" if card["time_left_s"] >= 0 else str(card["time_left"])


def _capacity(capacity: Json | None) -> str:
    if capacity is None:
        return "unknown: the replica host could not be read"
    return _said("enough" if capacity["is_enough"] else "NOT ENOUGH", capacity["reason"])


def _dependency(one: Json) -> str:
    how = "ok" if one["is_healthy"] else "recovered before it" if one["is_in_play"] else "DOWN"
    return f"{one['name']}: {how}, {one['reason']}"


def _resume(resume: Json | None) -> list[str]:
    if resume is None:
        return []
    where = f" after {resume['last_step']!r}" if resume["last_step"] else " before its first step"
    return [f"run {resume['run_id']}, interrupted{where}"]


def _moves(moves: list[Json]) -> list[str]:
    allowed = [move for move in moves if move["is_allowed"]]
    lines = []
    for number, move in enumerate(allowed[:2], 1):
        rough = "at most" if move["predicted_from"] == NO_PAST else "about"
        takes = f", {rough} {move['predicted']} ({move['predicted_from']})" if move["predicted"] else ""
        lines.append(f"{number}. {_word(move)}{takes}: {move['reason']}")
    return lines + [f"-  {_word(move)}: no, {move['reason']}" for move in moves if not move["is_allowed"]]


def _decision(decision: Json) -> list[str]:
    if decision["is_go"]:
        return [f"GO: {' > '.join(decision['steps'])}", decision["reason"]]
    return [f"{decision['outcome'].upper()}: {_word(decision)}", decision["reason"]]


def _word(move: Json) -> str:
    return str(move["action"]).replace("_", " ")


def _said(word: str, reason: str) -> str:
    return f"{word}: {reason}" if reason else word


def _clock(one: Json) -> str:
    return " ".join(str(one["at_local"]).split(" ")[1:2])


def _more(found: t.Sequence[object]) -> list[str]:
    return [f"... and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
