# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps that turn a replication round, let it go on, and see it in sync: the same after a failover and on the way home."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.ferragosto.dr.plugins.module_utils.core import marks, stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import ProviderFault
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Step
from ansible_collections.ferragosto.dr.plugins.module_utils.core.waiting import wait_until
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import keepsake
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import legs as both
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.acting import Change, Machine, unplugged
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.legs import (
    HALTED,
    PREPARED,
    PRIMARY,
    READY,
    REPLICA,
    REPLICATING,
    RESYNCHRONIZE,
    WAITING_FIRST,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.preflight_acts import Terms
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts import replication as scripts
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.survey import NO_AUTOSTART, Sheet
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import AGAIN

POLL_S = 1.0
BY_HAND = "see Get-VMReplication on both hosts"


def take_back(machine: Machine) -> Step:
    """Return the step that takes back what a move that was given up has prepared: the VM is unlocked, its replication goes on."""
    return both.step(
        machine,
        "take the preparation back",
        scripts.CANCEL,
        is_done=lambda sheet: sheet.replication_state != PREPARED,
        next=f"by hand on {machine.host}: Stop-VMFailover, {AGAIN}",
    )


def resume(machine: Machine, peer: Machine, *, only: frozenset[str] = HALTED) -> Step:
    """Return the step that lets a halted replication go on, with a resynchronisation where its state asks for one."""

    def act() -> None:
        resume_now(machine, machine.last(), peer.now())

    return machine.step(
        "resume the replication",
        calls=scripts.RESUME.calls(machine.host, id=machine.guid),
        is_done=lambda sheet: sheet.replication_state not in only,
        act=act,
        next=f"{BY_HAND}, then Resume-VMReplication -Resynchronize on {machine.host}, {AGAIN}",
    )


def resume_now(machine: Machine, sheet: Sheet, there: Sheet) -> None:
    """A first replication that halted goes on where it stood: nothing is in step yet that could be compared again."""
    is_due = sheet.replication_state in RESYNCHRONIZE and there.replication_state != WAITING_FIRST
    machine.act(scripts.RESUME, within_s=both.ACT_WITHIN_S, resynchronize=is_due)


def first_replication(machine: Machine) -> Step:
    """Return the step that starts the first replication in a direction; over existing disks only what differs travels."""
    return both.step(
        machine,
        "start the first replication",
        scripts.START_INITIAL,
        is_done=lambda sheet: sheet.replication_state != READY,
        next=f"by hand on {machine.host}: Start-VMInitialReplication, {AGAIN}",
    )


def turn(line: Machine, other: Machine, terms: Terms) -> Step:
    """Return the step that makes a copy that was failed over the primary, and the other one its replica."""

    def guard() -> None:
        both.must_be_off(other, f"reverse the replication of {line.target}")

    script, values = terms.reverse()
    return both.step(
        line,
        "reverse the replication",
        script,
        is_done=lambda sheet: sheet.mode == PRIMARY,
        guard=guard,
        next=f"by hand on {line.host}: Set-VMReplication -Reverse -ReplicaServerName {terms.server}, {AGAIN}",
        **values,
    )


def rest(machine: Machine, run_id: str) -> Sequence[Step]:
    """Return the steps that leave a copy which no longer serves at rest: unconnected, and of our stamps whose it is alone."""
    gone = dict.fromkeys((stamps.RUN, stamps.PHASE, stamps.MODE, stamps.POINT), "")
    return (
        machine.stamp_step(
            "stamp the copy it left as fenced",
            lambda sheet: Change(
                marks={**gone, stamps.FENCED: run_id}, kept=keepsake.now(sheet), autostart=NO_AUTOSTART
            ),
        ),
        machine.nics_step(
            "disconnect the NICs it left",
            unplugged,
            next=f"set every NIC of {machine.target} to Not connected (Settings), {AGAIN}",
        ),
    )


def sync(sender: Machine, receiver: Machine, *, within_s: float, is_first: bool = False) -> Step:
    """Return the step that sees the other host's disks brought up to now.

    ``is_first``: one cycle in this direction is enough, whenever it was. Else one that ended after this is asked.
    """
    asked: list[float] = []  # by the sending host's clock

    def is_done(sheets: Sequence[Sheet]) -> bool:
        if not is_in_sync(sheets[0], sheets[1]):
            return False
        last_at_s = sheets[0].relation.last_at_s if sheets[0].relation is not None else None
        return is_first or (bool(asked) and last_at_s is not None and last_at_s >= asked[0])

    def act() -> Sequence[Sheet] | None:
        told: list[str] = []

        def look() -> Sequence[Sheet] | None:
            sheets = sender.now(), receiver.now()
            if not asked:
                asked.append(sheets[0].read_at_s)
            if is_done(sheets):
                return sheets
            _nudge(sender, *sheets, told)
            return None

        return wait_until(look, within_s=within_s, clock=sender.client.clock, every_s=POLL_S)

    return both.step_of_both(
        marks.REPROTECTED,
        (sender, receiver),
        target=f"replication of {sender.name} to {receiver.host}",
        calls=(f"Get-VMReplication on {sender.host} and {receiver.host}, until both say Replicating",),
        is_done=is_done,
        act=act,
        next=f"{BY_HAND} and their event logs Hyper-V-VMMS, {AGAIN}",
    )


def is_in_sync(sender: Sheet, receiver: Sheet) -> bool:
    """Tell whether what is written here arrives there; a replica that nothing has reached yet cannot be failed over."""
    is_primary = sender.mode == PRIMARY and sender.replication_state == REPLICATING
    is_replica = receiver.mode == REPLICA and receiver.replication_state == REPLICATING
    return is_primary and is_replica and receiver.relation is not None and receiver.relation.last_at_s is not None


def _nudge(machine: Machine, sheet: Sheet, there: Sheet, told: list[str]) -> None:
    """Let a replication that has halted go on, once for every state it halts in; then it needs a person."""
    state = sheet.replication_state
    if state not in HALTED:
        return
    if state in told:
        details = "; ".join(sheet.relation.details) if sheet.relation is not None else ""
        raise ProviderFault(
            what=f"bring the replica of {machine.target} in sync",
            why=f"it was resumed, and is {state} again{': ' if details else ''}{details}",
            next=f"{BY_HAND} and the event log Hyper-V-VMMS of {machine.host}, {AGAIN}",
        )
    told.append(state)
    resume_now(machine, sheet, there)
