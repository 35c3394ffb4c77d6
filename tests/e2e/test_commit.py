# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commit makes a failover final, and takes away our own protective point alone (invariant 3)."""

from __future__ import annotations

import pytest

from ansible_collections.ferragosto.dr.tests.e2e.kit import Bench


@pytest.mark.parametrize(
    ("goes_home", "was", "becomes", "host"),
    [(False, "failover", "committed", "esx2"), (True, "failback", "unprotected", "esx1")],
    ids=["from failover", "from failback"],
)
def test_commit_keeps_every_vendor_point_and_the_fence(
    bench: Bench, goes_home: bool, was: str, becomes: str, host: str
) -> None:
    vendor_points = bench.shown("solo")["replica"]["snapshots"]
    bench.control.corrupt("solo", since_s=3600)
    bench.fail_over("solo", goes_home=goes_home)
    assert len(bench.shown("solo")["replica"]["snapshots"]) == len(vendor_points) + 1

    committed = bench.play("commit", limit="solo.clinic")
    assert committed.rc == 0, committed.text
    assert f"solo: {was} -> {becomes}" in committed.said
    shown = bench.shown("solo")
    assert shown["replica"]["snapshots"] == vendor_points
    assert bench.copy("solo", "replica")["host"] == f"{host}.clinic.example"
    assert bench.serving("solo") == "replica"
    fenced = shown["production"]
    assert fenced["power"] == "poweredOff"
    assert not fenced["autostart"]
    assert not fenced["ha"]
    assert all(nic[:2] == (False, False) for nic in fenced["nics"].values())
    assert bench.control.accidents() == []

    calls = bench.changing_calls()
    again = bench.module("replica", vm="solo", replica={"name": "solo_replica"}, state="committed")
    assert not again["changed"], again
    undo = bench.module("replica", vm="solo", replica={"name": "solo_replica"}, state="ready")
    assert undo["failed"]
    assert undo["error"]["code"] == "refused"
    assert bench.changing_calls() == calls
