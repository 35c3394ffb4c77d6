# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several VMs in one play: waves by dependency, in parallel and not in lock-step; a failure stops its dependants alone."""

from __future__ import annotations

from ansible_collections.ferragosto.dr.tests.e2e.kit import Bench, Result

HEALED = ("db", "web1", "web2")


def span(ended: Result, vm: str, task: str = "") -> tuple[float, float]:
    """When the recovery of a VM began and ended: from opening its run to closing it, or one task of it."""
    first, last = (task, task) if task else ("Open or continue the run", "Close the run")
    rows = [row for row in ended.rows if row.host == f"{vm}.clinic"]
    began = [row.began_at_s for row in rows if row.task.endswith(first)]
    closed = [row.ended_at_s for row in rows if row.task.endswith(last)]
    return began[0], closed[-1]


def test_waves_follow_the_dependencies_side_by_side_and_a_failed_vm_stops_its_dependants_alone(bench: Bench) -> None:
    for vm in (*HEALED, "spare", "app"):
        bench.control.corrupt(vm, since_s=3600)
    bench.control.rule("PowerOnVM_Task", "slow_task", vm="web1", role="replica", seconds=10.0)
    bench.control.rule("CreateSnapshot_Task", "failing_task", vm="spare", role="replica", text="array says no")
    ended = bench.play("recover", limit=",".join(f"{vm}.clinic" for vm in (*HEALED, "spare", "app")))

    for vm in HEALED:
        assert bench.run(vm)["outcome"] == "recovered_on_replica", ended.text
        assert bench.serving(vm) == "replica"
    db, web1, web2 = (span(ended, vm) for vm in HEALED)
    assert db[1] <= min(web1[0], web2[0]), "a wave starts when the one before is verified"
    assert web2[0] < web1[1], "VMs of one wave run side by side"
    assert web1[0] < web2[1]
    assert web2[1] < span(ended, "web1", "Promote the replica")[1], "web2 is all done before web1's slow step is"

    assert ended.rc != 0
    assert "array says no" in ended.outcome("spare.clinic")
    assert ended.outcome("app.clinic").startswith("refused")
    assert "it depends on spare.clinic" in ended.decision("app.clinic")["reason"]
    assert bench.copy("app", "production")["power"] == "on", "it was not even fenced"
