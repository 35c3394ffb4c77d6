# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a recovery refuses, seen in one command on a client that has every trouble at once."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.ferragosto.dr.tests.e2e.kit import CONTRACT, Bench

WHY = {
    "replica missing": ("lost", "fits dr_replica name 'lost_replica'", "dr_replica"),
    "replica already running": ("found", "not legal in state found_running", "adopt"),
    "two VMs of one name": ("twin", "2 VMs carry this name", "give the id instead of the name"),
    "point older than the RPO": (
        "old",
        "would lose 2 d 1 h of data, the contract allows 24 h",
        '"data_loss": "who and why"',
    ),
    "no room on the replica host": ("giant", "the replica host cannot carry it", "free room on the replica host"),
    "dependency outside --limit down": (
        "web1",
        "it depends on db.clinic",
        "recover db.clinic first, or add it to --limit",
    ),
    "a person switched it off": ("spare", "person marco.rinaldi switched it off", '"powered_off": "who and why"'),
}


def test_every_trouble_is_refused_with_its_reason_and_nothing_is_touched(
    bench: Bench, subtests: pytest.Subtests
) -> None:
    for vm in ("lost", "old", "giant", "web1", "db"):
        bench.control.crash(vm)
    bench.control.power_off("spare", user="marco.rinaldi")
    before = {vm: bench.shown(vm) for vm, _why, _then in WHY.values()}
    assessed = bench.play("assess", limit=",".join(f"{vm}.clinic" for vm in before))
    assert assessed.rc == 0, assessed.text
    for trouble, (vm, why, then) in WHY.items():
        with subtests.test(trouble):
            decision = assessed.decision(f"{vm}.clinic")
            assert not decision["is_go"]
            assert why in decision["reason"], decision
            assert then in decision["next"], decision
            assert why in assessed.said, "the card must say so to the technician"

    ended = bench.play("recover", limit="lost.clinic,found.clinic,web1.clinic")
    assert ended.rc != 0
    for vm in ("lost", "found", "web1"):
        assert ended.outcome(f"{vm}.clinic").startswith("refused")
        kinds = [record.kind for record in bench.records(vm)]
        assert "intent" not in kinds
        assert kinds[-1] == "run_closed", "it must not stand in the way of the next command"
    assert bench.changing_calls() == {}
    assert {vm: bench.shown(vm) for vm in before} == before


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


def test_vendor_job_not_known_to_be_disabled_refuses_the_promotion(bench: Bench) -> None:
    bench.control.crash("solo")
    decision = bench.card("solo", policy=bench.policy(job_hook=None))["decision"]
    assert not decision["is_go"]
    assert "its replication job is not known to be disabled" in decision["reason"]
    assert '"job_disabled": "who and why"' in decision["next"]

    about: dict[str, t.Any] = {"vm": "solo", "replica": {"name": "solo_replica"}}
    bench.done("vm_fence", **about)
    promoted = bench.module("replica", state="failover", contract=CONTRACT, **about)
    assert promoted["failed"]
    assert promoted["error"]["code"] == "refused"
    assert "dr_accept.job_disabled" in promoted["error"]["next"]
    assert bench.copy("solo", "replica")["power"] == "off"
