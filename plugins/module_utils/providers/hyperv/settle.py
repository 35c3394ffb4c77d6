# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""End a promotion: undo it to the exact former state, or commit it. Only a commit lets recovery points go.

Undo goes by Stop-VMFailover, so only for as long as the failover is neither completed nor reversed: from then on the way back is a
failover in the other direction.
"""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import DrError, Refused
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Pair
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Former
from ansible_collections.ferragosto.dr.plugins.module_utils.core.stamps import Phase
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Step
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import keepsake, legs, power, turning
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.acting import Change, Machine
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.ends import Ends
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.keepsake import Keepsake
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.promote import PAST, cancel_step
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts import replication as scripts
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.survey import Sheet
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.ends import require_replica
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import AGAIN

# "" of every stamp, for a VM that is a plain one again.
NONE_OF_OURS = {**dict.fromkeys(stamps.ALL, ""), power.MARK: ""}
SUSPENDED = "Suspended"  # by a person, when it was so before the promotion


def undo_promotion(ends: Ends, pair: Pair, former: Former, *, run_id: str) -> Iterator[Step]:
    """Yield the steps back to what was before the run, however far the promotion came. Refuses before the first of them.

    The replica is off before anything is put back; its stamps go last: as long as they are there the run is known not to be undone.
    """
    what = f"undo the promotion of {pair.name}"
    replica = require_replica(pair, "undo the promotion")
    machine, original = ends.machine(replica), ends.counterpart(replica)
    start = machine.now()
    _refuse_foreign(start, what, run_id)
    other, error = legs.seen(original)
    _refuse_ended(ends, machine, start, other, what)
    if start.stamps.get(stamps.PHASE) in PAST and other is None:
        _refuse_to_nowhere(original, error, what)
    kept, is_ours = keepsake.of(start), start.stamps.get(stamps.RUN) == run_id
    if is_ours:
        yield cancel_step(machine)
        yield machine.nics_step(
            "put the NICs back",
            lambda sheet: keepsake.on_adapters(sheet.switches(), kept.nics if kept is not None else {}),
            next=f"set the NICs of {machine.target} as they were (Settings), {AGAIN}",
        )
    if other is not None and not _was_suspended(other, kept, is_ours):
        yield turning.resume(original, machine)
    if is_ours:
        yield forget_step(machine, kept, name="take the stamps off")


def commit(ends: Ends, pair: Pair, *, run_id: str) -> Iterator[Step]:
    """Yield the steps that make the promotion permanent: where it serves now, or at home, where no stamp stays on either VM."""
    what = f"commit the promotion of {pair.name}"
    replica = require_replica(pair, "commit the promotion")
    machine, original = ends.machine(replica), ends.counterpart(replica)
    start = machine.now()
    if start.stamps.get(stamps.RUN) != run_id:
        if not any(key in vm.stamps for vm in pair.copies() for key in (stamps.RUN, stamps.FENCED)):
            return  # committed at home before: the stamps are off
        raise Refused(
            what=what,
            why=f"it is not promoted by run {run_id} (its stamp: {start.stamps.get(stamps.RUN) or 'none'})",
            next="see the status playbook for the run to commit",
        )
    kept = keepsake.of(start)
    if ends.is_home(machine.host):
        yield from _commit_home(machine, original, start, kept, what)
        return
    autostart = _autostart_of_original(original, pair, kept)
    # First the word, then the deed: no recovery point goes before commit (invariant 3).
    yield machine.stamp_step(
        "stamp as committed",
        # It is production from now on: what starts with its host is to start with it.
        lambda sheet: Change(marks={stamps.PHASE: Phase.COMMITTED}, autostart=autostart),
    )
    yield complete_step(machine)


# --- steps -----------------------------------------------------------------------------------------------------------


def complete_step(machine: Machine) -> Step:
    """Return the step that ends a failover for good: the other recovery points go. Reversed, it has ended already."""
    return machine.step(
        "complete the failover",
        calls=scripts.COMPLETE.calls(machine.host, id=machine.guid),
        is_done=lambda sheet: sheet.replication_state != legs.WAITING_COMPLETION,
        act=lambda: machine.act(scripts.COMPLETE, within_s=legs.ACT_WITHIN_S),
        next=f"run `Complete-VMFailover` for {machine.target} by hand, {AGAIN}",
    )


def forget_step(machine: Machine, kept: Keepsake | None, *, name: str) -> Step:
    """Return the step that leaves nothing of us on a VM: its Notes and its autostart are what they were."""
    autostart = kept.autostart if kept is not None else ""
    return machine.stamp_step(
        name,
        # Taken off before: what a person set since is not ours to put back
        lambda sheet: Change(marks=NONE_OF_OURS, forgets=True, autostart=autostart if sheet.stamps else ""),
        next=f"take the line `ferragosto.dr: ...` out of the Notes of {machine.target}, {AGAIN}",
    )


# --- inside ----------------------------------------------------------------------------------------------------------


def _commit_home(machine: Machine, other: Machine, start: Sheet, kept: Keepsake | None, what: str) -> Iterator[Step]:
    """Yield the steps that leave two plain VMs, one replicated to the other as before. First the word: a killed commit is known."""
    away, error = legs.seen(other)
    if away is None:
        raise Refused(
            what=what,
            why=f"{other.host}, whose copy is fenced, does not answer: {error.why if error is not None else 'unknown'}",
            next=f"bring {other.host} back, {AGAIN}; what serves at home goes on as it is",
        )
    yield machine.stamp_step("stamp as committed", lambda sheet: Change(marks={stamps.PHASE: Phase.COMMITTED}))
    yield forget_step(other, keepsake.of(away), name="take every stamp off")
    yield forget_step(machine, kept, name="take every stamp off")


def _autostart_of_original(original: Machine, pair: Pair, kept: Keepsake | None) -> str:
    """Return how the original started before its fence: it says so itself where it can be read, else what was kept of it."""
    if pair.is_production_reachable:
        try:
            own = keepsake.of(original.now())
        except DrError:
            own = None
        if own is not None and own.autostart:
            return own.autostart
    return "" if kept is None else kept.home.autostart or kept.autostart


def _was_suspended(other: Sheet, kept: Keepsake | None, is_ours: bool) -> bool:
    """Tell whether a person had suspended it. Once the stamps are off nothing tells, and what is suspended then is left so."""
    if not is_ours:
        return other.replication_state == SUSPENDED
    return kept is not None and kept.home.replication == SUSPENDED


def _refuse_foreign(start: Sheet, what: str, run_id: str) -> None:
    owner = start.stamps.get(stamps.RUN, "")
    if owner and owner != run_id:
        raise Refused(
            what=f"{what} by run {run_id}", why=f"it is held by run {owner}", next=f"undo run {owner} instead"
        )


def _refuse_ended(ends: Ends, machine: Machine, start: Sheet, other: Sheet | None, what: str) -> None:
    """Raise where the failover was completed or reversed: Stop-VMFailover takes neither back."""
    if stamps.RUN not in start.stamps:
        return
    if start.stamps.get(stamps.PHASE) == Phase.COMMITTED or start.replication_state == "FailedOver":
        why = "it was committed: its recovery points are gone or going"
        raise Refused(what=what, why=why, next="make the fenced original its replica (reprotect)")
    if ends.is_home(machine.host):
        why = f"it came home to {machine.host} by a failover in the other direction"
    elif start.mode == legs.PRIMARY:
        why = "its replication has been reversed: the original's disks were overwritten, as a person accepted"
    elif other is not None and other.mode == legs.REPLICA:
        why = "the original has been made a replica already, on the way to a reversed replication"
    else:
        return
    raise Refused(
        what=what,
        why=why,
        next="commit the promotion; what was before comes back from a recovery point or a backup only",
    )


def _refuse_to_nowhere(original: Machine, error: DrError | None, what: str) -> None:
    """A copy that serves is not stopped for an original whose host is dead: nothing would serve then."""
    raise Refused(
        what=what,
        why=f"it serves, and {original.host}, to whose copy the undo would return, does not answer"
        + (f": {error.why}" if error is not None else ""),
        next=f"bring {original.host} back first, {AGAIN}; or commit the promotion",
    )
