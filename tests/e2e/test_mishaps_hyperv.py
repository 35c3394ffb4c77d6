# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What befalls a recovery on its way, on Hyper-V: lost answers, used-up quotas, slow and dead hosts, a copy that comes back."""

from __future__ import annotations

import threading
import typing as t

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.lab import wait_for
from ansible_collections.ferragosto.dr.tests.e2e.hv_kit import (
    AWAY,
    HOME,
    made,
    reverse,
)
from ansible_collections.ferragosto.dr.tests.e2e.kit import CONTRACT, Bench

UNFENCED = {"unfenced": "Luca pulled its power cord at 04:30"}

# What a promotion does to a VM and no more, whatever befalls the wire
ONCE = {"Set-VM": 2, "Start-VMFailover": 1, "Start-VM": 1, "Connect-VMNetworkAdapter": 1}

FENCE = r"(?s)Stop-VM -VM \$vm -TurnOff"
FAIL_OVER = r"(?s)Start-VMFailover -VMRecoverySnapshot.*Set-VM -VM"  # the act, not the check, which asks -WhatIf


def test_production_copy_that_refuses_to_power_off_stops_the_recovery_before_the_promotion(hv: Bench) -> None:
    hv.control.corrupt("solo", since_s=3600)
    hv.control.refuse_power_off("solo")
    hv.done("journal", vm="solo", state="open", op="recover", contract=CONTRACT)
    failed = hv.module("vm_fence", vm="solo", policy=hv.policy(deadlines={"fence": "2s"}))
    assert failed["failed"]
    assert not any(nic["is_connected"] for nic in hv.copy("solo", "production")["nics"]), "unplugged at least"
    assert "end the worker process of this VM" in failed["error"]["next"]
    hv.control.refuse_power_off("solo", refuses=False)
    assert hv.done("vm_fence", vm="solo")["proof"]["kind"] == "seen_off"
    assert not hv.promote("solo").get("failed")
    assert hv.serving("solo") == "replica"


@pytest.mark.parametrize(
    "rule",
    [
        {"call": "Receive", "script": FENCE, "action": "drop_after"},
        {"call": "Receive", "script": FAIL_OVER, "action": "drop_before"},
        {"call": "Receive", "script": FAIL_OVER, "action": "drop_after"},
        {"call": "Send", "script": FAIL_OVER, "action": "drop_after"},
        {"call": "Receive", "script": r"Start-VM -VM \$vm", "action": "drop_after"},
        {"call": "Command", "nth": 6, "action": "quota"},
    ],
    ids=lambda rule: f"{rule['action']} {rule['call']} {rule.get('script', '')[-20:]}",
)
def test_lost_answer_is_settled_by_reading_and_nothing_is_done_twice(hv: Bench, rule: dict[str, t.Any]) -> None:
    hv.control.corrupt("solo", since_s=3600)
    hv.done("journal", vm="solo", state="open", op="recover", contract=CONTRACT)
    hv.control.rule(**rule)
    assert hv.done("vm_fence", vm="solo")["proof"]["kind"] == "seen_off"
    fenced = hv.changing_calls()
    assert fenced == {"Set-VM": 1, "Disconnect-VMNetworkAdapter": 1, "Stop-VM": 1}
    promoted = hv.promote("solo")
    assert not promoted.get("failed"), promoted["msg"]
    assert [one["struck"] for one in hv.control.rules()] == [1]
    assert made(hv, fenced) == ONCE
    assert hv.serving("solo") == "replica"
    assert hv.control.accidents() == []


def test_lost_answer_of_a_reversal_is_settled_by_reading(hv: Bench) -> None:
    hv.control.corrupt("solo", since_s=3600)
    hv.fail_over("solo")
    before = hv.changing_calls()
    hv.control.rule(call="Receive", script=r"Set-VMReplication.*-Reverse", action="drop_after")
    turned = reverse(hv, "solo")
    assert not turned.get("failed"), turned["msg"]
    assert [one["struck"] for one in hv.control.rules()] == [1]
    done = made(hv, before)
    assert (done["Set-VMReplication"], done["Start-VMInitialReplication"]) == (2, 1)


def test_shell_that_is_killed_in_mid_recovery_is_opened_again(hv: Bench) -> None:
    hv.control.corrupt("solo", since_s=3600)
    hv.begun("solo")
    calls = hv.changing_calls()

    def restart() -> None:
        wait_for(lambda: "Start-VMFailover" in made(hv, calls), 20.0, "the failover")
        hv.control.kill_sessions()

    restarts = threading.Thread(target=restart)
    restarts.start()
    promoted = hv.promote("solo")
    restarts.join()
    if promoted.get("failed"):
        assert promoted["error"]["next"]
        promoted = hv.promote("solo")
    assert not promoted.get("failed"), promoted["msg"]
    assert made(hv, calls)["Start-VMFailover"] == 1
    assert hv.serving("solo") == "replica"


def test_quota_that_stays_used_up_is_told_and_the_same_command_completes(hv: Bench) -> None:
    hv.control.corrupt("solo", since_s=3600)
    hv.begun("solo")
    calls = hv.changing_calls()
    hv.control.rule("quota", call="Command", nth=6, count=0)
    failed = hv.promote("solo")
    assert "0x803381A6" in failed["msg"]
    assert "MaxShellsPerUser" in failed["msg"]
    hv.control.clear_rules()
    assert not hv.promote("solo").get("failed")
    assert made(hv, calls) == ONCE


