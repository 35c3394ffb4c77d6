# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The HA manager: keeps its services as requested, fences lost nodes, and recovers their guests on others."""

from __future__ import annotations

import hashlib
import typing as t
from dataclasses import dataclass, field

from ansible_collections.ferragosto.dr.extensions.twin.proxmox import migration
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.guests import Guest, disks_of
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.tasks import Body, Task, waiting
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import Call, PveError

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter


@dataclass(slots=True, kw_only=True)
class Service:
    """One HA resource: what is requested, and how far the manager is."""

    sid: str  # "vm:100"
    request: str = "started"  # started | stopped | disabled | ignored
    state: str = "queued"  # queued started stopped fence recovery error migrate disabled ignored
    since_s: float = 0.0
    settings: dict[str, t.Any] = field(default_factory=dict)
    goes_to: str = ""  # a requested migration
    upid: str = ""  # the task that the manager has running for it

    @property
    def vmid(self) -> int:
        return int(self.sid.partition(":")[2])


class HaManager:
    def __init__(self, datacenter: Datacenter) -> None:
        self._datacenter = datacenter
        self.services: dict[str, Service] = {}
        self.rules: dict[str, dict[str, t.Any]] = {}
        self._round_at_s = 0.0

    # --- questions ---------------------------------------------------------------------------------------------------

    def manages(self, vmid: int) -> bool:
        service = self.services.get(f"vm:{vmid}")
        return service is not None and service.request != "ignored"

    def has_services_on(self, node: str) -> bool:
        """Whether the node's watchdog is armed: it has a service that HA keeps running."""
        guests = (self._datacenter.guests.get(s.vmid) for s in self.services.values() if s.state == "started")
        return any(guest is not None and guest.node == node for guest in guests)

    def status_of(self, vmid: int) -> dict[str, t.Any]:
        service = self.services.get(f"vm:{vmid}")
        return {"managed": 0} if service is None else {"managed": 1, "state": service.request}

    def master(self) -> str:
        return min((n for n in self._datacenter.online() if self._datacenter.is_quorate(n)), default="")

    def digest(self) -> str:
        """Of resources.cfg: one for all resources."""
        text = repr([(service.sid, service.request, service.settings) for service in self.services.values()])
        return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def rows(self) -> list[dict[str, t.Any]]:
        """GET /cluster/ha/status/current."""
        master, now_s = self.master(), int(self._datacenter.now_s())
        where = master or next(iter(self._datacenter.nodes))
        quorum = {"id": "quorum", "type": "quorum", "node": where, "quorate": int(bool(master))}
        rows: list[dict[str, t.Any]] = [{**quorum, "status": "OK" if master else "No quorum!"}]
        if master and self.services:
            rows.append({"id": "master", "type": "master", "node": master, "status": f"{master} (active, {now_s})"})
        for node in self._datacenter.nodes.values() if self.services else ():
            mode = "active" if self.has_services_on(node.name) else "idle"
            text = (
                f"{node.name} ({mode}, {now_s})" if node.is_online else f"{node.name} (old timestamp - dead?, {now_s})"
            )
            rows.append({"id": f"lrm:{node.name}", "type": "lrm", "node": node.name, "status": text})
        for service in self.services.values():
            guest = self._datacenter.guests.get(service.vmid)
            node_name = guest.node if guest is not None else ""
            rows.append(
                {
                    "id": f"service:{service.sid}",
                    "sid": service.sid,
                    "type": "service",
                    "node": node_name,
                    "state": service.state,
                    "crm_state": service.state,
                    "request_state": service.request,
                    "status": f"{service.sid} ({node_name}, {service.state})",
                    **{
                        k: v
                        for k, v in service.settings.items()
                        if k in ("max_restart", "max_relocate", "group", "comment")
                    },
                }
            )
        return rows

    # --- requests ----------------------------------------------------------------------------------------------------

    def add(self, sid: str, settings: t.Mapping[str, t.Any]) -> Service:
        kind, dummy, vmid = sid.partition(":")
        if kind != "vm" or not vmid.isdecimal() or int(vmid) not in self._datacenter.guests:
            raise PveError(500, f"cannot add service '{sid}' to HA resources: guest does not exist")
        if sid in self.services:
            raise PveError(500, f"resource ID '{sid}' already defined")
        service = Service(sid=sid, since_s=self._datacenter.now_s())
        self.services[sid] = service
        self.set(service, settings)
        return service

    def set(self, service: Service, settings: t.Mapping[str, t.Any]) -> None:
        state = settings.get("state")
        if state is not None:
            service.request = "started" if state == "enabled" else str(state)
            if service.state in ("error", "stopped", "started", "disabled"):
                service.state = "queued"
        service.settings.update(
            {k: v for k, v in settings.items() if k not in ("state", "sid", "delete", "digest", "type")}
        )

    def remove(self, sid: str) -> None:
        self.services.pop(sid, None)
        for name, rule in list(self.rules.items()):
            left = [r for r in str(rule.get("resources", "")).split(",") if r and r != sid]
            if left:
                rule["resources"] = ",".join(left)
            else:
                del self.rules[name]

    def request(self, guest: Guest, state: str, kind: str, call: Call) -> str:
        """Start or stop through HA: the task is OK as soon as it is requested."""
        service = self.services[f"vm:{guest.vmid}"]

        def body(task: Task) -> Body:
            task.say(f"Requesting HA {'start' if state == 'started' else 'stop'} for VM {guest.vmid}")
            self.set(service, {"state": state})
            yield 0.0
            return 0

        return self._datacenter.tasks.start(guest.node, kind, guest.vmid, body, call)

    def request_migration(self, guest: Guest, target: str, call: Call) -> str:
        """hamigrate: OK when it is merely requested; the guest moves later, or not at all."""
        service = self.services[f"vm:{guest.vmid}"]

        def body(task: Task) -> Body:
            task.say(f"Requesting HA migration for VM {guest.vmid} to node {target}")
            service.goes_to = target
            yield 0.0
            return 0

        return self._datacenter.tasks.start(guest.node, "hamigrate", guest.vmid, body, call)

    # --- life --------------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        now_s = self._datacenter.now_s()
        self._fire_watchdogs(now_s)
        if not self.services or now_s < self._round_at_s:
            return
        self._round_at_s = now_s + self._datacenter.timing.ha_round_s
        if not self.master():
            return
        self._fence(now_s)
        for service in list(self.services.values()):
            guest = self._datacenter.guests.get(service.vmid)
            if guest is not None and service.request != "ignored":
                self._step(service, guest)

    def next_due_s(self) -> float | None:
        armed = [
            node.lost_at_s + self._datacenter.timing.ha_fence_s
            for node in self._datacenter.nodes.values()
            if node.is_isolated and node.had_ha_services
        ]
        return min([*armed, *([self._round_at_s] if self.services else [])], default=None)

    def _fire_watchdogs(self, now_s: float) -> None:
        """An isolated node with services resets itself; one without has no armed watchdog, and its guests live on."""
        for node in self._datacenter.nodes.values():
            is_armed = node.is_isolated and node.had_ha_services
            if is_armed and now_s >= node.lost_at_s + self._datacenter.timing.ha_fence_s:
                node.had_ha_services = False
                node.booted_at_s = now_s
                self._datacenter.machines.node_died(node.name)
                self._datacenter.tasks.node_died(node.name)

    def _fence(self, now_s: float) -> None:
        for node in self._datacenter.nodes.values():
            if node.is_online:
                continue
            mine = [s for s in self.services.values() if self._node_of(s) == node.name and s.request == "started"]
            for service in mine:
                if service.state not in ("fence", "recovery"):
                    self._enter(service, "fence")
                elif service.state == "fence" and now_s >= service.since_s + self._datacenter.timing.ha_fence_s:
                    # the lost node's lock has run out; if its watchdog was not armed, nothing stopped its guests
                    self._enter(service, "recovery")

    def _step(self, service: Service, guest: Guest) -> None:
        if service.upid and self._datacenter.tasks.tasks[service.upid].is_running:
            return
        if service.state == "recovery":
            self._recover(service, guest)
        elif not self._datacenter.node_is_up(guest.node) or service.state in ("fence", "error"):
            return
        elif service.goes_to:
            self._migrate(service, guest)
        elif service.request == "started":
            self._keep_started(service, guest)
        elif self._datacenter.machines.of(guest) is not None:
            service.upid = self._task(guest, "qmshutdown", self._stopping(guest))
        else:
            self._enter(service, "stopped" if service.request == "stopped" else "disabled")

    def _keep_started(self, service: Service, guest: Guest) -> None:
        if self._datacenter.machines.of(guest) is not None:
            self._enter(service, "started")
            return
        last = self._datacenter.tasks.tasks.get(service.upid)
        if service.state == "started" and last is not None and last.kind == "qmstart" and last.status != "OK":
            self._enter(service, "error")
            return
        self._enter(service, "started")
        service.upid = self._task(guest, "qmstart", self._starting(guest))

    def _recover(self, service: Service, guest: Guest) -> None:
        """Bring the configuration over; the disks must be there already, or the start fails."""
        node = self._recovery_node(guest)
        if node is None:
            return
        guest.config.pop("lock", None)
        guest.node = node
        self._datacenter.machines.plug(guest)
        self._enter(service, "started")
        service.upid = self._task(guest, "qmstart", self._starting(guest))

    def _recovery_node(self, guest: Guest) -> str | None:
        nodes = [n for n in self._datacenter.online() if n != guest.node]
        for rule in self.rules.values():
            names = str(rule.get("resources", "")).split(",")
            if rule.get("type") != "node-affinity" or f"vm:{guest.vmid}" not in names or rule.get("disable"):
                continue
            wanted = [n.partition(":")[0] for n in str(rule.get("nodes", "")).split(",")]
            chosen = [n for n in nodes if n in wanted]
            nodes = chosen if chosen or str(rule.get("strict", "0")) in ("1", "True") else nodes
        here = self._datacenter.shelf.volumes
        return max(nodes, key=lambda n: all((n, d) in here for d in disks_of(guest.config).values()), default=None)

    def _migrate(self, service: Service, guest: Guest) -> None:
        target, service.goes_to = service.goes_to, ""
        if target != guest.node and self._datacenter.node_is_up(target):
            service.upid = migration.begin(self._datacenter, guest, target, with_local_disks=True)

    # --- inner -------------------------------------------------------------------------------------------------------

    def _node_of(self, service: Service) -> str:
        guest = self._datacenter.guests.get(service.vmid)
        return guest.node if guest is not None else ""

    def _enter(self, service: Service, state: str) -> None:
        if service.state != state:
            service.state, service.since_s = state, self._datacenter.now_s()

    def _task(self, guest: Guest, kind: str, make: t.Callable[[Task], Body]) -> str:
        return self._datacenter.tasks.start(guest.node, kind, guest.vmid, make)

    def _starting(self, guest: Guest) -> t.Callable[[Task], Body]:
        def body(task: Task) -> Body:
            guest.require_unlocked()
            yield self._datacenter.timing.start_s
            self._datacenter.machines.start(guest)
            return 0

        return body

    def _stopping(self, guest: Guest) -> t.Callable[[Task], Body]:
        def body(task: Task) -> Body:
            machines, timing = self._datacenter.machines, self._datacenter.timing
            process = machines.of(guest)
            if process is not None:
                self._datacenter.world.shutdown_asked(process.copy_id, by_power_button=True)
                within_s = timing.shutdown_timeout_s
                yield from waiting(lambda: machines.of(guest) is not process, within_s, self._datacenter.now_s)
                machines.stop(process)
            return 0

        return body
