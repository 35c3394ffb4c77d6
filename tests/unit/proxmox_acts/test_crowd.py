# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A whole site fails over at once: others make VMs, write jobs and restore backups in the same moment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import StepFailed
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import RecoveryPoint
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Step
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.promote import promote

from .conftest import RUN, VMID, B, Bench, Fault, PveError, Story, run, stamps_of

_ID = re.compile(r"(?:vmid|newid)=(\d+)")


def _taken_first(bench: Bench, steps: Iterable[Step], name: str) -> Iterator[Step]:
    """Let somebody else take the id that a step has planned, just before it acts."""
    for step in steps:
        if step.name != name:
            yield step
            continue

        def act(step: Step = step) -> None:
            found = _ID.search(step.calls[0])
            assert found is not None
            bench.at_a.run("be quicker", "POST", f"/nodes/{B}/qemu", within_s=30, vmid=int(found[1]), name="other")
            step.act()

        yield replace(step, act=act)


@pytest.mark.parametrize(
    ("way", "name"),
    [
        ("clone", "make a shell over the replica's disks"),
        ("clone", "copy the replica's disks"),
        ("restore", "restore the backup"),
    ],
)
def test_an_id_that_somebody_else_took_meanwhile_is_replaced(bench: Bench, way: str, name: str) -> None:
    point = bench.point()
    if way == "restore":
        data = bench.world.data_of(bench.copy(VMID))
        kept = bench.datacenter.backups.keep(bench.guest, "pbs", data, at_s=bench.clock.now_s() - 60, size_bytes=2**30)
        point = RecoveryPoint(id=f"backup:{kept.id}", name=kept.id, created_at_s=kept.made_at_s)
    story = Story(bench, way, point)
    story.fence()
    steps = promote(bench.ends, bench.pair(), point, way=way, run_id=RUN, guest_within_s=30.0, clock=bench.clock)
    run(_taken_first(bench, steps, name), bench.clock)
    made = [g for g in bench.datacenter.guests.values() if stamps_of(g).get(stamps.RUN) == RUN]
    assert [stamps_of(g)[stamps.PHASE] for g in made] == ["failover"]
    assert [g.name for g in bench.datacenter.guests.values() if g.vmid not in (VMID, made[0].vmid)] == ["other"]
    assert not any(g.name.startswith("dr-shell") for g in bench.datacenter.guests.values())
    bench.no_harm()


def test_a_wished_id_that_somebody_else_took_is_not_replaced(bench: Bench) -> None:
    story = Story(bench, "clone")
    story.fence()
    steps = promote(
        bench.ends,
        bench.pair(),
        story.point,
        way="clone",
        run_id=RUN,
        guest_within_s=30.0,
        clock=bench.clock,
        promoted_id="7100",
    )
    with pytest.raises(StepFailed, match="already exists"):
        run(_taken_first(bench, steps, "copy the replica's disks"), bench.clock)


def test_jobs_are_written_though_others_write_them_too(bench: Bench) -> None:
    story = Story(bench, "clone")
    error = PveError(500, "detected modified configuration - file changed by other user? Try again.")
    for dummy in range(3):
        bench.at_b.faults.append(Fault(lambda method, path: path.startswith("/cluster/replication"), "before", error))
    assert story.replicate("disabled") == ["disable the replication job"]


def test_a_restore_of_another_vm_is_not_waited_for(bench: Bench) -> None:
    data = bench.world.data_of(bench.copy(VMID))
    kept = bench.datacenter.backups.keep(bench.guest, "pbs", data, at_s=bench.clock.now_s() - 60, size_bytes=2**30)
    story = Story(bench, "restore", RecoveryPoint(id=f"backup:{kept.id}", name=kept.id, created_at_s=0.0))
    bench.datacenter.trouble.stuck_tasks.add("qmrestore:555")
    other = bench.at_b.send(
        "POST", f"/nodes/{B}/qemu", vmid=555, archive=kept.id, tags="dr.run.another-run", storage="tank"
    )
    bench.datacenter.guests[555].config["tags"] = "dr.run.another-run"
    story.fence()
    story.promote()
    assert bench.datacenter.tasks.tasks[other].is_running
    bench.no_harm()


def test_another_vms_copy_under_the_same_run_is_not_ours(bench: Bench) -> None:
    bench.at_a.run("make it", "POST", f"/nodes/{B}/qemu", within_s=30, vmid=700, name="other")
    marks = f"dr.run.{'20260815+t021400+z-1f3a9c'};dr.phase.failover;dr.point.pvesr+03a300-0+0401;dr.mode.clone"
    bench.at_a.send("PUT", f"/nodes/{B}/qemu/700/config", tags=marks)
    assert stamps_of(bench.datacenter.guests[700])[stamps.RUN] == RUN
    story = Story(bench, "clone")
    pair = bench.pair()
    story.fence()
    assert "copy the replica's disks" in story.promote(pair=pair)
    assert 700 in bench.datacenter.guests
