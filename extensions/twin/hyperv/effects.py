# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the rows of states.json do beside changing states: logs, data, power, test VMs."""

from __future__ import annotations

import typing as t

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.machine import Machine
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import SimulatorError
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.relation import BEFORE_FAILOVER, Endpoint, end_of
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.situation import Call

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.hyperv.fleet import Fleet

_TYPES = {"Replica": "Regular", "AppConsistentReplica": "ApplicationConsistent", "SyncedReplica": "Planned"}
_SETTINGS = {
    "ReplicationFrequencySec": "frequency_s",
    "RecoveryHistory": "recovery_history",
    "VSSSnapshotFrequencyHour": "vss_hours",
    "CompressionEnabled": "is_compressed",
    "AutoResynchronizeEnabled": "auto_resynchronize",
    "CertificateThumbprint": "thumbprint",
    "ReplicaServerName": "replica_server",
    "ReplicaServerPort": "port",
}


class Effects:
    """One method per word of the column ``effect``; a method may say how long the cmdlet takes for it."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def run(self, name: str, call: Call) -> float:
        """Carry an effect out under the world's lock; returns the cmdlet's own duration in seconds of the world."""
        return float(getattr(self, f"_{name}")(call) or 0.0) if name else 0.0

    # --- failover ----------------------------------------------------------------------------------------------------

    def _send_last_log(self, call: Call) -> float:
        relation, replica = self._fleet.relations[call.machine.id], self._peer(call)
        self._fleet.replication.send(relation, call.machine, "Planned")
        if end_of(replica).recovery_history > 0:
            self._fleet.replication.make_point(replica, "SyncedReplica")
        return self._fleet.timing.prepare_s

    def _fail_over(self, call: Call) -> float:
        machine, end = call.machine, end_of(call.machine)
        data = self._fleet.replication.received(machine, call.point)
        copy = self._fleet.copy(machine)
        copy.points[BEFORE_FAILOVER] = copy.data
        text = f"failed over to {call.point.name if call.point else 'the newest log'}"
        self._fleet.world.overwritten(machine.copy_id, data, text)
        self._fleet.relations[machine.id].base = data
        end.failed_over_type = _TYPES[call.point.kind] if call.point else end.last_type
        end.is_planned = call.point is None and end.last_type == "Planned"
        end.task_ends_at_s = None
        return self._fleet.timing.failover_s

    def _undo_failover(self, call: Call) -> float:
        machine, end = call.machine, end_of(call.machine)
        self._fleet.powers.turn_off(machine)
        kept = self._fleet.copy(machine).points.pop(BEFORE_FAILOVER)
        self._fleet.world.overwritten(machine.copy_id, kept, "failover cancelled: what was written since is discarded")
        self._fleet.relations[machine.id].base = kept
        end.failed_over_type, end.is_planned = "None", False
        return self._fleet.timing.failover_s

    def _complete(self, call: Call) -> float:
        self._fleet.copy(call.machine).points.pop(BEFORE_FAILOVER, None)
        self._fleet.replication.drop_points(call.machine, call.machine.recovery_points())
        return 0.0

    def _make_test(self, call: Call) -> float:
        end, data = end_of(call.machine), self._fleet.replication.received(call.machine, call.point)
        test = self._fleet.add_test_vm(call.machine, data)
        test.endpoint = Endpoint(
            mode="TestReplica",
            state="Disabled",
            primary_server=end.primary_server,
            replica_server=end.replica_server,
            authentication=end.authentication,
            frequency_s=end.frequency_s,
        )
        end.test, end.last_test_s = test, self._fleet.now_s()
        return self._fleet.timing.failover_s

    def _remove_test(self, call: Call) -> float:
        end = end_of(call.machine)
        if end.test is not None:
            self._fleet.powers.turn_off(end.test)
            self._fleet.forget(end.test)
            end.test = None
        return self._fleet.timing.failover_s

    # --- the way back ------------------------------------------------------------------------------------------------

    def _reverse_in_step(self, call: Call) -> float:
        """Both sides hold the same data: the old primary applied nothing since its last log."""
        return self._turn_round(call, is_in_step=True)

    def _reverse(self, call: Call) -> float:
        return self._turn_round(call, is_in_step=False)

    def _turn_round(self, call: Call, *, is_in_step: bool) -> float:
        fleet, machine, peer = self._fleet, call.machine, self._peer(call)
        now_s = fleet.now_s()
        fleet.copy(machine).points.pop(BEFORE_FAILOVER, None)
        fleet.replication.drop_points(machine, machine.recovery_points())
        for end, owner in ((end_of(machine), machine), (end_of(peer), peer)):
            end.primary_server, end.replica_server = machine.host, peer.host
            end.authentication = call.authentication
            end.thumbprint = fleet.own_thumbprint(owner, call.authentication)
            end.port = fleet.hosts[peer.host].server.port(call.authentication)
            end.is_initialised, end.is_planned, end.failed_over_type = is_in_step, False, "None"
            end.last_replication_s = now_s if is_in_step else None
            end.last_type = "Regular" if is_in_step else "None"
            end.monitoring_since_s, end.successes, end.misses, end.errors = now_s, 0, 0, 0
            end.task_ends_at_s = None
        here = end_of(machine)
        here.last_applied_s, end_of(peer).last_applied_s = None, here.last_replication_s
        here.next_cycle_s = now_s + here.frequency_s
        if call.thumbprint:
            here.thumbprint = call.thumbprint
        self._change_settings(call, without=("ReplicaServerName",))
        return fleet.timing.reverse_s

    def _become_replica(self, call: Call) -> float:
        machine, end = call.machine, end_of(call.machine)
        allowed = str(call.settings.get("AllowedPrimaryServer") or "")
        end.allowed_primary_server = allowed
        end.primary_server, end.replica_server = allowed or end.replica_server, machine.host
        end.is_initialised, end.last_replication_s, end.last_applied_s = False, None, None
        end.task_ends_at_s, end.last_type = None, "None"
        end.monitoring_since_s, end.successes, end.misses, end.errors = self._fleet.now_s(), 0, 0, 0
        return self._fleet.timing.reverse_s

    def _change_settings(self, call: Call, without: tuple[str, ...] = ()) -> float:
        end = end_of(call.machine)
        for name, value in call.settings.items():
            if name in without or name in ("AuthenticationType", "AllowedPrimaryServer"):
                continue
            if name not in _SETTINGS:
                raise SimulatorError(f"the twin does not play Set-VMReplication -{name}")
            setattr(end, _SETTINGS[name], value)
        return 0.0

    # --- replication -------------------------------------------------------------------------------------------------

    def _begin_initial(self, call: Call) -> float:
        self._fleet.replication.begin(call.machine, self._fleet.timing.initial_s)
        return 0.0

    def _begin_resynchronisation(self, call: Call) -> float:
        self._fleet.replication.begin(call.machine, self._fleet.timing.resynchronize_s)
        return 0.0

    def _hold_task(self, call: Call) -> float:
        end_of(call.machine).task_ends_at_s = None
        return 0.0

    def _cycle_soon(self, call: Call) -> float:
        end_of(call.machine).next_cycle_s = self._fleet.now_s()
        return 0.0

    # --- power -------------------------------------------------------------------------------------------------------

    def _already(self, call: Call) -> float:
        """Windows writes a warning, "already in the specified state", and goes on."""
        return 0.0

    def _start(self, call: Call) -> float:
        self._fleet.powers.start(call.machine)
        return self._fleet.timing.start_s

    def _turn_off(self, call: Call) -> float:
        self._fleet.powers.turn_off(call.machine)
        return 0.0

    def _shut_down(self, call: Call) -> float:
        self._fleet.powers.ask_shutdown(call.machine)
        return 0.0

    def _save(self, call: Call) -> float:
        self._fleet.powers.save(call.machine)
        return 0.0

    def _reset(self, call: Call) -> float:
        self._fleet.powers.reset(call.machine)
        return 0.0

    def _pause(self, call: Call) -> float:
        self._fleet.powers.pause(call.machine)
        return 0.0

    def _resume(self, call: Call) -> float:
        self._fleet.powers.resume(call.machine)
        return 0.0

    def _drop_saved_state(self, call: Call) -> float:
        self._fleet.powers.drop_saved_state(call.machine)
        return 0.0

    def _peer(self, call: Call) -> Machine:
        peer = self._fleet.peer(call.machine)
        if peer is None:
            raise ValueError(f"{call.machine.name} has no other end")
        return peer
