# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One VM on one host under our hands: read afresh, change one thing, read afresh.

Every act of this provider is made here into a ``Step``. A script that changes something ends by reading the VM again, so that the
look after an act costs no second process on the host; where its answer was lost, the VM is read anew.
"""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import Refused
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Sight, Step
from ansible_collections.ferragosto.dr.plugins.module_utils.core.waiting import wait_until
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import notes, survey, wire
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.client import Client, Row
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.faults import Kind, VendorFault
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.keepsake import Keepsake
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts import machine as scripts
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts.script import Script
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.survey import NO_AUTOSTART, Sheet
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import AGAIN

CHANGED_MEANWHILE_TRIES = 3

Look: t.TypeAlias = Callable[[Sheet], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One write to a VM: stamps ("" takes one off), what is kept (None leaves it, ``forgets`` takes it off), autostart ("" leaves it)."""

    marks: Mapping[str, str] = field(default_factory=dict)
    kept: Keepsake | None = None
    forgets: bool = False
    autostart: str = ""

    def notes(self, sheet: Sheet) -> str:
        kept: Mapping[str, t.Any] | None = self.kept.line() if self.kept is not None else None
        return notes.written(sheet.notes, self.marks, kept={} if self.forgets else kept)

    def is_made(self, sheet: Sheet) -> bool:
        return self.notes(sheet) == sheet.notes and self.autostart in ("", sheet.autostart)


def never(sheet: Sheet) -> bool:
    return False


