# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Holding the lease of one VM while a module works on it.

Crash-only: when the controlling process is gone (Ctrl-C, SIGKILL) this process ends itself at once. Every step is made to be
interrupted anywhere, so there is no gentler way out that would be safer, and an orphan must not act beside its successor.
"""

from __future__ import annotations

import os
import threading

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import Interrupted, JournalFault, LeaseHeld
from ansible_collections.ferragosto.dr.plugins.module_utils.core.owner import Owner
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import (
    Clock,
    Journal,
    Lease,
    Progress,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.owner import (
    boot_id,
    host_identity,
    is_running,
)

LEASE_S = 60.0  # semantics.md, invariant 9
RENEW_EVERY_S = 15.0
WATCH_EVERY_S = 0.5
MAX_WAIT_S = LEASE_S + 15.0  # a lease nobody renews is free after this
ORPHANED = 75  # exit status (EX_TEMPFAIL): the run can be resumed


class LeaseKeeper:
    """Take the lease, renew it from a thread, and tell ``guard`` callers when it is lost."""

    def __init__(self, journal: Journal, vm_key: str, owner: Owner, *, clock: Clock, progress: Progress) -> None:
        self._journal = journal
        self._vm_key = vm_key
        self._owner = owner
        self._clock = clock
        self._progress = progress
        self._over = threading.Event()
        self._lost: str | None = None
        self._thread: threading.Thread | None = None

    def take(self) -> None:
        """Acquire the lease. Raise LeaseHeld when a living controller has it and keeps it."""
        deadline = self._clock.now_s() + MAX_WAIT_S
        said_s = 0.0
        while True:
            lease = self._journal.acquire(self._vm_key, self._owner, lease_s=LEASE_S)
            if lease.is_ours:
                if lease.taken_over_from is not None:
                    self._progress(f"lease taken over from {_say(lease.taken_over_from)}, which is gone")
                break
            now_s = self._clock.now_s()
            left_s = max(0.0, lease.expires_at_s - now_s)
            if self._is_living_neighbour(lease) or now_s >= deadline:
                holder = f"{_say(lease.owner)}, its lease runs {left_s:.0f} s more"
                raise LeaseHeld(
                    what=f"work on {self._vm_key}",
                    why=f"another controller works on it: {holder}",
                    next="let it finish, or stop that process; then start the same command again: it continues the run",
                )
            if now_s - said_s >= 5:
                said_s = now_s
                self._progress(f"waiting for the lease of {_say(lease.owner)}: free in {left_s:.0f} s at the latest")
            self._clock.sleep(1.0)
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def guard(self) -> None:
        """Raise when this process may no longer act."""
        if self._lost is not None:
            raise LeaseHeld(
                what=f"go on with {self._vm_key}",
                why=self._lost,
                next="find out who works on this VM before you start the command again",
            )
        if not _is_controller_alive(self._owner):
            raise Interrupted(
                what=f"go on with {self._vm_key}",
                why="the controlling process is gone",
                next="start the same command again: it continues the run",
            )

    def end(self, *, release: bool) -> None:
        """Stop renewing. The lease stays until it expires unless it is released."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        if release:
            self._journal.release(self._vm_key, self._owner)

    def _keep(self) -> None:
        renewed_s = self._clock.now_s()
        while not self._over.wait(WATCH_EVERY_S):
            if not _is_controller_alive(self._owner):
                os._exit(ORPHANED)
            if self._clock.now_s() - renewed_s < RENEW_EVERY_S:
                continue
            try:
                lease = self._journal.acquire(self._vm_key, self._owner, lease_s=LEASE_S)
            except JournalFault as fault:
                self._lost = f"the lease could not be renewed: {fault.why}"
                return
            if not lease.is_ours:
                self._lost = f"the lease went to {_say(lease.owner)}"
                return
            renewed_s = self._clock.now_s()

    def _is_living_neighbour(self, lease: Lease) -> bool:
        return is_here(lease.owner) and is_running(lease.owner.pid, lease.owner.started)


def is_here(owner: Owner) -> bool:
    """Tell whether that process runs where its pid can be looked up: same host, same PID namespace, same boot."""
    return owner.host == host_identity() and owner.boot_id == boot_id()


def _is_controller_alive(owner: Owner) -> bool:
    """A controller on another machine cannot be seen from here: its connection ends this process when it goes."""
    return not is_here(owner) or is_running(owner.pid, owner.started)


def _say(owner: Owner) -> str:
    return f"process {owner.pid} on {owner.host}"
