# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The card is plain JSON, and its text says everything with its age, whatever a VM is called."""

from __future__ import annotations

import json
import typing as t
from dataclasses import replace

import jmespath
import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core.card import card
from ansible_collections.ferragosto.dr.plugins.module_utils.core.card_text import render
from ansible_collections.ferragosto.dr.plugins.module_utils.core.decide import decide
from ansible_collections.ferragosto.dr.plugins.module_utils.core.findings import (
    Blast,
    Capacity,
    CheckResult,
    Diagnosis,
    Evidence,
    Loss,
    ServiceReading,
    Verdict,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Event, EventKind, RecoveryPoint
from ansible_collections.ferragosto.dr.plugins.module_utils.core.paper import columns, plain, wrap
from ansible_collections.ferragosto.dr.plugins.module_utils.core.situation import (
    Dependency,
    FenceOutlook,
    HomeOutlook,
    Resume,
    Situation,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.states import State, StateView
from ansible_collections.ferragosto.dr.plugins.module_utils.core.words import Accept, Client, Contact, Contract

NOW_S = 1786760000.0  # 2026-08-15 04:13:20 in Rome
H = 3600.0


def point(hours: float, name: str = "nightly") -> Loss:
    made = RecoveryPoint(id=f"snapshot-{hours:g}", name=name, created_at_s=NOW_S - hours * H)
    return Loss(point=made, age_s=hours * H, lost_s=hours * H - 240, is_within_rpo=hours <= 24)


BLUE_SCREEN = Situation(
    vm="gestionale",
    diagnosis=Diagnosis(
        verdict=Verdict.CRASHED,
        is_certain=True,
        reason="blue screen 4 min ago",
        evidence=(Evidence(text="power on"), Evidence(text="crash: blue screen", at_s=NOW_S - 240)),
        blast=Blast.VM,
        blast_reason="its 3 neighbours on esx1 are fine",
        fault_at_s=NOW_S - 240,
        last_change=Event(at_s=NOW_S - 10 * H, kind=EventKind.RECONFIGURED, user="LUCA\\mario", text="memory doubled"),
    ),
    state=StateView(state=State.READY, reason="newest recovery point 6.0 h old"),
    service=ServiceReading(
        answers=False,
        reason="http http://g/health: refused",
        checks=(CheckResult(check="http http://g/health", kind="http", is_ok=False, detail="refused", took_s=0.01),),
    ),
    contract=Contract(rto_s=1800.0, rpo_s=24 * H),
    fence=FenceOutlook(is_provable=True, reason="its hypervisor answers"),
    loss=point(6),
    capacity=Capacity(is_enough=True, reason="8 GiB of 64 GiB", needed_bytes=8 << 30, free_bytes=64 << 30),
    accept=Accept(job_disabled="Anna disabled it at 04:12"),
    dependencies=(Dependency(name="dc01", is_healthy=True, reason="the service answers"),),
    home=HomeOutlook(is_sound=True, reason="esx1 is connected"),
)
LUCA = Client(
    name="Luca S.p.A.", locale="it", timezone="Europe/Rome", contacts=(Contact(name="Luca", phone="+39 055 1"),)
)


def made(situation: Situation = BLUE_SCREEN, **more: t.Any) -> dict[str, t.Any]:
    words: dict[str, t.Any] = {
        "site": "luca-sede",
        "provider": "vsphere",
        "client": LUCA,
        "points": [point(6), point(30)],
        "read_at_s": NOW_S - 3,
        "now_s": NOW_S,
        "clock_start_s": NOW_S - 192,
    }
    return card(situation, decide(situation), **(words | more))


def test_the_card_is_json_and_a_query_finds_what_it_needs() -> None:
    found = json.loads(json.dumps(made()))
    query = (
        "{verdict: verdict, go: decision.is_go, lost: loss_s, first: points[0].age, left: time_left_s, blast: blast}"
    )
    assert jmespath.search(query, found) == {
        "verdict": "crashed",
        "go": True,
        "lost": 6 * H - 240,
        "first": "6 h",
        "left": 1608.0,
        "blast": "vm",
    }
    assert jmespath.search("moves[?is_allowed].action", found) == ["restart", "promote", "call_a_person"]


@pytest.mark.parametrize(
    "line",
    [
        "gestionale  |  Luca S.p.A.  |  luca-sede (vsphere)",
        "read 2026-08-15 04:13:17 CEST, 3 s ago",
        "WHAT      CRASHED (certain): blue screen 4 min ago",
        "HOW WIDE  vm: its 3 neighbours on esx1 are fine",
        "SERVICE   DOES NOT ANSWER: http http://g/health: refused",
        "EVIDENCE  04:13:17  power on (3 s ago)",
        "          04:09:20  crash: blue screen (4 min ago)",
        "CHANGED   2026-08-14 18:13:20 CEST (10 h ago) by LUCA\\mario: memory doubled",
        "POINTS    -> nightly                  2026-08-14 22:13:20 CEST, 6 h old, would lose 5 h 56 min",
        "             nightly                  2026-08-13 22:13:20 CEST, 30 h old, would lose 29 h 56 min, BEYOND THE RPO",
        "LOSS      5 h 56 min of data, if promoted; within the contract's 24 h",
        "TIME      RTO 00:03:12 of 30:00, 27 min left",
        "CAPACITY  enough: 8 GiB of 64 GiB",
        "JOB       Anna disabled it at 04:12",
        "NEEDS     dc01: ok, the service answers",
        "ACCEPTED  job_disabled: Anna disabled it at 04:12",
        "MOVES     1. restart, at most 10 min (no earlier run: the policy's deadlines)",
        "          -  wait: no, it does not get better by itself: crashed",
        "DECISION  GO: restart > fence > promote > verify > migrate > verify_home > close",
        "CALL      Luca, +39 055 1",
    ],
)
def test_the_text_says_it_all_with_its_age(line: str) -> None:
    assert line in render(made(), width=130)


def test_what_is_refused_ends_with_the_next_move() -> None:
    situation = replace(
        BLUE_SCREEN,
        diagnosis=replace(BLUE_SCREEN.diagnosis, verdict=Verdict.UNREACHABLE, is_certain=False, last_change=None),
        fence=FenceOutlook(is_provable=False, reason="esx1 is silent"),
        loss=None,
        capacity=None,
        resume=Resume(run_id="r1", last_step="power off"),
        dependencies=(Dependency(name="dc01", is_healthy=False, reason="crashed"),),
    )
    text = render(made(situation, points=[], now_s=NOW_S + 7200), width=400)
    for line in (
        "WHAT      UNREACHABLE (probable)",
        "CHANGED   no change is on record",
        "POINTS    none",
        "LOSS      a promotion is not possible: no recovery point was found",
        "TIME      RTO 02:03:12 of 30:00 MISSED, missed by 1 h 33 min",
        "CAPACITY  unknown",
        "FENCE     NOT PROVABLE: esx1 is silent",
        "NEEDS     dc01: DOWN, crashed",
        "RESUMES   run r1, interrupted after 'power off'",
        "DECISION  REFUSED: call a person",
        "NEXT      restore the connection",
    ):
        assert line in text


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
@pytest.mark.parametrize("name", ["gestionale", "a \"b\" {{ 7 * 7 }} 'c'", "会计服务器" * 20, "x" * 150, "бухгалтерия"])
def test_no_line_is_wider_than_the_terminal(width: int, name: str) -> None:
    lines = render(made(replace(BLUE_SCREEN, vm=name)), width=width).splitlines()
    assert max(columns(line) for line in lines) <= max(60, width)


def test_a_name_is_shown_literally_and_cannot_pretend_to_be_a_line() -> None:
    name = "a {{ lookup('env') }}\nDECISION  GO\x1b[2J\u202e"
    text = render(made(replace(BLUE_SCREEN, vm=name)), width=200)
    assert text.startswith("a {{ lookup('env') }} DECISION  GO?[2J?")
    assert sum(line.startswith("DECISION") for line in text.splitlines()) == 1


def test_only_the_newest_points_and_evidence_are_drawn() -> None:
    evidence = tuple(Evidence(text=f"fact {i}", at_s=NOW_S - i) for i in range(8))
    situation = replace(BLUE_SCREEN, diagnosis=replace(BLUE_SCREEN.diagnosis, evidence=evidence))
    text = render(made(situation, points=[point(i + 1) for i in range(9)]))
    assert text.count("... and 3 more") == 1
    assert text.count("... and 4 more") == 1


def test_several_checks_are_listed_each_with_its_result() -> None:
    ok = CheckResult(check="tcp 10.0.0.5:1433", kind="tcp", is_ok=True, detail="open")
    service = replace(BLUE_SCREEN.service, checks=(ok, *BLUE_SCREEN.service.checks))
    text = render(made(replace(BLUE_SCREEN, service=service)))
    assert (
        "SERVICE   DOES NOT ANSWER\n          ok  tcp 10.0.0.5:1433: open\n          NO  http http://g/health: refused"
        in text
    )


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [""]),
        ("one two", ["one two"]),
        ("one two three", ["one two", "three"]),
        ("  one two three", ["  one", "two", "three"]),
        ("abcdefghijkl", ["abcdefgh", "ijkl"]),
        ("服务服务服务", ["服务服务", "服务"]),
    ],
)
def test_text_is_wrapped_by_columns(text: str, lines: list[str]) -> None:
    assert wrap(text, 8) == lines


def test_combining_letters_stay_whole() -> None:
    assert columns("e\u0301a") == 2
    assert plain("a\tb\r\nc\x00") == "a b c?"
