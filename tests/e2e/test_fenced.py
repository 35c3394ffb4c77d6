# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""After a failover: the fenced copy stays down, whatever returns; and what should alarm a person does."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.ferragosto.dr.tests.e2e.kit import CONTRACT, Bench

ABOUT: dict[str, t.Any] = {"vm": "solo", "replica": {"name": "solo_replica"}}


def test_fenced_copy_stays_down_when_its_host_returns_and_starts_all_it_is_told_to(bench: Bench) -> None:
    bench.control.crash("solo")
    bench.fail_over("solo")
    bench.control.host_lost("esx1.clinic.example")
    started = bench.control.host_back("esx1.clinic.example")
    assert "spare" in started, "the lab's autostart and HA must be at work, or this proves nothing"
    assert "solo" not in started
    assert bench.copy("solo", "production")["power"] == "off"
    assert bench.serving("solo") == "replica"


def test_production_copy_that_came_back_without_its_nics_alarms(bench: Bench) -> None:
    bench.control.crash("solo")
    bench.fail_over("solo")
    bench.control.power_on("solo")
    alarms = bench.card("solo")["alarms"]
    assert alarms == ["the production copy came back powered on at esx1.clinic.example: fence it"]
    status = bench.play("status", limit="solo.clinic")
    assert "came back powered on" in status.said, status.text


def test_pending_fence_alarms_when_the_host_is_back_until_it_is_made_up_for(bench: Bench) -> None:
    about: dict[str, t.Any] = {"vm": "found", "replica": {"name": "found_replica"}}
    bench.control.power_off("found", role="replica")
    bench.control.power_on("found")
    bench.await_serving("found", "production")
    bench.control.host_lost("esx1.clinic.example")
    accept = {"unfenced": "Luca pulled its power cord", "job_disabled": "Anna, in the console"}
    bench.done("journal", state="open", op="recover", contract=CONTRACT, **about)
    bench.done("vm_fence", accept=accept, **about)
    bench.done("replica", state="failover", contract=CONTRACT, accept=accept, **about)
    bench.done("journal", state="closed", outcome="recovered_on_replica", **about)
    # this VM has no autostart, and its HA is what the lab's vCenter forgot with the host
    bench.control._fell.clear()
    bench.control.host_back("esx1.clinic.example")
    (alarm,) = bench.card("found")["alarms"]
    assert "not fenced yet: fence it" in alarm
    assert bench.done("vm_fence", **about)["proof"]["kind"] == "seen_off"
    assert bench.card("found")["alarms"] == []
    assert bench.shown("found")["production"]["stamps"]["ferragosto.dr.fenced"]


@pytest.mark.split_brain
def test_split_brain_is_reported_by_the_first_check_and_everything_else_refused(bench: Bench) -> None:
    bench.control.crash("solo")
    bench.fail_over("solo")
    bench.control.connect_nics("solo")
    bench.control.power_on("solo")
    assert next(v["kind"] for v in bench.control.violations()) == "two_on_production_network"
    status = bench.play("status", limit="solo.clinic")
    assert "SPLIT BRAIN" in status.said, status.text
    calls = bench.changing_calls()
    card = bench.card("solo")
    assert card["state"] == "split_brain"
    assert not card["decision"]["is_go"]
    assert "resolve" in card["decision"]["next"]
    for state in ("ready", "committed", "failover"):
        refused = bench.module("replica", state=state, contract=CONTRACT, accept={"job_disabled": "Anna"}, **ABOUT)
        assert refused["error"]["code"] == "refused", refused
    assert bench.changing_calls() == calls


@pytest.mark.split_brain
def test_unfenced_consent_is_journalled_and_the_copy_that_returns_is_reported_by_the_first_check(bench: Bench) -> None:
    bench.control.host_lost("esx1.clinic.example")
    refused = bench.card("solo")["decision"]
    assert not refused["is_go"]
    assert "silence is not proof" in refused["reason"]
    assert '"unfenced": "who and why"' in refused["next"]

    why = "Luca pulled its power cord at 04:30"
    ended = bench.play("recover", limit="solo.clinic", extra={"dr_accept": {"unfenced": why}})
    assert ended.rc == 0, ended.text
    assert bench.serving("solo") == "replica"
    assert {c["kind"]: c["reason"] for c in bench.run("solo")["consents"]}["unfenced"] == why
    (pending,) = bench.records("solo", "fence_pending")
    assert "accepted" in pending.body["proof"]
    assert bench.control.violations() == []

    assert "solo" in bench.control.host_back("esx1.clinic.example"), "nobody could fence it: it starts with its host"
    status = bench.play("status", limit="solo.clinic")
    assert "SPLIT BRAIN" in status.said, status.text


def test_job_that_was_not_disabled_rolls_the_promoted_replica_back_and_the_new_point_alarms(bench: Bench) -> None:
    bench.control.crash("solo")
    bench.fail_over("solo")  # somebody said the job was disabled, and it was not
    assert bench.control.run_job("solo")
    assert [a["kind"] for a in bench.control.accidents()] == ["promoted_replica_rolled_back"]
    assessed = bench.play("assess", limit="solo.clinic")
    alarms = assessed.card("solo.clinic")["alarms"]
    assert any("Restore Point" in alarm for alarm in alarms), assessed.text
    assert "ALARM" in assessed.said
