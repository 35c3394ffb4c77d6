# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Promotion from a backup: another VM, restored by API, however often the controller dies; tonight's backups stay apart."""

from __future__ import annotations

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput, StepFailed
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import RecoveryPoint
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.promote import promote, ways

from .conftest import RUN, VMID, B, Bench, Fault, Killed, Story, moment, stamps_of, twice

RESTORE = [
    "disable the replication job",
    "restore the backup",
    "make it the original's stand-in",
    "power on",
    "see the guest alive",
    "connect the NICs",
    "stamp as failed over",
]


@pytest.fixture
def story(bench: Bench) -> Story:
    at_s = bench.clock.now_s() - 7200
    data = bench.world.data_of(bench.copy(VMID))
    kept = bench.datacenter.backups.keep(bench.guest, "pbs", type(data)(7, at_s), at_s=at_s, size_bytes=2**30)
    story = Story(bench, "restore", RecoveryPoint(id=f"backup:{kept.id}", name=kept.id, created_at_s=at_s))
    bench.world.corrupt(bench.guest.vm, since_s=at_s + 60)
    return story


def test_the_backup_serves_in_a_vm_of_its_own(story: Story) -> None:
    bench = story.bench
    was = dict(bench.guest.config)
    story.fence()
    assert story.promote() == RESTORE
    restored = bench.promoted()
    assert restored is not None
    assert restored.node == B
    assert restored.vmid != VMID
    for key in ("name", "memory", "cores", "smbios1", "net0", "net1", "description"):
        told = restored.config[key].split("\nferragosto.dr:")[0]
        assert told == was[key], key
    assert "onboot" not in restored.config
    assert stamps_of(restored)[stamps.MODE] == "restore"
    copy = bench.copy(restored.vmid)
    assert not copy.data.is_corrupted
    assert copy.data.generation >= 7
    bench.no_harm()


@pytest.mark.parametrize("kill", ["kill_after", "kill_before"])
@pytest.mark.parametrize("number", range(1, len(RESTORE) + 1))
def test_a_controller_killed_at_any_act_is_continued_and_undone(story: Story, kill: str, number: int) -> None:
    bench = story.bench
    before = bench.shape()
    story.fence()
    bench.forget_calls()
    after, before_act = moment(kill, number)
    with pytest.raises(Killed):
        story.promote(kill_after=after, kill_before=before_act)
    story.promote()
    assert twice(bench) == []
    assert len(bench.datacenter.guests) == 2
    bench.no_harm()
    story.undo()
    assert bench.shape() == before


@pytest.mark.parametrize("kind", ["drop", "after", "before"])
@pytest.mark.parametrize("path", ["/nodes/pve2/qemu", "/config", "/status/start"])
def test_whatever_befalls_a_call_no_second_vm_comes_of_it(story: Story, kind: str, path: str) -> None:
    bench = story.bench
    story.fence()
    bench.forget_calls()
    bench.at_b.faults.append(Fault(lambda method, where: where.endswith(path), kind))
    try:
        story.promote()
    except StepFailed:
        assert kind == "before"
        story.promote()
    assert len(bench.datacenter.guests) == 2
    bench.no_harm()


def test_a_dead_original_is_restored_by_what_its_backup_says(bench: Bench) -> None:
    data = bench.world.data_of(bench.copy(VMID))
    kept = bench.datacenter.backups.keep(bench.guest, "pbs", data, at_s=bench.clock.now_s() - 60, size_bytes=2**30)
    bench.datacenter.votes.has_qdevice = True
    pair = bench.pair()
    from dataclasses import replace

    assert pair.production is not None
    blind = replace(pair, production=replace(pair.production, remembered={}))
    bench.datacenter.fail_node("pve1")
    story = Story.__new__(Story)
    story.__init__(bench, "restore", RecoveryPoint(id=f"backup:{kept.id}", name=kept.id, created_at_s=0.0))  # type: ignore[misc]
    story.promote(pair=blind)
    restored = bench.promoted()
    assert restored is not None
    assert restored.config["net0"].startswith("virtio=BC:24:11:0A:0B:0C")
    assert "link_down" not in restored.config["net0"]
    assert "onboot" not in restored.config
    bench.no_harm()


def test_ways_for_a_backup_are_a_restore_alone(story: Story) -> None:
    (way,) = ways(story.bench.ends, story.bench.pair(), story.point)
    assert (way.name, way.is_possible, way.copied_bytes) == ("restore", True, 96 * 2**30)


def test_a_backup_is_not_cloned(story: Story) -> None:
    with pytest.raises(BadInput, match="does not know that way"):
        promote(
            story.bench.ends,
            story.bench.pair(),
            story.point,
            way="clone",
            run_id=RUN,
            guest_within_s=1,
            clock=story.bench.clock,
        )
