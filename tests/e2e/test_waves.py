# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several VMs in one play: waves by dependency, in parallel and not in lock-step; a failure stops its dependants alone."""

from __future__ import annotations

from ansible_collections.ferragosto.dr.tests.e2e.kit import Bench, Result

CHAIN = ("db", "app", "web1", "web2")


def span(ended: Result, vm: str, task: str = "") -> tuple[float, float]:
    """When the recovery of a VM began and ended: from opening its run to closing it, or one task of it."""
    first, last = (task, task) if task else ("Open or continue the run", "Close the run")
    rows = [row for row in ended.rows if row.host == f"{vm}.clinic"]
    began = [row.began_at_s for row in rows if row.task.endswith(first)]
    closed = [row.ended_at_s for row in rows if row.task.endswith(last)]
    return began[0], closed[-1]


def test_waves_follow_the_dependencies_and_a_slow_vm_delays_nobody(bench: Bench) -> None:
    for vm in CHAIN:
        bench.control.corrupt(vm, since_s=3600)
    bench.control.rule("PowerOnVM_Task", "slow_task", vm="web1", role="replica", seconds=15.0)
    ended = bench.play("recover", limit=",".join(f"{vm}.clinic" for vm in CHAIN))
    assert ended.rc == 0, ended.text
    for vm in CHAIN:
        assert bench.run(vm)["outcome"] == "recovered_on_replica"
        assert bench.serving(vm) == "replica"
    db, app, web1, web2 = (span(ended, vm) for vm in CHAIN)
    assert db[1] <= app[0], "a wave starts when the one before is verified"
    assert app[1] <= min(web1[0], web2[0])
    assert web2[0] < web1[1], "VMs of one wave run side by side"
    assert web1[0] < web2[1]
    assert web2[1] < span(ended, "web1", "Promote the replica")[1], "web2 is all done before web1's slow step is"


def test_failed_vm_stops_its_dependants_and_nothing_else(bench: Bench) -> None:
    for vm in ("db", "app", "solo"):
        bench.control.corrupt(vm, since_s=3600)
    bench.control.rule("CreateSnapshot_Task", "failing_task", vm="db", role="replica", count=None, text="array says no")
    ended = bench.play("recover", limit="db.clinic,app.clinic,solo.clinic")
    assert ended.rc != 0
    assert "array says no" in ended.outcome("db.clinic")
    assert ended.outcome("app.clinic").startswith("refused")
    assert "db.clinic" in ended.decision("app.clinic")["reason"]
    assert bench.copy("app", "production")["power"] == "on", "it was not even fenced"
    assert bench.run("solo")["outcome"] == "recovered_on_replica"
    assert bench.serving("solo") == "replica"
    assert "solo: recovered_on_replica" in ended.said
