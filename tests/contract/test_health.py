# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a provider must see of a VM, in the words that all of them share."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.ferragosto.dr.tests.contract.claim import Claim

DOWN = {"crashed", "crash_loop", "hung", "degraded"}


def diagnosis(claim: Claim, vm: str) -> dict[str, t.Any]:
    found = claim.done("vm_health_info", checks=claim.checks(f"{vm}.clinic"), **claim.about(vm))
    return found["diagnosis"]


def test_running_vm_whose_service_answers_is_healthy(claim: Claim) -> None:
    found = diagnosis(claim, "solo")
    assert (found["verdict"], found["is_certain"], found["blast"]) == ("healthy", True, "none")


def test_blue_screen_is_never_healthy_and_only_this_vm_is_down(claim: Claim) -> None:
    claim.control.corrupt("solo", since_s=3600)
    found = diagnosis(claim, "solo")
    assert found["verdict"] in DOWN
    assert found["blast"] == "vm"
    assert diagnosis(claim, "db")["verdict"] == "healthy"


def test_person_who_switched_it_off_is_named(claim: Claim) -> None:
    claim.control.power_off("spare", user="marco.rinaldi")
    found = diagnosis(claim, "spare")
    assert found["verdict"] == "powered_off"
    # Hyper-V's log keeps no name, and still it must not pass for the guest's own doing
    who = "without a name in the log" if claim.name == "hyperv" else "marco.rinaldi"
    assert found["by_whom"].startswith(f"person {who}")


def test_service_that_fails_in_a_living_guest_is_degraded_not_down(claim: Claim) -> None:
    claim.control.service("solo", "error")
    found = diagnosis(claim, "solo")
    assert found["verdict"] == "degraded"
    assert "guest is alive" in found["reason"]


def test_lost_host_makes_its_vms_unreachable_not_off(claim: Claim) -> None:
    claim.card("solo")
    claim.control.host_lost("esx1.clinic.example")
    found = diagnosis(claim, "solo")
    assert (found["verdict"], found["is_certain"]) == ("unreachable", False)
    assert "unknown, not down" in found["reason"]
    assert found["blast"] in ("host", "site")


def test_reading_changes_nothing(claim: Claim) -> None:
    before = claim.shown("solo")
    claim.card("solo")
    diagnosis(claim, "solo")
    claim.done("site_info", site=None, sites=[claim.site()])
    assert claim.changing_calls() == {}
    assert claim.shown("solo") == before


@pytest.mark.parametrize("vm", ["solo", "odd"])
def test_bulk_read_shows_every_vm_with_power_and_newest_point(claim: Claim, vm: str) -> None:
    name = next(w.vm for w in claim.lab.wish.vms if w.host == f"{vm}.clinic")
    (site,) = claim.done("site_info", site=None, sites=[claim.site()])["sites"]
    assert site["is_reachable"]
    rows = [row for row in site["vms"] if row["name"] == name or row["name"].startswith(f"{name}_replica")]
    assert "on" in {row["power"] for row in rows}
    ages = [row["newest_point_age_s"] for row in rows if row["newest_point_age_s"] is not None]
    assert ages == [pytest.approx(7 * 3600, abs=120)]
