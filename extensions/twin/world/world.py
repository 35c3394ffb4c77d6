# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The world: the one truth behind every simulated endpoint. All its methods may be called from any thread."""

from __future__ import annotations

import threading
import typing as t
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ansible_collections.ferragosto.dr.extensions.twin.world.change import Change
from ansible_collections.ferragosto.dr.extensions.twin.world.clock import WorldClock
from ansible_collections.ferragosto.dr.extensions.twin.world.model import (
    Accident,
    Copy,
    DataState,
    GuestChange,
    Host,
    HostState,
    Nic,
    Phase,
    Points,
    Power,
    ReplicationJob,
    Role,
    Service,
    Timing,
    Violation,
)
from ansible_collections.ferragosto.dr.extensions.twin.world.picture import picture
from ansible_collections.ferragosto.dr.extensions.twin.world.watch import Watch, is_serving


class UnknownThing(KeyError):
    """A name the world does not hold; the message lists those it does."""


class World:
    def __init__(
        self, clock: WorldClock, timing: Timing | None = None, isolated: Iterable[str] = (), log_size: int = 20_000
    ) -> None:
        self.clock = clock
        self.timing = timing or Timing()
        self.isolated = frozenset(isolated)
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.hosts: dict[str, Host] = {}
        self.copies: dict[str, Copy] = {}
        self.jobs: dict[str, ReplicationJob] = {}
        self.services: dict[str, Service] = {}
        self.archives: dict[str, Points] = {}  # protected VM -> backups kept outside of any copy
        self.accidents: list[Accident] = []
        self.calls: Counter[str] = Counter()
        self.log: list[tuple[float, str]] = []
        self._log_size = log_size
        self._watch = Watch()
        self._pending: list[GuestChange] = []

    # --- building ----------------------------------------------------------------------------------------------------

    def add_host(self, name: str, memory_bytes: int = 0) -> None:
        with self.lock:
            self.hosts[name] = Host(name, memory_bytes)

    def add_copy(self, copy: Copy) -> None:
        with self._change(f"{copy.name}: here, as the {copy.role} of {copy.vm}"):
            self.copies[copy.id] = copy
            self.services.setdefault(copy.vm, Service.OK)

    def remove_copy(self, copy_id: str) -> None:
        with self._change(f"{self.copy(copy_id).name}: gone"):
            del self.copies[copy_id]

    def add_job(self, job: ReplicationJob) -> None:
        with self.lock:
            self.jobs[job.vm] = job

    # --- questions ---------------------------------------------------------------------------------------------------

    def copy(self, copy_id: str) -> Copy:
        with self.lock:
            if copy_id not in self.copies:
                raise UnknownThing(f"no copy {copy_id!r}; there are {', '.join(sorted(self.copies))}")
            return self.copies[copy_id]

    def copies_of(self, vm: str) -> list[Copy]:
        with self.lock:
            found = [c for c in self.copies.values() if c.vm == vm]
            if not found:
                raise UnknownThing(f"no VM {vm!r}; there are {', '.join(sorted({c.vm for c in self.copies.values()}))}")
            return found

    def copy_of(self, vm: str, role: Role | str) -> Copy:
        for copy in self.copies_of(vm):
            if copy.role == role:
                return copy
        raise UnknownThing(f"{vm!r} has no copy in the role {role!r}")

    def serving_copy(self, vm: str) -> Copy | None:
        """The copy whose guest runs on a production network; of two, the one that was there first."""
        with self.lock:
            serving = [c for c in self.copies.values() if c.vm == vm and is_serving(c, self.isolated)]
            return min(serving, key=lambda c: c.phase_since_s, default=None)

    def data_of(self, copy: Copy) -> DataState:
        """What its disks hold now: a running guest keeps writing."""
        if copy.phase is not Phase.RUNNING:
            return copy.data
        now_s = self.clock.now_s()
        writes = int(max(0.0, now_s - copy.phase_since_s) / self.timing.write_interval_s)
        return replace(copy.data, generation=copy.data.generation + writes, as_of_s=now_s)

    @property
    def violations(self) -> Sequence[Violation]:
        with self.lock:
            return tuple(replace(v) for v in self._watch.violations)

    def next_due_s(self) -> float | None:
        """World time of the next change that comes by itself."""
        with self.lock:
            due = [d for c in self.copies.values() if (d := self._due(c)) is not None]
            return min(due, default=None)

    def snapshot(self) -> dict[str, t.Any]:
        """Everything, as JSON."""
        with self.lock:
            return picture(self)

    # --- what a front end sees on its platform -----------------------------------------------------------------------

    def count(self, call: str) -> None:
        with self.lock:
            self.calls[call] += 1

    def observe(
        self,
        copy_id: str,
        *,
        power: Power | None = None,
        host: str | None = None,
        nics: tuple[Nic, ...] | None = None,
        was_restarted: bool = False,
    ) -> None:
        """Take over what the platform shows of one copy. ``was_restarted``: it went off and on since the last look."""
        with self.lock:
            copy = self.copy(copy_id)
            now_power = copy.power if power is None else power
            if host is not None and host != copy.host:
                with self._change(f"{copy.name}: now on {host}"):
                    copy.host = host
            # a step down is taken first and a step up last: the watch must not see an overlap that never was
            goes_down = copy.power is Power.ON and (now_power is not Power.ON or was_restarted)
            if goes_down:
                self._power(copy, Power.OFF if was_restarted else now_power)
            if nics is not None and nics != copy.nics:
                shown = ", ".join(f"{n.network} {'connected' if n.is_connected else 'disconnected'}" for n in nics)
                with self._change(f"{copy.name}: NICs {shown or 'none'}"):
                    copy.nics = nics
            if copy.power is not now_power:
                self._power(copy, now_power)

    def point_made(self, copy_id: str, point: str, *, by_vendor: bool = False) -> None:
        with self._change(f"{self.copy(copy_id).name}: recovery point {point} made"):
            copy = self.copy(copy_id)
            copy.points[point] = self.data_of(copy)
            if by_vendor:
                copy.vendor_points.append(point)

    def points_seen(self, copy_id: str, points: Iterable[str]) -> None:
        """Forget the points that are no longer there; a vendor's point that went is an accident."""
        with self.lock:
            copy, left = self.copy(copy_id), set(points)
            for point in [p for p in copy.points if p not in left]:
                del copy.points[point]
                self._say(f"{copy.name}: recovery point {point} removed")
                if point in copy.vendor_points:
                    copy.vendor_points.remove(point)
                    self._accident(
                        "vendor_point_removed", copy, f"recovery point {point} of the replication product was removed"
                    )

    def reverted(self, copy_id: str, point: str) -> None:
        with self._change(f"{self.copy(copy_id).name}: back to {point}"):
            copy = self.copy(copy_id)
            if point not in copy.points:
                raise UnknownThing(f"{copy.name} has no point {point!r}")
            copy.data = copy.points[point]
            if copy.power is Power.ON:
                self._phase(copy, Phase.BOOTING)

    def shutdown_asked(self, copy_id: str, *, by_power_button: bool = False) -> bool:
        """Ask the guest to shut down; False when there is no guest that could. A power button needs no tools."""
        with self.lock:
            copy = self.copy(copy_id)
            if copy.phase is not Phase.RUNNING or not (copy.has_tools or by_power_button):
                return False
            self._phase(copy, Phase.SHUTTING_DOWN)
            return True

    def overwritten(self, copy_id: str, data: DataState, text: str, points: Points | None = None) -> None:
        """Replace what the copy's disks hold; with ``points``, its recovery points too."""
        with self._change(f"{self.copy(copy_id).name}: {text}"):
            copy = self.copy(copy_id)
            copy.data, copy.points = data, copy.points if points is None else dict(points)

    def handed_over(self, source_id: str, target_id: str) -> None:
        """Let a guest go on, on or off, on another copy's disks, which hold the same by then: a live migration."""
        source, target = self.copy(source_id), self.copy(target_id)
        with self._change(f"{source.name}: its guest goes on at {target.host}"):
            source.data = target.data = self.data_of(source)
            target.power, target.nics, target.guest_id = source.power, source.nics, source.guest_id
            target.phase, target.booted_at_s, target.phase_since_s = (
                source.phase,
                source.booted_at_s,
                self.clock.now_s(),
            )
            source.power, source.phase, source.phase_since_s = Power.OFF, Phase.OFF, self.clock.now_s()

    def regretted(self, kind: str, copy_id: str, text: str) -> None:
        """Note an accident."""
        with self._change(f"{self.copy(copy_id).name}: accident"):
            self._accident(kind, self.copy(copy_id), text)

    # --- what happens to the world -----------------------------------------------------------------------------------

    def tick(self) -> list[GuestChange]:
        """Let everything happen that is due, and hand out the guests' changes since the last tick."""
        with self.lock:
            now_s = self.clock.now_s()
            for copy in list(self.copies.values()):
                due_s = self._due(copy)
                if due_s is None or due_s > now_s:
                    continue
                if copy.phase is Phase.BOOTING:
                    self._phase(copy, Phase.CRASHED if copy.data.is_corrupted else Phase.RUNNING)
                elif copy.phase is Phase.CRASHED:
                    self._phase(copy, Phase.BOOTING)
                elif copy.phase is Phase.SHUTTING_DOWN:
                    # The guest has halted; its front end powers the VM off and tells so by observe().
                    self._phase(copy, Phase.OFF)
            changes, self._pending = self._pending, []
            return changes

    def await_change(self, limit_s: float) -> None:
        """Sleep until a guest's change waits to be handed out or is due, or so many real seconds have passed."""
        with self.lock:
            if self._pending:
                return
            due_s = self.next_due_s()
            wait_s = limit_s if due_s is None else min(limit_s, self.clock.real_s(due_s - self.clock.now_s()))
            if wait_s > 0:
                self.changed.wait(wait_s)

    def crash(self, copy_id: str) -> None:
        """Kill a guest once; its next boot is sound unless its data are rotten."""
        self._strike(copy_id, Phase.CRASHED)

    def hang(self, copy_id: str) -> None:
        self._strike(copy_id, Phase.HUNG)

    def woken(self, copy_id: str) -> None:
        """Let a hung guest go on where it stood."""
        if self.copy(copy_id).phase is Phase.HUNG:
            self._strike(copy_id, Phase.RUNNING)

    def corrupt(self, vm: str, *, since_s: float | None = None) -> None:
        """Let the production copy's data be rotten since a time: it crashes now and at every boot.

        Every recovery point whose data are from that time or younger is rotten too; older ones boot.
        """
        with self.lock:
            rotten_s = self.clock.now_s() if since_s is None else since_s
            production = self.copy_of(vm, Role.PRODUCTION)
            for copy in self.copies_of(vm):
                for point, data in copy.points.items():
                    if data.as_of_s >= rotten_s:
                        copy.points[point] = replace(data, is_corrupted=True)
                if copy is not production and copy.phase is Phase.OFF and copy.data.as_of_s >= rotten_s:
                    copy.data = replace(copy.data, is_corrupted=True)
            kept = self.archives.get(vm, {})
            for point, data in kept.items():
                if data.as_of_s >= rotten_s:
                    kept[point] = replace(data, is_corrupted=True)
            if production.phase is Phase.RUNNING:
                self._phase(production, Phase.CRASHED)
            production.data = replace(production.data, is_corrupted=True)

    def set_service(self, vm: str, mode: Service) -> None:
        with self._change(f"{vm}: its service is {mode} now"):
            self.copies_of(vm)
            self.services[vm] = mode

    def host_lost(self, name: str, *, is_dead: bool = True) -> list[Copy]:
        """Take a host away; returns the copies that were powered on there."""
        with self._change(f"{name}: {'dead' if is_dead else 'isolated'}"):
            host = self._host(name)
            host.state = HostState.DEAD if is_dead else HostState.ISOLATED
            were_on = [c for c in self.copies.values() if c.host == name and c.power is Power.ON]
            if is_dead:
                for copy in were_on:
                    self._power(copy, Power.OFF)
            return were_on

    def host_back(self, name: str) -> None:
        with self._change(f"{name}: back"):
            self._host(name).state = HostState.UP

    def run_job(self, vm: str) -> tuple[ReplicationJob, bool] | None:
        """Run the vendor's job tonight: bring the production copy's data to the replica.

        Returns the job and whether the replica had been promoted, in which case the job threw away what it had written: the
        trap of a job that nobody disabled. None when the job is disabled. The front end makes the point on its platform.
        """
        with self._change(f"{vm}: replication job"):
            job = self.jobs.get(vm)
            if job is None or not job.is_enabled:
                return None
            source, target = self.copy(job.source), self.copy(job.target)
            was_promoted = target.power is Power.ON or self._has_own_writes(target)
            if was_promoted:
                lost = self.data_of(target).generation
                self._accident(
                    "promoted_replica_rolled_back", target, f"the job rolled it back and threw away generation {lost}"
                )
            if target.power is not Power.OFF:
                self._power(target, Power.OFF)
            target.data = self.data_of(source)  # after the power off, which would keep its own writes
            job.runs += 1
            return job, was_promoted

    def set_job(self, vm: str, *, is_enabled: bool) -> ReplicationJob:
        with self._change(f"{vm}: replication job {'enabled' if is_enabled else 'disabled'}"):
            if vm not in self.jobs:
                raise UnknownThing(f"no replication job for {vm!r}; there are {', '.join(sorted(self.jobs))}")
            self.jobs[vm].is_enabled = is_enabled
            return self.jobs[vm]

    # --- inner -------------------------------------------------------------------------------------------------------

    def _host(self, name: str) -> Host:
        if name not in self.hosts:
            raise UnknownThing(f"no host {name!r}; there are {', '.join(sorted(self.hosts))}")
        return self.hosts[name]

    def _has_own_writes(self, copy: Copy) -> bool:
        newest = max((copy.points[p].as_of_s for p in copy.vendor_points if p in copy.points), default=None)
        return newest is not None and copy.data.as_of_s > newest

    def _strike(self, copy_id: str, phase: Phase) -> None:
        with self.lock:
            copy = self.copy(copy_id)
            if copy.power is Power.ON:
                self._phase(copy, phase)

    def _due(self, copy: Copy) -> float | None:
        if copy.phase is Phase.BOOTING:
            return copy.phase_since_s + (self.timing.crash_after_s if copy.data.is_corrupted else self.timing.boot_s)
        if copy.phase is Phase.SHUTTING_DOWN:
            return copy.phase_since_s + self.timing.shutdown_s
        if copy.phase is Phase.CRASHED and copy.reboots_after_crash_s is not None:
            return copy.phase_since_s + copy.reboots_after_crash_s
        return None

    def _power(self, copy: Copy, power: Power) -> None:
        with self._change(f"{copy.name}: powered {power}"):
            copy.power = power
            self._phase(copy, Phase.BOOTING if power is Power.ON else Phase.OFF)

    def _phase(self, copy: Copy, phase: Phase) -> None:
        with self._change(f"{copy.name}: guest {phase}"):
            before, now_s = copy.phase, self.clock.now_s()
            copy.data = self.data_of(copy)
            copy.phase, copy.phase_since_s = phase, now_s
            if phase is Phase.BOOTING:
                copy.booted_at_s = now_s
            self._pending.append(GuestChange(copy.id, phase, before, now_s))

    def _accident(self, kind: str, copy: Copy, text: str) -> None:
        self.accidents.append(Accident(kind, copy.vm, copy.name, self.clock.now_s(), text))
        self._say(f"{copy.name}: {text}")

    def _say(self, text: str) -> None:
        self.log.append((self.clock.now_s(), text))
        if len(self.log) > self._log_size:
            del self.log[: self._log_size // 10]

    def _change(self, text: str) -> Change:
        return Change(self.lock, lambda: self._changed(text))

    def _changed(self, text: str) -> None:
        self._say(text)
        self.look()
        self.changed.notify_all()

    def look(self) -> None:
        self._watch.look(self.copies.values(), self.isolated, self.clock.now_s())
