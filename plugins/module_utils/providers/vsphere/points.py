# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots as recovery points: our protective one, and the way to any of them."""

from __future__ import annotations

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import ProviderFault
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Power, RecoveryPoint, Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.acting import Copy
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.sdk import vim

SNAPSHOT_WITHIN_S = 120.0  # of a VM that is off: a few small files
REVERT_WITHIN_S = 120.0  # throws a delta away
REMOVE_WITHIN_S = 1800.0  # merges what was written since; on a slow array by the gigabyte


def protective_name(run_id: str) -> str:
    return f"{stamps.PROMOTE_SNAPSHOT}{run_id}"


def protective_point(vm: Vm, run_id: str) -> RecoveryPoint | None:
    return next((p for p in vm.points if p.name == protective_name(run_id)), None)


def create_snapshot(copy: Copy, name: str, description: str) -> None:
    copy.run(
        f"take snapshot {name}",
        lambda: copy.object.CreateSnapshot_Task(name=name, description=description, memory=False, quiesce=False),
        within_s=SNAPSHOT_WITHIN_S,
    )


def revert_to(copy: Copy, snapshot_id: str, what: str) -> None:
    """Go to a snapshot, and stay off. Never of a copy that is on: what it wrote would be lost."""
    if copy.now().power is not Power.OFF:
        raise ProviderFault(
            what=f"{what} of {copy.target}",
            why="it is not powered off, and a revert throws away what it writes",
            next="find out who powered it on; see the status playbook",
        )
    snapshot = copy.client.object(vim.vm.Snapshot, snapshot_id)
    copy.run(what, lambda: snapshot.RevertToSnapshot_Task(suppressPowerOn=True), within_s=REVERT_WITHIN_S)


def remove_point(copy: Copy, point: RecoveryPoint) -> None:
    """Remove one snapshot and merge its delta; its children, should it have any, stay."""
    snapshot = copy.client.object(vim.vm.Snapshot, point.id)
    copy.run(
        f"remove snapshot {point.name}",
        lambda: snapshot.RemoveSnapshot_Task(removeChildren=False),
        within_s=REMOVE_WITHIN_S,
    )
