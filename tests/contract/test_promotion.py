# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fence, promote, verify, move, undo, commit: the same claims whatever the platform does underneath."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.ferragosto.dr.tests.contract.claim import Claim
from ansible_collections.ferragosto.dr.tests.e2e.kit import CONTRACT


def test_fence_proves_what_it_did_and_a_second_one_changes_nothing(claim: Claim) -> None:
    before = claim.shown("solo")
    about = claim.about("solo")
    foreseen = claim.module("vm_fence", is_check=True, **about)
    assert foreseen["changed"]
    assert claim.changing_calls() == {}
    fenced = claim.done("vm_fence", **about)
    assert fenced["proof"]["kind"] == "seen_off"
    copy = claim.copy("solo", "production")
    assert copy["power"] == "off"
    assert not any(nic["is_connected"] for nic in copy["nics"])
    calls = claim.changing_calls()
    assert not claim.done("vm_fence", **about)["changed"]
    assert claim.changing_calls() == calls
    claim.done("vm_fence", state="unfenced", **about)
    assert claim.shown("solo") == before
    claim.await_serving("solo", "production")


def test_fenced_copy_stays_down_when_its_host_returns(claim: Claim) -> None:
    claim.control.corrupt("solo", since_s=3600)
    claim.failed_over("solo")
    claim.control.host_lost("esx1.clinic.example")
    started = claim.control.host_back("esx1.clinic.example")
    assert "spare" in started, "the lab's autostart must be at work, or this proves nothing"
    assert "solo" not in started
    assert claim.serving("solo") == "replica"


def test_promotion_is_refused_before_the_fence_is_proven(claim: Claim) -> None:
    before = claim.shown("solo")
    promoted = claim.promote("solo")
    assert promoted["failed"]
    assert promoted["error"]["code"] == "split_brain_risk"
    assert claim.changing_calls() == {}
    assert claim.shown("solo") == before


def test_promoted_copy_serves_the_data_of_the_recovery_point(claim: Claim) -> None:
    point = _newest_point(claim, "solo")
    claim.control.corrupt("solo", since_s=3600)
    before = claim.copy("solo", "production")
    claim.failed_over("solo")
    served = claim.copy("solo", "replica")
    assert served["host"] == claim.node("replica")
    assert not served["data"]["is_corrupted"]
    assert served["data"]["generation"] >= point
    # the evidence is kept: what crashed is there as it crashed
    original = claim.copy("solo", "production")
    assert original["power"] == "off"
    assert original["data"] == before["data"]
    assert claim.control.accidents() == []
    assert claim.card("solo")["state"] == "failover"


def test_second_promotion_changes_nothing_and_check_mode_foresees_the_first(claim: Claim) -> None:
    claim.control.corrupt("solo", since_s=3600)
    claim.done("vm_fence", **claim.about("solo"))
    calls = claim.changing_calls()
    foreseen = claim.promote("solo", is_check=True)
    assert foreseen["changed"], foreseen
    assert foreseen["calls"]
    assert claim.changing_calls() == calls
    assert claim.promote("solo")["changed"]
    calls = claim.changing_calls()
    again = claim.promote("solo")
    assert not again["changed"], again["steps"]
    assert claim.changing_calls() == calls


def test_undo_of_a_failover_returns_the_exact_former_state(claim: Claim) -> None:
    before = claim.shown("solo")
    claim.failed_over("solo")
    assert claim.shown("solo") != before
    undone = claim.done("replica", state="ready", **claim.about("solo"))
    assert undone["state"] == {"before": "failover", "after": "ready"}
    assert claim.shown("solo") == before
    claim.await_serving("solo", "production")
    assert not claim.done("replica", state="ready", **claim.about("solo"))["changed"]
    assert claim.control.accidents() == []


def test_promoted_copy_goes_home_and_back_and_undo_still_returns_the_former_state(claim: Claim) -> None:
    before = claim.shown("solo")
    claim.failed_over("solo")
    if claim.overwrites:
        mode = "cold" if claim.name == "hyperv" else "live"
        refused = claim.module("vm_migration", to="production", mode=mode, **claim.about("solo"))
        assert refused["failed"], "the way home goes over the original's disks: a person must say so first"
        assert "original" in refused["error"]["why"]
        claim.done("replica", state="ready", **claim.about("solo"))
        assert claim.shown("solo") == before
        return
    moved = claim.done("vm_migration", to="production", **claim.about("solo"))
    assert moved["copy"]["host"] == claim.node("production")
    assert claim.card("solo")["state"] == "failback"
    assert claim.serving("solo") == "replica", "the promoted copy itself lives at home now"
    assert claim.copy("solo", "production")["power"] == "off"
    assert not claim.done("vm_migration", to="production", **claim.about("solo"))["changed"]
    claim.done("vm_migration", to="replica", **claim.about("solo"))
    claim.done("replica", state="ready", **claim.about("solo"))
    assert claim.shown("solo") == before


def test_commit_keeps_the_original_fenced_and_bars_the_way_back(claim: Claim) -> None:
    claim.control.corrupt("solo", since_s=3600)
    claim.failed_over("solo")
    committed = claim.done("replica", state="committed", **claim.about("solo"))
    assert committed["state"]["before"] == "failover"
    assert committed["state"]["after"] == "committed"
    assert claim.copy("solo", "production")["power"] == "off"
    refused = claim.module("replica", state="ready", **claim.about("solo"))
    assert refused["failed"]
    assert refused["error"]["code"] == "refused"
    assert claim.serving("solo") == "replica"


def test_whole_recovery_by_one_command(claim: Claim) -> None:
    claim.control.corrupt("solo", since_s=3600)
    ended = claim.play("recover", limit="solo.clinic", extra={"dr_policy": claim.policy(migrate_home="auto")})
    assert ended.rc == 0, ended.text
    at_home = not claim.overwrites
    assert claim.run("solo")["outcome"] == ("recovered_home" if at_home else "recovered_on_replica")
    assert claim.serving("solo") == "replica"
    assert claim.copy("solo", "replica")["host"] == claim.node("production" if at_home else "replica")
    assert claim.control.accidents() == []
    assert claim.done("journal_info")["chain"]["is_intact"]
    assert ("T13" in claim.run("solo")["marks"]) == (claim.name == "proxmox")


@pytest.mark.split_brain
def test_two_live_copies_are_reported_and_everything_else_refused(claim: Claim) -> None:
    claim.failed_over("solo")
    if claim.name == "proxmox-in-place":
        (only,) = (g for dc in claim.lab.datacenters for g in dc.guests.values() if g.vm == "solo")
        assert only.node == claim.node("replica"), "what is left at home has no configuration to run by"
        return
    claim.control.connect_nics("solo")
    claim.control.power_on("solo")
    assert claim.control.violations() != []
    card = claim.card("solo")
    assert card["state"] == "split_brain"
    calls = claim.changing_calls()
    for state in ("ready", "committed", "failover"):
        refused = claim.module(
            "replica",
            state=state,
            contract=CONTRACT,
            accept=claim.consents(),
            policy=claim.policy(),
            **claim.about("solo"),
        )
        assert refused["error"]["code"] == "refused", refused
    assert claim.changing_calls() == calls


def _newest_point(claim: Claim, vm: str) -> t.Any:
    copy = claim.copy(vm, "replica")
    newest = copy["vendor_points"][-1] if copy["vendor_points"] else None
    return copy["points"][newest]["generation"] if newest else copy["data"]["generation"]
