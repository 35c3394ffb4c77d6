# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a test must know of a platform besides the words that all of them share: its calls, and what an auditor sees past the API."""

from __future__ import annotations

import typing as t

from ansible_collections.ferragosto.dr.extensions.twin.world.model import Copy, Role

# Written by a session as such, whatever it does with it.
NOT_OF_A_VM = {"Login", "Logout", "CreateContainerView", "DestroyView", "CreateFilter", "DestroyPropertyFilter"}


class Platform(t.Protocol):
    provider: str

    def about(self, vm: str) -> dict[str, t.Any]:
        """The VM as a module is told of it."""

    def policy(self, policy: dict[str, t.Any]) -> dict[str, t.Any]: ...

    def changes(self, call: str) -> bool:
        """Whether a call that the lab counted may change a VM, a host or a cluster."""

    def shown(self, vm: str) -> dict[str, t.Any]:
        """All that an undo must bring back, as the platform itself shows it, past the API."""

    def copy(self, vm: str, role: str) -> Copy:
        """The production copy, or the one that would stand or stands in for it."""

    def mishaps(self) -> list[str]:
        """What a customer's host would have refused as our own mistake."""


class Vsphere:
    provider = "vsphere"

    def __init__(self, lab: t.Any, job_hook: str) -> None:
        self.lab, self.job_hook = lab, job_hook

    def about(self, vm: str) -> dict[str, t.Any]:
        return {"vm": vm, "replica": {"name": f"{vm}_replica"}}

    def policy(self, policy: dict[str, t.Any]) -> dict[str, t.Any]:
        return {**policy, "job_hook": self.job_hook}

    def changes(self, call: str) -> bool:
        from ansible_collections.ferragosto.dr.extensions.twin.vsphere.soap import Call

        return bool(Call(call, "", "", b"", "").changes)

    def copy(self, vm: str, role: str) -> Copy:
        return self.lab.world.copy_of(vm, Role(role))

    def mishaps(self) -> list[str]:
        return []

    def shown(self, vm: str) -> dict[str, t.Any]:
        lab, session = self.lab, self.lab.session_as("lab-auditor")
        paths = [
            "name",
            "runtime.powerState",
            "runtime.host",
            "datastore",
            "config.hardware.device",
            "config.extraConfig",
        ]
        found: dict[str, t.Any] = {}
        cluster = session.object("ClusterComputeResource", str(lab.built.cluster))
        das = session.read([cluster], ["configurationEx"])[cluster._moId]["configurationEx"].dasVmConfig or ()
        for copy_ in lab.world.copies_of(vm):
            moid = lab.built.moids[copy_.id]
            row = session.read([session.object("VirtualMachine", moid)], [*paths, "snapshot"])[moid]
            host = row["runtime.host"]._moId
            found[str(copy_.role)] = {
                "name": row["name"],
                "power": str(row["runtime.powerState"]),
                "host": host,
                "datastores": sorted(d._moId for d in row["datastore"]),
                "nics": {
                    str(d.key): (d.connectable.connected, d.connectable.startConnected, d.backing.deviceName)
                    for d in row["config.hardware.device"]
                    if hasattr(d, "macAddress")
                },
                "snapshots": _snapshots(row.get("snapshot")),
                "current": row["snapshot"].currentSnapshot._moId if row.get("snapshot") else None,
                "stamps": {
                    o.key: o.value for o in row["config.extraConfig"] if o.key.startswith("ferragosto") and o.value
                },
                "autostart": lab.gate.autostart.starts(host, moid),
                # an override that says "as the cluster" is as good as none
                "ha": [o.dasSettings.restartPriority for o in das if o.key._moId == moid and o.dasSettings]
                not in (["disabled"],),
            }
        return found