def test_slow_host_is_waited_for_and_not_asked_twice(hv: Bench) -> None:
    hv.control.corrupt("solo", since_s=3600)
    hv.done("journal", vm="solo", state="open", op="recover", contract=CONTRACT)
    hv.control.rule("latency", call="Receive", script=FENCE, seconds=3.5)
    fenced = hv.done("vm_fence", vm="solo", site=hv.site(timeout=2))
    assert fenced["proof"]["kind"] == "seen_off"
    assert [one["struck"] for one in hv.control.rules()] == [1]
    assert hv.changing_calls() == {"Set-VM": 1, "Disconnect-VMNetworkAdapter": 1, "Stop-VM": 1}


@pytest.mark.parametrize(("node", "seconds"), [(HOME, 5400.0), (AWAY, -5400.0)])
def test_age_of_a_point_is_true_whatever_a_hosts_clock_says(hv: Bench, node: str, seconds: float) -> None:
    hv.control.clock_skew(node, seconds)
    hv.control.corrupt("solo", since_s=3600)
    card = hv.card("solo")
    assert card["verdict"] == "crashed"
    assert card["decision"]["is_go"], card["decision"]
    assert card["points"][0]["age_s"] == pytest.approx(7 * 3600, abs=60)


def test_original_that_asks_to_be_resynchronised_does_not_stop_the_failover(hv: Bench) -> None:
    """After a power loss the primary does; the replica is as good as it was."""
    hv.control.resync_needed("solo")
    hv.control.corrupt("solo", since_s=3600)
    hv.fail_over("solo")
    turned = reverse(hv, "solo")
    assert not turned.get("failed"), turned["msg"]
    assert hv.serving("solo") == "replica"


def test_replica_in_error_is_refused_and_stays_as_it_was(hv: Bench) -> None:
    hv.control.resync_needed("solo", role="replica", state="Error")
    hv.control.corrupt("solo", since_s=3600)
    hv.begun("solo")
    before = hv.shown("solo")
    refused = hv.promote("solo")
    assert refused["error"]["code"] == "refused"
    assert "Error: a failover starts from" in refused["error"]["why"]
    assert hv.shown("solo") == before


# --- a dead host -----------------------------------------------------------------------------------------------------


def test_dead_host_is_not_proof_and_a_consent_lets_the_recovery_go(hv: Bench) -> None:
    hv.control.host_lost(HOME)
    card = hv.card("solo")
    assert card["verdict"] == "unreachable"
    assert card["points"][0]["age_s"] == pytest.approx(7 * 3600, abs=60), "the replica's host knows its points"
    assert "silence is not proof" in card["decision"]["reason"]
    assert "dr_accept" in card["decision"]["next"]
    hv.done("journal", vm="solo", state="open", op="recover", contract=CONTRACT)
    unproven = hv.module("vm_fence", vm="solo")
    assert unproven["error"]["code"] == "split_brain_risk"
    hv.done("vm_fence", vm="solo", accept=UNFENCED)
    promoted = hv.promote("solo", accept=UNFENCED)
    assert not promoted.get("failed"), promoted["msg"]
    hv.await_serving("solo", "replica")


@pytest.mark.split_brain
def test_production_copy_that_comes_back_is_reported_by_the_first_look(hv: Bench) -> None:
    test_dead_host_is_not_proof_and_a_consent_lets_the_recovery_go(hv)
    hv.done("journal", vm="solo", state="closed", outcome="recovered_on_replica")
    assert "solo" in hv.control.host_back(HOME), "nobody could fence it: it starts with its host"
    card = hv.card("solo")
    assert card["state"] == "split_brain"
    assert any("SPLIT BRAIN" in alarm for alarm in card["alarms"])


@pytest.mark.split_brain
def test_fenced_vm_that_a_person_starts_is_reported(hv: Bench) -> None:
    hv.control.corrupt("solo", since_s=3600)
    hv.fail_over("solo")
    hv.control.power_on("solo")
    assert any("came back powered on at esx1" in alarm for alarm in hv.card("solo")["alarms"])
    assert hv.control.violations() == [], "its NICs are on no switch: nobody hears it"
    hv.control.connect_nics("solo")
    card = hv.card("solo")
    assert card["state"] == "split_brain"
    assert any("SPLIT BRAIN" in alarm for alarm in card["alarms"])
    assert not card["decision"]["is_go"]


def test_dead_replica_host_is_a_reason_not_to_begin(hv: Bench) -> None:
    hv.control.host_lost(AWAY)
    hv.control.corrupt("solo", since_s=3600)
    card = hv.card("solo")
    assert card["verdict"] == "crashed"
    assert not card["decision"]["is_go"]
    assert "(esx2.clinic.example) does not answer" in card["decision"]["reason"]
    assert hv.changing_calls() == {}


def test_replica_host_dying_in_mid_promotion_is_survived_by_the_same_command(hv: Bench) -> None:
    hv.control.corrupt("solo", since_s=3600)
    hv.begun("solo")
    hv.control.rule("hold_after", call="Receive", host=AWAY, script=FAIL_OVER)

    def die() -> None:
        wait_for(lambda: any(rule["struck"] for rule in hv.control.rules()), 20.0, "the held answer")
        hv.control.host_lost(AWAY)
        hv.control.clear_rules()

    killer = threading.Thread(target=die)
    killer.start()
    failed = hv.promote("solo", site=hv.site(timeout=3))
    killer.join()
    assert failed["failed"]
    assert failed["error"]["next"], failed
    hv.control.host_back(AWAY)
    again = hv.promote("solo")
    assert not again.get("failed"), again["msg"]
    assert hv.changing_calls()["Start-VMFailover"] == 1
    assert hv.serving("solo") == "replica"
