# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""End a promotion: undo it to the exact former state, or commit it. Only here does a snapshot go, and only our own."""

from __future__ import annotations

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import NotReplicated, ProviderFault, Refused
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Pair, Power, Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Former
from ansible_collections.ferragosto.dr.plugins.module_utils.core.stamps import Phase
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Step
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import AGAIN
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere import keepsake, power, reconfigure
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.acting import Copy
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.points import (
    REMOVE_WITHIN_S,
    protective_name,
    protective_point,
    remove_point,
    revert_to,
)

GUEST_WITHIN_S = 30.0  # what the guest would save is thrown away


def undo_promotion(
    client: Client, pair: Pair, former: Former, *, run_id: str, guest_within_s: float = GUEST_WITHIN_S
) -> list[Step]:
    """Return the replica to what it was before the run touched it, however far the promotion came.

    Our point goes after the revert, the stamps last: as long as one of them is there, the run is known not to be undone.
    """
    vm = _replica(pair, "undo the promotion")
    start = Copy(client, vm).now()
    copy = Copy(client, start)
    stamps_off = reconfigure.stamp(
        copy,
        "take the stamps off",
        {stamps.RUN: "", stamps.PHASE: "", stamps.POINT: "", keepsake.KEY: ""},
        next=f"remove the {stamps.RUN} and other ferragosto.dr.* settings from {vm.name}, {AGAIN}",
    )
    if start.stamps.get(stamps.RUN) != run_id and protective_point(start, run_id) is None:
        # Nothing of this run is here (any more); a copy that a person powered on by hand is not ours to stop.
        _refuse_foreign(start, run_id)
        return [stamps_off]
    if start.host == pair.production_node != pair.replica_node:
        raise Refused(
            what=f"undo the promotion of {vm.name}",
            why=f"it lives on the production host {start.host} now",
            next="migrate it back to the replica host first (vm_migration to=replica), then undo",
        )
    if start.stamps.get(stamps.PHASE) == Phase.COMMITTED:
        raise Refused(
            what=f"undo the promotion of {vm.name}",
            why="it was committed: its protective point is gone or going",
            next="make the fenced original its replica (reprotect)",
        )
    if stamps.POINT in start.stamps and protective_point(start, run_id) is None:
        _refuse_lost_point(start, run_id)
    # A copy that was on may have written since, though its disks descend from our point already.
    is_dirty = [start.power is not Power.OFF]
    plugs = keepsake.plugs_before(former, keepsake.decode(start.stamps.get(keepsake.KEY, "")))
    return [
        *power.power_off(client, start, guest_within_s=guest_within_s),
        _revert(copy, run_id, is_dirty),
        reconfigure.stamp(
            copy,
            "stamp as taken back",
            {stamps.PHASE: Phase.PROMOTING, stamps.POINT: ""},
            unless=lambda now: protective_point(now, run_id) is None and stamps.POINT not in now.stamps,
            next=f"read the task's error in the vSphere client, {AGAIN}",
        ),
        reconfigure.plug_nics(
            copy,
            "put the NICs back",
            lambda now: plugs,
            next=f"set Connect At Power On of the NICs of {vm.name} as it was, {AGAIN}",
        ),
        _remove_point(copy, run_id),
        stamps_off,
    ]


def commit(client: Client, pair: Pair, *, run_id: str) -> list[Step]:
    """Make the promotion permanent. The fenced original is kept as it is: fenced."""
    vm = _replica(pair, "commit the promotion")
    start = Copy(client, vm).now()
    copy = Copy(client, start)
    if start.stamps.get(stamps.RUN) != run_id:
        raise Refused(
            what=f"commit the promotion of {vm.name}",
            why=f"it is not promoted by run {run_id} (its stamp: {start.stamps.get(stamps.RUN) or 'none'})",
            next="see the status playbook for the run to commit",
        )
    return [
        # First the word, then the deed: no point goes before commit (invariant 3).
        reconfigure.stamp(
            copy,
            "stamp as committed",
            {stamps.PHASE: Phase.COMMITTED, keepsake.KEY: ""},
            next=f"read the task's error in the vSphere client, {AGAIN}",
        ),
        _remove_point(copy, run_id),
    ]


def _replica(pair: Pair, what: str) -> Vm:
    if pair.replica is None:
        raise NotReplicated(
            what=f"{what} of {pair.name}",
            why="no replica was found" if pair.is_replica_reachable else "the replica's endpoint does not answer",
            next="check dr_replica and dr_site.replica",
        )
    return pair.replica


def _refuse_foreign(vm: Vm, run_id: str) -> None:
    owner = vm.stamps.get(stamps.RUN)
    if owner:
        raise Refused(
            what=f"undo the promotion of {vm.name} by run {run_id}",
            why=f"it is held by run {owner}",
            next=f"undo run {owner} instead",
        )


def _refuse_lost_point(vm: Vm, run_id: str) -> None:
    raise Refused(
        what=f"undo the promotion of {vm.name}",
        why=f"its protective point {protective_name(run_id)} is gone: the former state cannot be brought back",
        next="commit the promotion, or fail back to the fenced original and seed the replica anew",
    )


def _revert(copy: Copy, run_id: str, is_dirty: list[bool]) -> Step:
    name = protective_name(run_id)

    def is_back(vm: Vm) -> bool:
        own = protective_point(vm, run_id)
        return own is None or (vm.current_point == own.id and vm.power is Power.OFF and not any(is_dirty))

    def act() -> None:
        own = protective_point(copy.now(), run_id)
        if own is None:
            raise ProviderFault(
                what=f"go back to {name} of {copy.target}", why="it is gone", next="commit the promotion instead"
            )
        revert_to(copy, own.id, f"go back to {name}")
        is_dirty.clear()

    own = protective_point(copy.vm, run_id)
    return copy.step(
        "go back to the protective point",
        calls=[f"RevertToSnapshot_Task({own.id if own else name}, suppressPowerOn=True)"],
        is_done=is_back,
        act=act,
        task="revert",
        next=f"revert {copy.vm.name} to its snapshot {name} in the vSphere client, {AGAIN}",
    )


def _remove_point(copy: Copy, run_id: str) -> Step:
    """Return the step that removes exactly our own point; children, should somebody have made any, stay."""
    name = protective_name(run_id)

    def act() -> None:
        own = protective_point(copy.now(), run_id)
        if own is not None:
            remove_point(copy, own)

    own = protective_point(copy.vm, run_id)
    return copy.step(
        "remove our protective point",
        calls=[f"RemoveSnapshot_Task({own.id if own else name}, removeChildren=False)"],
        is_done=lambda vm: protective_point(vm, run_id) is None,
        act=act,
        task="remove",
        within_s=REMOVE_WITHIN_S,
        next=f"wait for its task in the vSphere client or free space on the datastore, {AGAIN}; do not consolidate",
    )