class Proxmox:
    provider = "proxmox"

    def __init__(self, lab: t.Any) -> None:
        self.lab = lab

    def about(self, vm: str) -> dict[str, t.Any]:
        return {"vm": vm}

    def policy(self, policy: dict[str, t.Any]) -> dict[str, t.Any]:
        return {key: value for key, value in policy.items() if key != "job_hook"}

    def changes(self, call: str) -> bool:
        method, dummy, path = call.partition(" ")
        is_look = path == "/access/ticket" or path.endswith(("/vncproxy", "/agent/ping"))  # a POST that changes nothing
        return method in ("POST", "PUT", "DELETE", "SSH") and not is_look

    def copy(self, vm: str, role: str) -> Copy:
        copies = self.lab.world.copies_of(vm)
        if role == "production":
            return next(c for c in copies if c.role is Role.PRODUCTION)
        made = [c for c in copies if c.role is Role.CLONE]
        return next(iter(made or [c for c in copies if c.role is Role.REPLICA]))

    def mishaps(self) -> list[str]:
        return []

    def shown(self, vm: str) -> dict[str, t.Any]:
        from ansible_collections.ferragosto.dr.extensions.twin.proxmox.replication import config_row

        found: dict[str, t.Any] = {"vmids": [], "volumes": []}
        for datacenter in self.lab.datacenters:
            with datacenter.lock:
                found["vmids"] += sorted((guest.node, vmid) for vmid, guest in datacenter.guests.items())
                found["volumes"] += sorted(datacenter.shelf.volumes)
                for vmid, guest in datacenter.guests.items():
                    if guest.vm != vm:
                        continue
                    found[str(vmid)] = {
                        "node": guest.node,
                        "config": dict(guest.config),
                        "pending": dict(guest.pending),
                        "is_on": datacenter.machines.of(guest) is not None,
                        "ha": datacenter.ha.manages(vmid),
                        "jobs": [config_row(job) for job in datacenter.replication.jobs_of(vmid)],
                    }
        return found


class Hyperv:
    provider = "hyperv"

    def __init__(self, lab: t.Any) -> None:
        self.lab = lab

    def about(self, vm: str) -> dict[str, t.Any]:
        return {"vm": vm}

    def policy(self, policy: dict[str, t.Any]) -> dict[str, t.Any]:
        """Its way home is a planned failover, with downtime."""
        return {**{key: value for key, value in policy.items() if key != "job_hook"}, "cold_migration": True}

    def changes(self, call: str) -> bool:
        from ansible_collections.ferragosto.dr.extensions.twin.hyperv.processes import is_changing

        return is_changing(call)

    def copy(self, vm: str, role: str) -> Copy:
        """The promoted data travel from VM to VM: where our stamp says so, that VM is the one that stands in."""
        first, second = self._relation(vm).ends
        is_home = '"mode"' in first.notes
        wanted = first if (role == "production") != is_home else second
        return self.lab.world.copy(wanted.copy_id)

    def shown(self, vm: str) -> dict[str, t.Any]:
        found: dict[str, t.Any] = {"checkpoints": [], "vms": []}
        fleet = self.lab.fleet
        with fleet.lock:
            for machine in fleet.machines:
                found["vms"].append((machine.host, machine.name))
                if machine.vm != vm:
                    continue
                found["checkpoints"] += sorted(
                    (machine.host, point.kind, point.made_at_s) for point in machine.checkpoints
                )
                end = machine.endpoint
                found[machine.host] = {
                    "state": machine.state,
                    "notes": machine.notes,
                    "auto_start": (machine.auto_start, machine.auto_start_delay_s),
                    "nics": [(a.id, a.switch, a.test_switch) for a in machine.adapters],
                    "replication": (end.mode, end.state, end.primary_server, end.replica_server) if end else None,
                }
        return found

    def mishaps(self) -> list[str]:
        return [str(error) for error in self.lab.simulator_errors]

    def _relation(self, vm: str) -> t.Any:
        return next(r for r in self.lab.fleet.relations.values() if r.first.vm == vm)


def platform(lab: t.Any, *, job_hook: str) -> Platform:
    """Return the platform of a lab."""
    if lab.provider == "vsphere":
        return Vsphere(lab, job_hook)
    return Proxmox(lab) if lab.provider == "proxmox" else Hyperv(lab)


def _snapshots(tree: t.Any) -> list[tuple[str, str, str]]:
    found, waiting = [], list(tree.rootSnapshotList) if tree else []
    while waiting:
        node = waiting.pop()
        found.append((node.snapshot._moId, node.name, node.createTime.isoformat()))
        waiting.extend(node.childSnapshotList or [])
    return sorted(found)
