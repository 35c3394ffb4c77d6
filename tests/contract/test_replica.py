# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is known of a replica before anything is done to it."""

from __future__ import annotations

import pytest

from ansible_collections.ferragosto.dr.tests.contract.claim import Claim
from ansible_collections.ferragosto.dr.tests.e2e.kit import CONTRACT


def test_replica_within_the_rpo_is_ready_and_tells_its_age(claim: Claim) -> None:
    found = claim.done("replica_info", contract=CONTRACT, **claim.about("solo"))["replica"]
    assert found["state"] == "ready"
    assert found["recovery_points"][0]["age_s"] == pytest.approx(7 * 3600, abs=120)
    assert found["recovery_points"][0]["is_within_rpo"]


def test_replica_older_than_the_rpo_is_degraded_and_its_promotion_needs_a_word(claim: Claim) -> None:
    claim.control.corrupt("old", since_s=3600)
    card = claim.card("old")
    assert card["state"] == "degraded"
    assert not card["decision"]["is_go"]
    assert "would lose 2 d" in card["decision"]["reason"]
    assert '"data_loss": "who and why"' in card["decision"]["next"]


def test_vm_without_a_replica_is_unprotected_and_refused(claim: Claim) -> None:
    claim.control.corrupt("lost", since_s=3600)
    card = claim.card("lost")
    assert card["state"] == "unprotected"
    assert not card["decision"]["is_go"]


def test_room_on_the_replica_host_is_counted(claim: Claim) -> None:
    claim.control.corrupt("giant", since_s=3600)
    decision = claim.card("giant")["decision"]
    assert not decision["is_go"]
    assert "the replica host cannot carry it" in decision["reason"]


def test_card_names_the_way_and_what_it_costs(claim: Claim) -> None:
    claim.control.corrupt("solo", since_s=3600)
    card = claim.card("solo")
    assert card["decision"]["is_go"], card["decision"]
    assert (
        card["way"]
        == {"vsphere": "revert", "proxmox": "clone", "proxmox-in-place": "in_place", "hyperv": "failover"}[claim.name]
    )
    assert card["way_why"].startswith(card["way"])
