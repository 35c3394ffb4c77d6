# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Replication by itself: cycles, recovery points, the initial replication, resynchronisation, hosts that return."""

from __future__ import annotations

import datetime as dt
import math
import typing as t
import uuid

from ansible_collections.ferragosto.dr.extensions.twin.hyperv import states
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.host import Host, refusal
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.machine import Checkpoint, Machine
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.relation import (
    BEFORE_FAILOVER,
    LOG_SIZE,
    Endpoint,
    LogEntry,
    Relation,
    end_of,
)
from ansible_collections.ferragosto.dr.extensions.twin.world.model import DataState, HostState, Role

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.hyperv.fleet import Fleet

_RECEIVING = ("Replicating", "Resynchronizing")
_TAKING = (*_RECEIVING, "WaitingForInitialReplication")
_AN_HOUR_S = 3600.0


class Replicating:
    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    # --- by the clock ------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        now_s = self._fleet.now_s()
        for relation in list(self._fleet.relations.values()):
            for machine in relation.ends:
                end = machine.endpoint
                if end is None or not self._is_alive(machine):
                    continue
                if end.task_ends_at_s is not None and end.task_ends_at_s <= now_s:
                    self._end_task(relation, machine, end)
                elif self._cycles(relation, end) and end.next_cycle_s <= now_s:
                    self.cycle(relation)

    def next_due_s(self) -> float | None:
        due: list[float] = []
        for relation in self._fleet.relations.values():
            for machine in relation.ends:
                end = machine.endpoint
                if end is None or not self._is_alive(machine):
                    continue
                if end.task_ends_at_s is not None:
                    due.append(end.task_ends_at_s)
                elif self._cycles(relation, end):
                    due.append(end.next_cycle_s)
        return min(due, default=None)

    def _cycles(self, relation: Relation, end: Endpoint) -> bool:
        return relation.runs_by_itself and end.mode == "Primary" and end.state == "Replicating"

    def cycle(self, relation: Relation) -> bool:
        """Let the primary send what was written since the last log; False where nothing was applied."""
        machine = next((m for m in relation.primaries() if m.endpoint and m.endpoint.state == "Replicating"), None)
        if machine is None or machine.endpoint is None or not self._is_alive(machine):
            return False
        end, now_s = machine.endpoint, self._fleet.now_s()
        end.next_cycle_s = now_s + end.frequency_s
        if self.peer_word(machine) != "ready":
            end.misses += 1
            end.errors += 1
            return False
        replica = relation.other(machine)
        there = replica.endpoint
        if there is None or there.mode != "Replica" or there.state not in (*_RECEIVING, "Suspended"):
            self._happens(machine, "log rejected")
            end.errors += 1
            return False
        if there.state == "Suspended":
            end.misses += 1
            return False
        self.send(relation, machine)
        return True

    def send(self, relation: Relation, machine: Machine, kind: str = "Regular") -> None:
        """Bring the primary's data to the replica, which is in its place and takes them."""
        replica, now_s = relation.other(machine), self._fleet.now_s()
        here, there = end_of(machine), end_of(replica)
        data = self._fleet.world.data_of(self._fleet.copy(machine))
        relation.log.append(LogEntry(now_s, machine.host, data))
        del relation.log[:-LOG_SIZE]
        self._regret(relation, replica)
        relation.base = data
        self._fleet.world.overwritten(replica.copy_id, data, f"log from {machine.host} applied")
        for end in (here, there):
            end.last_replication_s, end.last_type = now_s, kind
            end.successes += 1
        there.last_applied_s = now_s
        if kind == "Regular":
            self._keep_points(relation, replica, there, now_s)

    def _regret(self, relation: Relation, target: Machine) -> None:
        """Note what a person would regret before a log goes over it: writes that only this side has."""
        copy = self._fleet.copy(target)
        now = self._fleet.world.data_of(copy)
        if relation.base is None or now.generation <= relation.base.generation:
            return
        text = f"replication from {relation.other(target).host} overwrote generation {now.generation}"
        kind = "original_overwritten" if copy.role is Role.PRODUCTION else "promoted_replica_rolled_back"
        self._fleet.world.regretted(kind, copy.id, text)

    def _keep_points(self, relation: Relation, replica: Machine, end: Endpoint, now_s: float) -> None:
        if end.recovery_history <= 0:
            return
        newest_s = max((p.made_at_s for p in replica.recovery_points()), default=-math.inf)
        if now_s - newest_s >= relation.point_every_s:
            app = [p.made_at_s for p in replica.recovery_points() if p.kind == "AppConsistentReplica"]
            is_app = end.vss_hours > 0 and now_s - max(app, default=-math.inf) >= end.vss_hours * _AN_HOUR_S
            self.make_point(replica, "AppConsistentReplica" if is_app else "Replica")
        while len(replica.recovery_points()) > end.recovery_history:
            self.drop_points(replica, [replica.recovery_points()[0]])

    # --- points ------------------------------------------------------------------------------------------------------

    def make_point(self, replica: Machine, kind: str) -> Checkpoint:
        now_s = self._fleet.now_s()
        point = Checkpoint(uuid.uuid4(), point_name(replica, now_s), kind, now_s)
        replica.checkpoints.append(point)
        self._fleet.world.point_made(replica.copy_id, point.key)
        return point

    def drop_points(self, machine: Machine, points: t.Sequence[Checkpoint]) -> None:
        keep = [c for c in machine.checkpoints if c not in points]
        machine.checkpoints = keep
        aside = [BEFORE_FAILOVER] if BEFORE_FAILOVER in self._fleet.copy(machine).points else []
        self._fleet.world.points_seen(machine.copy_id, [*(c.key for c in keep), *aside])

    # --- tasks -------------------------------------------------------------------------------------------------------

    def begin(self, machine: Machine, seconds: float) -> None:
        """Let the initial replication or a resynchronisation begin; it ends by the clock."""
        end_of(machine).task_ends_at_s = self._fleet.now_s() + seconds

    def _end_task(self, relation: Relation, machine: Machine, end: Endpoint) -> None:
        end.task_ends_at_s = None
        if end.state not in ("InitialReplicationInProgress", "Resynchronizing"):
            return
        there = relation.other(machine).endpoint
        # A replica that was failed over meanwhile must not be overwritten under its guest.
        is_taken = there is not None and there.mode == "Replica" and there.state in _TAKING
        if self.peer_word(machine) != "ready" or not is_taken or there is None:
            self._happens(machine, "task lost its replica")
            end.errors += 1
            return
        self._happens(machine, "task ended")
        end.is_initialised = there.is_initialised = True
        self.send(relation, machine)
        end.next_cycle_s = self._fleet.now_s() + end.frequency_s

    # --- hosts -------------------------------------------------------------------------------------------------------

    def host_booted(self, host: Host) -> None:
        """Let the relationships of a host that lost power show what they show then."""
        for machine in self._fleet.machines_on(host.name):
            if machine.endpoint is not None and machine.endpoint.mode in ("Primary", "Replica"):
                machine.endpoint.task_ends_at_s = None
                self._happens(machine, "host returned")

    def _happens(self, machine: Machine, what: str) -> None:
        """Execute a row of the state table that no cmdlet stands behind."""
        end = end_of(machine)
        row = states.find("(happening)", what, {"mode": end.mode, "state": end.state, "power": machine.state})
        peer = self._fleet.peer(machine)
        states.apply(self._fleet, row, machine, peer)

    # --- the other host ----------------------------------------------------------------------------------------------

    def peer_word(
        self, machine: Machine, *, server: str = "", authentication: str = "", thumbprint: str | None = None
    ) -> str:
        """Say in one word whether the other host would take this VM's replication; see ``host.refusal``."""
        end = end_of(machine)
        source = self._fleet.hosts[machine.host]
        name = server or (end.replica_server if end.mode == "Primary" else end.primary_server)
        target = self._fleet.find_host(name)
        return refusal(
            source,
            target,
            authentication=authentication or end.authentication,
            thumbprint=self._fleet.own_thumbprint(machine, "Certificate") if thumbprint is None else thumbprint,
            is_up=target is not None and self._fleet.is_up(source.name) and self._fleet.is_up(target.name),
        )

    def _is_alive(self, machine: Machine) -> bool:
        """Whether VMMS runs where this VM is; an isolated host's does."""
        return self._fleet.world.hosts[machine.host].state is not HostState.DEAD

    def received(self, machine: Machine, point: Checkpoint | None) -> DataState:
        """Give what a failover to a point, or to the newest log, brings."""
        copy = self._fleet.copy(machine)
        return copy.data if point is None else copy.points[point.key]


def point_name(machine: Machine, at_s: float) -> str:
    """Name a recovery point as Hyper-V does, after its VM and its moment."""
    moment = dt.datetime.fromtimestamp(at_s, dt.UTC)
    return f"{machine.name} - ({moment:%m/%d/%Y} - {moment:%H:%M:%S})"
