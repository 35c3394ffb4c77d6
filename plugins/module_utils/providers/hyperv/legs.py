# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A replicated VM as its two hosts show it: one leg on each, and which of them is the promoted one.

No host tells the whole: the replica's goes on saying Replicating when the primary's is prepared for failover, and when that host is
dead. So the position in a sequence is read off both of them, each time anew; nothing is remembered.
"""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import (
    DrError,
    NotReplicated,
    ProviderFault,
    Refused,
    SiteUnreachable,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Pair, Power, Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import EndpointSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Sight, Step
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import wire
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.acting import Machine, facts
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.ends import Ends
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.replicas import is_line
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts.script import Script
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.survey import Sheet
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import AGAIN

PRIMARY, REPLICA = "Primary", "Replica"
REPLICATING, PREPARED, READY = "Replicating", "PreparedForFailover", "ReadyForInitialReplication"
WAITING_COMPLETION = "FailedOverWaitingCompletion"
WAITING_FIRST = "WaitingForInitialReplication"
RESYNCHRONIZE = frozenset({"WaitingForStartResynchronize", "ResynchronizeSuspended", "Error"})
HALTED = RESYNCHRONIZE | {"Suspended", "UpdateError"}  # it goes on only when it is told to
ACT_WITHIN_S = 900.0  # the last log of a busy VM is sent, or the changes of a failover are merged, within this


@dataclass(frozen=True, slots=True, kw_only=True)
class Legs:
    """The VM on the production host and the VM of the same id on the replica host."""

    home: Machine
    away: Machine
    ends: Ends

    @classmethod
    def of(cls, ends: Ends, vm: Vm) -> Legs:
        guid = vm.handle or vm.id.removeprefix(wire.REPLICA_ID)
        return cls(
            home=Machine(ends.production, guid, name=vm.name, host=ends.home, vm_id=guid),
            away=Machine(ends.replica, guid, name=vm.name, host=ends.away, vm_id=f"{wire.REPLICA_ID}{guid}"),
            ends=ends,
        )

    @classmethod
    def of_pair(cls, ends: Ends, pair: Pair) -> Legs:
        vm = next((vm for vm in (pair.replica, pair.production) if vm is not None and vm.handle), None)
        if vm is None:
            raise NotReplicated(
                what=f"find the replication of {pair.name}",
                why=pair.replica_note or "neither of its copies is seen",
                next="check dr_vm, dr_replica and dr_site",
            )
        return cls.of(ends, vm)

    @property
    def name(self) -> str:
        return self.home.name

    def other(self, machine: Machine) -> Machine:
        return self.away if machine is self.home else self.home

    def spec(self, machine: Machine) -> EndpointSpec:
        return self.ends.spec.production if machine is self.home else self.ends.spec.replica

    def line(self, home: Sheet | None, away: Sheet | None) -> Machine | None:
        """Return the promoted leg, None when there is none."""
        for machine, sheet, its in ((self.away, away, home), (self.home, home, away)):
            if sheet is not None and stamps.MODE in sheet.stamps and is_line(sheet, its):
                return machine
        return None


def seen(machine: Machine) -> tuple[Sheet | None, DrError | None]:
    """Read a leg whose host may not answer, or may have no such VM; then the error says so."""
    try:
        return machine.now(), None
    except (SiteUnreachable, ProviderFault) as error:
        return None, error


def required(machine: Machine, what: str) -> Sheet:
    """Read a leg before the first step; refuse where that cannot be."""
    sheet, error = seen(machine)
    if sheet is not None:
        return sheet
    why = error.why if error is not None else "it cannot be read"
    if isinstance(error, SiteUnreachable):
        why = f"{machine.host} does not answer: {why}"
        raise Refused(what=what, why=why, next=f"bring {machine.host} and the way to it back, {AGAIN}")
    raise Refused(what=what, why=f"{machine.target}: {why}", next=error.next if error is not None else AGAIN)


def refuse_running(machine: Machine, sheet: Sheet, what: str) -> None:
    """Raise where a VM runs, or may go on from memory, that nobody has failed over: with it there would be two."""
    if sheet.power is Power.OFF or sheet.state == "Saved":
        return
    raise Refused(
        what=what,
        why=f"{machine.target} is {sheet.state}: there would be two copies, and its disks are in use",
        next=f"see which copy is to serve, fence this one (module vm_fence), {AGAIN}",
    )


def must_be_off(machine: Machine, what: str, *, sheet: Sheet | None = None) -> Sheet:
    """Raise where a leg is not seen off right before an act that would make two of it; ``sheet`` is what was just read of it."""
    shown = sheet if sheet is not None else machine.now()
    if shown.power is not Power.OFF:
        raise ProviderFault(
            what=what,
            why=f"{machine.target} is {shown.state}: it must be seen off first",
            next=f"see which copy is to serve and turn the other one off, {AGAIN}",
        )
    return shown


def step(
    machine: Machine,
    name: str,
    script: Script,
    *,
    is_done: Callable[[Sheet], bool],
    next: str,
    guard: Callable[[], object] = lambda: None,
    within_s: float = ACT_WITHIN_S,
    **parameters: t.Any,
) -> Step:
    """Return the step of one script on one leg; ``guard`` raises right before it."""

    def act() -> None:
        guard()
        machine.act(script, within_s=within_s, **parameters)

    return machine.step(
        name,
        calls=script.calls(machine.host, id=machine.guid, **parameters),
        is_done=is_done,
        act=act,
        next=next,
    )


def step_of_both(
    name: str,
    legs: Sequence[Machine],
    *,
    target: str,
    calls: Sequence[str],
    is_done: Callable[[Sequence[Sheet]], bool],
    act: Callable[[], Sequence[Sheet] | None],
    next: str,
) -> Step:
    """Return a step whose desired state is one of several legs together; the first of them gives the journal its facts.

    ``act`` returns what it has read of them last, so that the look after it costs no second process on each host.
    """
    answered: list[Sequence[Sheet]] = []

    def look() -> Sight:
        sheets = answered.pop() if answered else [machine.now() for machine in legs]
        states = {
            machine.host: f"{sheet.mode}, {sheet.replication_state}"
            for machine, sheet in zip(legs, sheets, strict=True)
        }
        last = [sheet.relation.last_at_s for sheet in sheets if sheet.relation is not None]
        more = {"states": states, "last_sync": max((at_s for at_s in last if at_s is not None), default=None)}
        return Sight(is_done=is_done(sheets), seen={**facts(legs[0], sheets[0]), **more})

    def act_now() -> None:
        answered.clear()
        read = act()
        if read is not None:
            answered.append(read)

    return Step(name=name, target=target, calls=tuple(calls), look=look, act=act_now, next=next)
