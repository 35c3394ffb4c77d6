# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything that may befall a Hyper-V lab: each verb is a method here, and a POST on the lab's control door."""

from __future__ import annotations

import typing as t

from ansible_collections.ferragosto.dr.extensions.twin.control import PERSON, BaseControl
from ansible_collections.ferragosto.dr.extensions.twin.hyperv import processes
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.host import AuthorizationEntry, Host, Rights
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.machine import Machine
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.messages import CULTURES
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.relation import Endpoint
from ansible_collections.ferragosto.dr.extensions.twin.world.model import Role
from ansible_collections.ferragosto.dr.extensions.twin.world.world import UnknownThing

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.hyperv.lab import HypervLab

_TROUBLES = ("WaitingForStartResynchronize", "Error")


class Control(BaseControl):
    VERBS = BaseControl.VERBS | frozenset(
        "add_disk authorization certificate clear_rules clock_skew connect_nics crash_code culture dead_agent "
        "disconnect_nics endpoint_down endpoint_up events firewall host_back host_lost job kill_sessions namesake plan "
        "power_off power_on quota refuse_power_off relations rename replica_server replicate resume_replication "
        "resync_needed rights rule rules run_job save simulator_errors snapshot suspend_replication "
        "without_certificate".split()
    )
    _lab: HypervLab

    # --- other people's hands ----------------------------------------------------------------------------------------

    def power_off(self, vm: str, role: str = "production", user: str = PERSON) -> None:
        """Turn a copy off in another user's session on its host; the worker's log names no user, on Windows neither."""
        self._act(vm, role, user, "Stop-VM -VM $vm -TurnOff -Confirm:$false")

    def power_on(self, vm: str, role: str = "production", user: str = PERSON) -> None:
        self._act(vm, role, user, "Start-VM -VM $vm")

    def save(self, vm: str, role: str = "production", user: str = PERSON) -> None:
        """Save a copy's memory and stop it, as a host does that shuts down."""
        self._act(vm, role, user, "Stop-VM -VM $vm -Save -Confirm:$false")

    def disconnect_nics(self, vm: str, role: str = "production", user: str = PERSON) -> None:
        self._act(vm, role, user, "Get-VMNetworkAdapter -VM $vm | Disconnect-VMNetworkAdapter")

    def connect_nics(self, vm: str, role: str = "production", user: str = PERSON, network: str = "") -> None:
        """Connect all adapters to a switch; "": the one that the client's site names for that host."""
        machine = self._machine(vm, role)
        ends = (self._lab.wish.production, self._lab.wish.replica)
        switch = network or next(end.network for end in ends if end.node == machine.host)
        self._act(
            vm, role, user, f"Get-VMNetworkAdapter -VM $vm | Connect-VMNetworkAdapter -SwitchName {_quoted(switch)}"
        )

    def snapshot(self, vm: str, name: str, role: str = "production") -> None:
        """Make a checkpoint of the ordinary kind, which is no recovery point."""
        fleet, machine = self._lab.fleet, self._machine(vm, role)
        with fleet.lock:
            fleet.add_point(
                machine, age_s=0.0, data=fleet.world.data_of(fleet.copy(machine)), kind="Standard", name=name
            )

    def rename(self, vm: str, name: str, role: str = "production") -> None:
        """Give one copy another name; its id and what it is a copy of stay."""
        machine = self._machine(vm, role)
        with self._lab.fleet.lock:
            self._lab.fleet.copy(machine).name = machine.name = name

    def namesake(self, name: str, node: str) -> str:
        """Put another VM of a known name on a host; returns its id."""
        fleet = self._lab.fleet
        return fleet.add_vm(self._host(node).name, name, vm=f"{name} (another one)", role=Role.PRODUCTION).key

    def add_disk(self, vm: str, size_gb: int = 10) -> None:
        """Add a disk to the production copy; a disk that is added later is not in the replicated set."""
        fleet, machine = self._lab.fleet, self._machine(vm, "production")
        with fleet.lock:
            fleet.add_disk(machine, size_gb * 2**30, is_replicated=False)

    # --- hosts -------------------------------------------------------------------------------------------------------

    def host_lost(self, node: str, is_dead: bool = True) -> None:
        """A host goes: dead (its VMs with it), or only cut off from clients and the other host (its VMs live on)."""
        self._lab.fleet.host_lost(self._host(node).name, is_dead=is_dead)
        self._lab.doors.refresh()
        self._settle()

    def host_back(self, node: str) -> list[str]:
        """The host returns. What was dead is off now; its VMs start as AutomaticStartAction says. Returns their names."""
        fleet, host = self._lab.fleet, self._host(node)
        before = {m.key for m in fleet.machines_on(host.name) if m.is_on}
        fleet.host_back(host.name)
        self._lab.doors.refresh()
        self._settle()
        return [m.name for m in fleet.machines_on(host.name) if m.is_on and m.key not in before]

    def clock_skew(self, node: str, seconds: float) -> None:
        """Let a host's clock be so many seconds fast."""
        self._host(node).clock_skew_s = float(seconds)

    def culture(self, culture: str, node: str = "") -> None:
        """Let one host, or all, say its messages in "en-US" or "de-DE"."""
        if culture not in CULTURES:
            raise ValueError(f"unknown culture {culture!r}; there are {', '.join(CULTURES)}")
        for host in self._hosts(node):
            host.culture = culture

    def rights(self, user: str, rights: str, node: str = "") -> None:
        """Let an account have full, reader, unseen or denied rights, on one host or on all."""
        for host in self._hosts(node):
            host.rights[user.casefold()] = Rights(rights)

    # --- replication -------------------------------------------------------------------------------------------------

    def replicate(self, vm: str) -> bool:
        """Let the primary send its log now; False where nothing was applied."""
        applied = self._lab.fleet.replicate(self._machine(vm, "production"))
        self._settle()
        return applied

    def run_job(self, vm: str) -> bool:
        """Do what ``replicate`` does, under the other platforms' name for it."""
        return self.replicate(vm)

    def job(self, vm: str, is_enabled: bool) -> None:
        """Suspend or resume the replication, under the other platforms' name for it."""
        (self.resume_replication if is_enabled else self.suspend_replication)(vm)

    def suspend_replication(self, vm: str, role: str = "production", user: str = PERSON) -> None:
        self._act(vm, role, user, "Suspend-VMReplication -VM $vm")

    def resume_replication(self, vm: str, role: str = "production", user: str = PERSON) -> None:
        self._act(vm, role, user, "Resume-VMReplication -VM $vm")

    def resync_needed(self, vm: str, role: str = "production", state: str = _TROUBLES[0]) -> None:
        """Let one side need a resynchronisation, or with ``state`` Error have lost its way; no log is sent until then."""
        if state not in _TROUBLES:
            raise ValueError(f"unknown state {state!r}; there are {', '.join(_TROUBLES)}")
        with self._lab.fleet.lock:
            self._endpoint(vm, role).state = state

    def replica_server(self, node: str, is_enabled: bool) -> None:
        """Let a host take replicas, or not."""
        self._host(node).server.is_enabled = is_enabled

    def authorization(self, node: str, allowed: list[str]) -> None:
        """Say from which servers a host takes replicas: ["*"], or names."""
        self._host(node).server.entries = [AuthorizationEntry(name) for name in allowed]

    def firewall(self, node: str, is_open: bool) -> None:
        """Open or shut the listener's port of Hyper-V Replica on a host."""
        self._host(node).server.open_listeners = {"Certificate", "Kerberos"} if is_open else set()

    def without_certificate(self, node: str) -> None:
        """Take the host's certificates for replication away, as one that ran out does."""
        self._host(node).thumbprints.clear()

    def relations(self) -> list[dict[str, t.Any]]:
        """Both sides' own view of every replication."""
        rows = []
        with self._lab.fleet.lock:
            for relation in self._lab.fleet.relations.values():
                for machine in relation.ends:
                    end = machine.endpoint
                    if end is not None:
                        row = {"vm": machine.vm, "host": machine.host, "mode": end.mode, "state": end.state}
                        rows.append({**row, "newest_log_s": end.last_replication_s})
        return rows

    # --- guests ------------------------------------------------------------------------------------------------------

    def dead_agent(self, vm: str, role: str = "production", is_dead: bool = True) -> None:
        """Let the heartbeat of a copy be disabled, as where somebody took the integration service away."""
        self._machine(vm, role).has_heartbeat = not is_dead

    def crash_code(self, vm: str, code: str, role: str = "production") -> None:
        """Let the next blue screens of a copy show this bugcheck, such as 0x7B."""
        self._machine(vm, role).bugcheck = code

    def refuse_power_off(self, vm: str, role: str = "production", refuses: bool = True) -> None:
        """Let one copy ignore guest shutdowns, and turning it off fail."""
        self._machine(vm, role).refuses_power_off = refuses

    def events(self, node: str) -> list[dict[str, t.Any]]:
        """The worker's event log of a host, the newest first."""
        rows = self._lab.fleet.events.on(self._host(node).name)
        return [{"id": e.id, "vm": e.vm_name, "at_s": e.at_s, "data": list(e.data)} for e in rows]

    # --- faults ------------------------------------------------------------------------------------------------------

    def rule(
        self, action: str, call: str = "", *, vm: str | None = None, role: str = "production", **more: t.Any
    ) -> int:
        """Strike calls to come (see wsman/faults.py): ``call``, ``host``, ``user``, ``script``, ``nth``, ``count``, ...

        ``script`` is a regular expression of a process's command line and input; ``vm`` and ``role`` narrow it to calls
        about that VM on the host of that copy. Returns the rule's number for ``clear_rules``.
        """
        named = {"call": call} if call else {}
        if vm is not None:
            machine = self._machine(vm, role)
            more["host"] = machine.host
            more["script"] = rf"(?s)\A(?=.*(?i:{machine.key})).*(?:{more.get('script', '')})"
        elif "host" in more:
            more["host"] = self._host(str(more["host"])).name
        return self._lab.doors.faults.add(action=action, **named, **more)

    def plan(self, faults: list[dict[str, t.Any]]) -> list[int]:
        """Add a whole fault plan, or none of it; each row as the words of ``rule``."""
        return self._lab.doors.faults.load(faults)

    def clear_rules(self, rule: int = 0) -> None:
        """Forget one rule, or all; what has happened to the site stays."""
        self._lab.doors.faults.clear(rule)

    def rules(self) -> list[dict[str, t.Any]]:
        """All rules, each with how often it was seen and has struck."""
        return self._lab.doors.faults.rows()

    def quota(self, node: str = "", count: int = 1) -> int:
        """Let the next calls for a shell meet the operations' quota of their user."""
        return self.rule("quota", call="Command", count=count, **({"host": node} if node else {}))

    def kill_sessions(self) -> int:
        """End every client's shell with its processes, as a restart of WinRM does. Returns how many."""
        return self._lab.doors.end_shells()

    def endpoint_down(self) -> None:
        """WinRM dies on every host: connections are cut and refused. Hosts and guests live on."""
        self._lab.doors.shut()

    def endpoint_up(self) -> None:
        self._lab.doors.open()

    def certificate(self, kind: str = "good", node: str = "") -> None:
        """Show a "good", "expired" or "foreign" certificate from now on, on one host or on all."""
        self._lab.doors.show(kind, self._host(node).name if node else "")

    def simulator_errors(self) -> list[str]:
        """What the twin did not know or broke down with, since the last reset. Any of these fails a test."""
        return self._lab.simulator_errors

    # --- inner -------------------------------------------------------------------------------------------------------

    def _host(self, said: str) -> Host:
        """A host by its name, or by the client's own word for it."""
        return self._lab.fleet.host(self._lab.wish.node_names.get(said, said))

    def _hosts(self, said: str) -> list[Host]:
        return [self._host(said)] if said else list(self._lab.fleet.hosts.values())

    def _machine(self, vm: str, role: str) -> Machine:
        found = self._lab.fleet.machine_of(self._copy_id(vm, role))
        if found is None:
            raise UnknownThing(f"no host has the {role} of {vm!r}")
        return found

    def _endpoint(self, vm: str, role: str) -> Endpoint:
        endpoint = self._machine(vm, role).endpoint
        if endpoint is None:
            raise UnknownThing(f"the {role} of {vm!r} is not replicated")
        return endpoint

    def _act(self, vm: str, role: str, user: str, line: str) -> None:
        """Make a person's PowerShell on the VM's host, past the doors and uncounted. Raises ValueError with its error."""
        machine = self._machine(vm, role)
        script = f"$ErrorActionPreference = 'Stop'\n$vm = Get-VM -Id '{machine.key}'\n{line}\n"
        processes.by_hand(self._lab.fleet, machine.host, user, script)
        self._settle()


def _quoted(text: str) -> str:
    """Text as PowerShell's plain literal; typographic quotes end one as well."""
    return "'" + "".join(c * 2 if c in "'\u2018\u2019\u201a\u201b" else c for c in text) + "'"