class Machine:
    """``host`` is the host's name as the reading shows it; ``vm_id`` is the VM's id in the journal."""

    def __init__(self, client: Client, guid: str, *, name: str, host: str, vm_id: str = "") -> None:
        self.client, self.guid, self.name, self.host = client, guid, name, host
        self.vm_id = vm_id or guid
        self._last: Sheet | None = None  # what was read last
        self._answered: Sheet | None = None  # what the act just made showed at its end

    @classmethod
    def of(cls, client: Client, vm: Vm) -> Machine:
        """Take the VM that a read showed; only its identity is used, all facts are read again."""
        return cls(client, vm.handle, name=vm.name, host=vm.host, vm_id=vm.id)

    @property
    def target(self) -> str:
        """Name it in the journal: replication gives both VMs one name, so the host is part of it."""
        return f"{self.name} on {self.host}"

    # --- reads --------------------------------------------------------------------------------------------------------

    def now(self) -> Sheet:
        self._last = survey.look(self.client, self.guid)
        return self._last

    def begin(self) -> Sheet:
        """Read it right before its first step, whose look this is then."""
        self._answered = self.now()
        return self._answered

    def last(self) -> Sheet:
        """Return what the look just before an act has shown."""
        return self._last if self._last is not None else self.now()

    def vm(self, sheet: Sheet) -> Vm:
        return Vm(id=self.vm_id, handle=self.guid, name=self.name, host=self.host, power=sheet.power)

    def await_sheet(self, is_there: Look, *, within_s: float, every_s: float = 2.0) -> Sheet | None:
        """Wait until the VM is as wanted; each look is a process on the host."""

        def look() -> Sheet | None:
            sheet = self.now()
            return sheet if is_there(sheet) else None

        return wait_until(look, within_s=within_s, clock=self.client.clock, every_s=every_s)

    # --- acts ---------------------------------------------------------------------------------------------------------

    def act(self, script: Script, /, *, within_s: float = 0.0, **parameters: t.Any) -> Sheet | None:
        """Change something once; return what the script read of the VM at its end, None where it reads none."""
        self._answered = None
        try:
            row = self.client.act(script, within_s=within_s, id=self.guid, **parameters)
        except VendorFault as fault:
            raise _in_words(fault, self.target) from fault
        return self.take(row)

    def take(self, row: Row) -> Sheet | None:
        """Take the VM out of a script's answer, for the look that follows."""
        if "nics" not in row:
            return None
        at_s = self.client.clock.now_s() + self.client.clock_offset_s
        self._last = self._answered = survey.to_sheet(row, read_at_s=at_s)
        return self._answered

    def put(self, change: Callable[[Sheet], Change]) -> None:
        """Write what ``change`` makes of the Notes and the autostart as they are now. Nothing to change: no call.

        The Notes that were read go with it: what somebody else wrote meanwhile is read, not overwritten.
        """
        for left in reversed(range(CHANGED_MEANWHILE_TRIES)):
            sheet = self.last()
            wanted = change(sheet)
            if wanted.is_made(sheet):
                return
            try:
                self.act(scripts.WRITE, old=sheet.notes, new=wanted.notes(sheet), autostart=wanted.autostart)
                return
            except VendorFault as fault:
                self._last = None
                if fault.kind is not Kind.CHANGED_MEANWHILE or not left:
                    raise

    def step(
        self,
        name: str,
        *,
        calls: Sequence[str],
        is_done: Look,
        act: Callable[[], object],
        next: str,
        more: Callable[[Sheet], Mapping[str, t.Any]] = lambda sheet: {},
    ) -> Step:
        """Return the step. ``more`` adds facts to what the look has seen."""

        def look() -> Sight:
            sheet, self._answered = self._answered or self.now(), None
            self._refuse_clustered(sheet, name)
            return Sight(is_done=is_done(sheet), seen={**facts(self, sheet), **more(sheet)})

        def act_now() -> None:
            self._answered = None
            act()

        return Step(name=name, target=self.target, calls=tuple(calls), look=look, act=act_now, next=next)

    def stamp_step(self, name: str, change: Callable[[Sheet], Change], *, next: str = "", unless: Look = never) -> Step:
        """Return the step that makes one ``Change``."""
        return self.step(
            name,
            calls=[f"{self.host}: Set-VM -VM '{self.guid}' -Notes (stamps) -AutomaticStartAction (where it changes)"],
            is_done=lambda sheet: unless(sheet) or change(sheet).is_made(sheet),
            act=lambda: self.put(change),
            next=next or f"read the answer of Hyper-V above, {AGAIN}",
        )

    def nics_step(
        self, name: str, wanted: Callable[[Sheet], Mapping[str, str]], *, next: str, unless: Look = never
    ) -> Step:
        """Return the step that connects adapters (by id) to switches, "" to none. One that is gone is left out."""

        def differing(sheet: Sheet) -> dict[str, str]:
            shown = sheet.switches()
            return {key: to for key, to in wanted(sheet).items() if key in shown and not wire.is_same(shown[key], to)}

        def act() -> None:
            nics = [{"id": key, "switch": to} for key, to in differing(self.last()).items()]
            if nics:
                self.act(scripts.PLUG, nics=nics)

        return self.step(
            name,
            calls=scripts.PLUG.calls(self.host, id=self.guid),
            is_done=lambda sheet: unless(sheet) or not differing(sheet),
            act=act,
            next=next,
        )

    def _refuse_clustered(self, sheet: Sheet, what: str) -> None:
        """Its cluster would start it again elsewhere, behind every fence that we can put up on this host."""
        if sheet.is_clustered:
            raise Refused(
                what=f"{what}: {self.target}",
                why="it is a role of a failover cluster, which starts and moves it by itself",
                next="protect it by its cluster, or remove the role (the VM stays) and replicate it as a plain VM",
            )


def _in_words(fault: VendorFault, target: str) -> VendorFault:
    """Say in words what a script of ours has thrown; what the host itself said stays as it is."""
    words = scripts.THROWN.get(fault.id)
    if words is None:
        return fault
    return VendorFault(
        kind=fault.kind,
        id=fault.id,
        category=fault.category,
        what=fault.what,
        why=f"{target}: {words}",
        next=fault.next,
        has_cure=fault.has_cure,
    )


def unplugged(sheet: Sheet) -> dict[str, str]:
    return dict.fromkeys(sheet.switches(), "")


def facts(machine: Machine, sheet: Sheet) -> dict[str, t.Any]:
    """Return what the journal keeps of a VM; the first intent of a run is what undo restores (``ports.Former``)."""
    return {
        "id": machine.vm_id,
        "power": sheet.power.value,
        "state": sheet.state,
        "nics": {key: {"is_connected": bool(to), "starts_connected": bool(to)} for key, to in sheet.switches().items()},
        "has_autostart": sheet.autostart != NO_AUTOSTART,
        "has_ha": sheet.is_clustered,
        "host": machine.host,
        "stamps": sheet.stamps,
        "mode": sheet.mode,
        "replication": sheet.replication_state,
        "question": None,
    }
