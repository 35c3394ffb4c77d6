# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a recovery refuses, seen in one command on a client that has every trouble at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.vsphere import VsphereLab
from ansible_collections.ferragosto.dr.tests.e2e.kit import Bench, Result

SICK = ("lost", "found", "twin", "old", "giant", "app", "spare")


@dataclass(frozen=True, slots=True)
class Round:
    ended: Result
    calls: dict[str, int]
    records: dict[str, list[str]]
    is_unchanged: bool


@pytest.fixture(scope="module")
def ward(lab: VsphereLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Round]:
    """Everything is broken, and the technician's command goes over all of it."""
    lab.reset()
    bench = Bench(lab, tmp_path_factory.mktemp("ward"))
    for vm in ("lost", "old", "giant", "app", "db"):
        bench.control.crash(vm)
    bench.control.power_off("spare", user="marco.rinaldi")
    before = {vm: bench.shown(vm) for vm in SICK}
    ended = bench.play("recover", limit=",".join(f"{vm}.clinic" for vm in SICK))
    yield Round(
        ended=ended,
        calls=bench.changing_calls(),
        records={vm: [r.kind for r in bench.records(vm)] for vm in SICK},
        is_unchanged={vm: bench.shown(vm) for vm in SICK} == before,
    )
    assert lab.control.violations() == []


@pytest.mark.parametrize(
    ("vm", "why", "then"),
    [
        pytest.param("lost", "fits dr_replica name 'lost_replica'", "dr_replica", id="replica missing"),
        pytest.param("found", "not legal in state found_running", "adopt", id="replica already running"),
        pytest.param("twin", "2 VMs carry this name", "give the id instead of the name", id="two VMs of one name"),
        pytest.param(
            "old",
            "would lose 2 d 1 h of data, the contract allows 24 h",
            '"data_loss": "who and why"',
            id="beyond the RPO",
        ),
        pytest.param("giant", "the replica host cannot carry it", "free room on the replica host", id="no capacity"),
        pytest.param(
            "app", "it depends on db.clinic", "recover db.clinic first, or add it to --limit", id="dependency down"
        ),
        pytest.param(
            "spare",
            "person marco.rinaldi switched it off",
            '"powered_off": "who and why"',
            id="a person switched it off",
        ),
    ],
)
def test_recovery_is_refused_with_its_reason_and_the_next_move(ward: Round, vm: str, why: str, then: str) -> None:
    decision = ward.ended.decision(f"{vm}.clinic")
    assert not decision["is_go"]
    assert why in decision["reason"], decision
    assert then in decision["next"], decision
    assert why in ward.ended.said, "the card must say so to the technician"
    assert f"{vm} is not recovered: refused" in ward.ended.said


def test_a_refusal_touches_nothing_and_fails_the_command(ward: Round) -> None:
    assert ward.ended.rc != 0
    assert ward.calls == {}
    assert ward.is_unchanged
    for vm in SICK:
        assert "intent" not in ward.records[vm]
        assert ward.records[vm][-1] == "run_closed", f"{vm}: a refused run must not stand in the way of the next"


def test_unknown_vm_is_named_with_the_nearest_known_ones(bench: Bench) -> None:
    ended = bench.play("recover", limit="solo.clinic", extra={"dr_vm": "sola"})
    assert ended.rc != 0
    assert "find the VM sola: no VM of this name or id" in ended.said
    assert "nearest: solo" in ended.said
    assert bench.changing_calls() == {}


def test_consents_let_it_go_and_stand_in_the_journal_with_their_words(bench: Bench) -> None:
    bench.control.crash("old")
    bench.control.power_off("spare", user="marco.rinaldi")
    words = {
        "data_loss": "Luca agreed on the phone at 04:20",
        "powered_off": "Marco says it was the wrong one",
        "job_disabled": "Anna, in the console, 04:12",
    }
    extra = {"dr_accept": words, "dr_policy": bench.policy(job_hook=None)}
    ended = bench.play("recover", limit="old.clinic,spare.clinic", extra=extra)
    assert ended.rc == 0, ended.text
    for vm in ("old", "spare"):
        assert bench.run(vm)["outcome"] == "recovered_on_replica"
        assert {c["kind"]: c["reason"] for c in bench.run(vm)["consents"]} == words
        assert all("@" in c["by"] for c in bench.run(vm)["consents"]), "who accepted it"
        assert bench.serving(vm) == "replica"
    assert bench.run("old")["point"]["lost_s"] == pytest.approx(49 * 3600, abs=600)


def test_vendor_job_not_known_to_be_disabled_refuses_the_promotion(bench: Bench, tmp_path: Path) -> None:
    bench.control.crash("solo")
    ended = bench.play("assess", limit="solo.clinic", extra={"dr_policy": bench.policy(job_hook=None)})
    assert ended.rc == 0, ended.text
    assert not ended.decision("solo.clinic")["is_go"]
    assert "its replication job is not known to be disabled" in ended.decision("solo.clinic")["reason"]
    assert '"job_disabled": "who and why"' in ended.decision("solo.clinic")["next"]

    about = {"vm": "solo", "replica": {"name": "solo_replica"}}
    bench.done("vm_fence", **about)
    promoted = bench.module("replica", state="failover", contract={"rto": "30m", "rpo": "24h"}, **about)
    assert promoted["failed"]
    assert promoted["error"]["code"] == "refused"
    assert "dr_accept.job_disabled" in promoted["error"]["next"]
    assert bench.copy("solo", "replica")["power"] == "off"
