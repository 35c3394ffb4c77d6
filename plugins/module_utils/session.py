# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One module's session: its site, its journal, its VM. Opens lazily, closes everything, knows nothing of AnsibleModule."""

from __future__ import annotations

import os
import typing as t
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from ansible_collections.ferragosto.dr.plugins.module_utils.core import ids, memory, runs, states
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Pair, SiteReading
from ansible_collections.ferragosto.dr.plugins.module_utils.core.owner import Owner
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import (
    Journal,
    Site,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.work import Work
from ansible_collections.ferragosto.dr.plugins.module_utils.invocation import Invocation, SystemClock
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.opening import open_journal
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.owner import owner_of, start_time
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.url import is_local_only
from ansible_collections.ferragosto.dr.plugins.module_utils.keeper import LeaseKeeper, is_here
from ansible_collections.ferragosto.dr.plugins.module_utils.options import as_site
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.registry import open_site

__all__ = ["Look", "Session", "SystemClock"]

DEFAULT_RPO_S = 24 * 3600.0
MANUAL = "manual"  # the op of a run that one module call opened for itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a module sees of its VM before it acts."""

    reading: SiteReading
    pair: Pair
    trail: states.Trail
    run: runs.Run | None

    def state(self, *, now_s: float, rpo_s: float = DEFAULT_RPO_S) -> states.StateView:
        return states.derive(self.pair, self.trail, now_s=now_s, rpo_s=rpo_s)


class Session(Invocation):
    """Everything one module invocation has open."""

    def __init__(self, params: Mapping[str, t.Any], *, is_check: bool) -> None:
        super().__init__(params, is_check=is_check)
        self.owner = _owner(self.context)
        self._journal: Journal | None = None
        self._sites: dict[str, Site] = {}

    # --- what is open -------------------------------------------------------------------------------------------------

    @property
    def journal(self) -> Journal:
        if self._journal is None:
            url = self.params.get("journal")
            if not is_here(self.owner) and is_local_only(url):
                raise BadInput(
                    what="open the journal",
                    why="this module runs on another machine than its controller, where a SQLite journal would be a second one",
                    next="set dr_journal to a postgresql:// URL that both can reach, or leave dr_runner at localhost",
                )
            self._journal = open_journal(url, clock=self.clock, read_only=self.is_check)
        return self._journal

    def site(self, site: Mapping[str, t.Any] | None = None) -> Site:
        """Return the open site of this module, or of the ``site`` option given."""
        wanted = site or self.params["site"]
        name = str(wanted["name"])
        if name not in self._sites:
            self._sites[name] = open_site(as_site(wanted), clock=self.clock, progress=self.progress)
        return self._sites[name]

    def close(self) -> None:
        for site in self._sites.values():
            site.close()
        if self._journal is not None:
            self._journal.close()

    # --- the VM -------------------------------------------------------------------------------------------------------

    @property
    def vm_key(self) -> str:
        return ids.vm_key(self.params["site"]["name"], self.params["vm"])

    def run(self) -> runs.Run | None:
        """Return the open run of this VM and let the progress lines carry its clock."""
        run = runs.open_run(self.journal.records(vm_key=self.vm_key))
        if run is not None and run.op == "recover":  # only a recovery has a clock
            self.progress.alert_at_s = run.alert_at_s
            self.progress.rto_s = run.rto_s
        return run

    def look(self) -> Look:
        """Read the site and find this VM's two copies in it."""
        records = self.journal.records(vm_key=self.vm_key)
        run = self.run()
        reading, pair = memory.find_pair(
            self.journal,
            self.vm_key,
            self.site().read(deep=(self.params["vm"],)),
            run,
            vm=self.params["vm"],
            replica=self.params.get("replica"),
            isolated=self.params["site"].get("isolated_networks") or (),
        )
        trail = runs.trail(records, self.journal.lease(self.vm_key), self.owner)
        return Look(reading=reading, pair=pair, trail=trail, run=run)

    @contextmanager
    def work(self, op: str = MANUAL) -> Iterator[Work]:
        """Hold the lease and give the bench to work on. A call outside a run gets a small run of its own, closed at its end.

        Unless the bench ``stays_open``: who fences or promotes by hand has begun a recovery, and recover continues it.
        """
        if self.is_check:
            run = self.run()
            yield self._bench("check" if run is None else run.run_id, guard=lambda: None)
            return
        keeper = LeaseKeeper(self.journal, self.vm_key, self.owner, clock=self.clock, progress=self.progress)
        keeper.take()
        own_run = False
        try:
            run = self.run()
            own_run = run is None or run.op == MANUAL
            run_id = ids.new_run_id(self.clock.now_s()) if run is None else run.run_id
            work = self._bench(run_id, guard=keeper.guard)
            if run is None:
                by = self.owner.host.split("/")[0]
                work.note("run_opened", {"op": op, "alert_at_s": self.clock.now_s(), "by": by})
            yield work
            if own_run and not work.stays_open:
                work.note("run_closed", {"outcome": "done", "why": "single command"})
        finally:
            keeper.end(release=own_run)

    def _bench(self, run_id: str, *, guard: t.Callable[[], None]) -> Work:
        return Work(
            site=self.site(),
            journal=self.journal,
            clock=self.clock,
            progress=self.progress,
            guard=guard,
            vm_key=self.vm_key,
            run_id=run_id,
            is_check=self.is_check,
        )


def _owner(context: Mapping[str, t.Any]) -> Owner:
    """Return who controls this module: as the action plugin tells, else the parent process."""
    if not context.get("pid"):
        return owner_of(os.getppid(), worker_pid=os.getpid())
    owner = Owner(
        host=str(context["host"]),
        boot_id=str(context["boot_id"]),
        pid=int(context["pid"]),
        started=str(context["started"]),
    )
    if not is_here(owner):
        return owner
    return replace(owner, worker_pid=os.getpid(), worker_started=start_time(os.getpid()) or "")
