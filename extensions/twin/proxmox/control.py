# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything that may befall a Proxmox lab: each verb is a method here, and a POST on the lab's control door."""

from __future__ import annotations

import typing as t

from ansible_collections.ferragosto.dr.extensions.twin.control import PERSON, BaseControl
from ansible_collections.ferragosto.dr.extensions.twin.lab import wait_for
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.guests import NET, Guest
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.replication import Job
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import ROUTES, Call
from ansible_collections.ferragosto.dr.extensions.twin.world.world import UnknownThing

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.proxmox.lab import ProxmoxLab

_TASK_S = 120.0  # real time within which a person's own task must end


class Control(BaseControl):
    VERBS = BaseControl.VERBS | frozenset(
        "backup_now certificate clear_rules clock_skew connect_nics dead_agent disconnect_nics endpoint_down endpoint_up "
        "full_storage host_back host_lost job kill_sessions lock plan power_off power_on quorum refuse_power_off "
        "replication_error rule rules run_job snapshot snapshots tasks unlock".split()
    )
    _lab: ProxmoxLab

    # --- other people's hands ----------------------------------------------------------------------------------------

    def power_off(self, vm: str, role: str = "production", user: str = PERSON) -> None:
        """Stop a copy in another user's name, as the task history then tells."""
        self._act(vm, role, user, "POST", "status/stop")

    def power_on(self, vm: str, role: str = "production", user: str = PERSON) -> None:
        self._act(vm, role, user, "POST", "status/start")

    def disconnect_nics(self, vm: str, role: str = "production", user: str = PERSON) -> None:
        self._set_links(vm, role, user, is_up=False)

    def connect_nics(self, vm: str, role: str = "production", user: str = PERSON) -> None:
        self._set_links(vm, role, user, is_up=True)

    def snapshot(self, vm: str, name: str, role: str = "production", user: str = PERSON) -> None:
        self._act(vm, role, user, "POST", "snapshot", snapname=name)

    def snapshots(self, vm: str, role: str = "production") -> list[str]:
        """The names of a copy's snapshots, without those of the replication."""
        return list(self._guest(vm, role)[1].snapshots)

    def backup_now(self, vm: str, role: str = "production", user: str = PERSON) -> None:
        """Back a copy up out of turn."""
        datacenter, guest = self._guest(vm, role)
        storage = self._lab.wish.backup_storage
        if storage is None:
            raise ValueError("this site has no backups: the lab file says `proxmox: {backups: false}`")
        words = {"vmid": str(guest.vmid), "storage": storage, "mode": "snapshot"}
        self._carry_out(datacenter, user, "POST", f"/nodes/{guest.node}/vzdump", guest.node, words)

    def lock(self, vm: str, lock: str = "backup", role: str = "production") -> None:
        """Leave a VM locked, as a task does that died."""
        datacenter, guest = self._guest(vm, role)
        with datacenter.lock:
            guest.config["lock"] = lock

    def unlock(self, vm: str, role: str = "production") -> None:
        datacenter, guest = self._guest(vm, role)
        with datacenter.lock:
            guest.config.pop("lock", None)

    # --- nodes -------------------------------------------------------------------------------------------------------

    def host_lost(self, node: str, is_dead: bool = True) -> None:
        """A node goes: dead (its VMs with it), or only cut off from clients and the other node (its VMs live on)."""
        name = self._lab.node_name(node)
        self._lab.datacenter_of(name).fail_node(name, isolated=not is_dead)
        self._lab.settle_doors()
        self._settle()

    def host_back(self, node: str) -> list[str]:
        """The node returns. What was dead is off now; its onboot VMs start if it has quorum. Returns their names."""
        name = self._lab.node_name(node)
        started = self._lab.datacenter_of(name).return_node(name)
        self._lab.settle_doors()
        self._settle()
        return started

    def quorum(self, is_lost: bool = True, node: str = "") -> None:
        """Take the quorum away from a node (or from all), or give it back."""
        if is_lost:
            self._lab.doors.faults.add(action="lost_quorum", target=self._lab.node_name(node))
            return
        for datacenter in self._lab.datacenters:
            with datacenter.lock:
                datacenter.votes.lost -= {self._lab.node_name(node)} if node else set(datacenter.nodes)

    def clock_skew(self, node: str, seconds: float) -> None:
        """Let a node's clock be so many seconds fast."""
        self._lab.doors.faults.add(action="clock_skew", target=self._lab.node_name(node), seconds=float(seconds))

    def full_storage(self, storage: str, node: str = "", is_full: bool = True) -> None:
        """Let a storage be full on one node, or on all; or let it have room again."""
        if is_full:
            target = f"{storage}@{self._lab.node_name(node)}" if node else storage
            self._lab.doors.faults.add(action="full_storage", target=target)
            return
        for datacenter in self._lab.datacenters:
            with datacenter.lock:
                known = datacenter.shelf.storages.get(storage)
                if known is not None:
                    known.full_on -= {self._lab.node_name(node)} if node else set(datacenter.nodes)

    # --- guests ------------------------------------------------------------------------------------------------------

    def dead_agent(self, vm: str, role: str = "production", is_dead: bool = True) -> None:
        """Let the guest agent of a copy that runs say nothing."""
        datacenter, guest = self._guest(vm, role)
        with datacenter.lock:
            agents = datacenter.trouble.dead_agents
            agents.add(guest.vmid) if is_dead else agents.discard(guest.vmid)

    def refuse_power_off(self, vm: str, role: str = "production", refuses: bool = True) -> None:
        """Let one copy ignore shutdowns, and the tasks that stop it fail."""
        datacenter, guest = self._guest(vm, role)
        with datacenter.lock:
            for kind in ("qmstop", "qmshutdown"):
                key = f"{kind}:{guest.vmid}"
                if refuses:
                    datacenter.trouble.failing_tasks[key] = "VM quit/powerdown failed - got timeout"
                else:
                    datacenter.trouble.failing_tasks.pop(key, None)

    # --- replication -------------------------------------------------------------------------------------------------

    def job(self, vm: str, is_enabled: bool) -> None:
        """Enable or disable the replication jobs of a VM, as a person does in the web interface."""
        for datacenter, job in self._jobs(vm):
            with datacenter.lock:
                job.is_disabled = not is_enabled

    def run_job(self, vm: str) -> bool:
        """Let the replication run now; False when it is disabled or fails. A promoted replica is overwritten by it."""
        ran = []
        for datacenter, job in self._jobs(vm):
            with datacenter.lock:
                datacenter.tick()
                ran.append(not job.is_disabled and datacenter.replication.run_now(job.id) is None)
        self._settle()
        return any(ran)

    def replication_error(self, vm: str, error: str = "No common base snapshot on volume(s)") -> None:
        """Let every run of the VM's replication fail with this text from now on; "" lets it go well again."""
        for datacenter, job in self._jobs(vm):
            with datacenter.lock:
                if error:
                    datacenter.replication.failing[job.id] = error
                else:
                    datacenter.replication.failing.pop(job.id, None)

    # --- faults ------------------------------------------------------------------------------------------------------

    def rule(
        self, method: str = "*", action: str = "", vm: str | None = None, role: str = "production", **more: t.Any
    ) -> int:
        """Strike calls to come (see faults.ACTIONS): ``path``, ``nth``, ``count``, ``seconds``, ``status``, ``text``, ``target``.

        ``vm`` and ``role`` narrow it to one copy. Returns the rule's number for ``clear_rules``.
        """
        if vm is not None:
            more["vmid"] = self._guest(vm, role)[1].vmid
        return self._lab.doors.faults.add(method=method, action=action, **more)

    def plan(self, faults: list[dict[str, t.Any]]) -> list[int]:
        """Add a whole fault plan, or none of it; each row as the words of ``rule``."""
        return self._lab.doors.faults.load(faults)

    def clear_rules(self, rule: int = 0) -> None:
        """Forget one rule, or all; what has happened to the site stays."""
        self._lab.doors.faults.clear(rule)

    def rules(self) -> list[dict[str, t.Any]]:
        """All rules, each with how often it was seen and has struck."""
        return self._lab.doors.faults.rows()

    def kill_sessions(self) -> None:
        """End every ticket: the next call with one gets 401. A token has no session and works on."""
        for node in self._lab.doors.nodes:
            self._lab.doors.access(node).end_sessions()

    def endpoint_down(self) -> None:
        """The API dies on every node: connections are cut and refused. The guests live on."""
        self._lab.doors.shut()

    def endpoint_up(self) -> None:
        self._lab.doors.open()

    def certificate(self, kind: str = "good", node: str = "") -> None:
        """Show a "good", "expired" or "foreign" certificate from now on, on one node or on all."""
        self._lab.doors.set_certificate(kind, node)

    def tasks(self) -> list[dict[str, t.Any]]:
        """Every task of every node: what it was, whose, and how it ended ("" while it runs)."""
        rows = []
        for datacenter in self._lab.datacenters:
            with datacenter.lock:
                for task in datacenter.tasks.tasks.values():
                    who = f"{task.user}!{task.token_id}" if task.token_id else task.user
                    rows.append(
                        {"upid": task.upid, "node": task.node, "type": task.kind, "id": task.id, "user": who}
                        | {"started_at_s": task.started_at_s, "status": task.status}
                    )
        return rows

    # --- inner -------------------------------------------------------------------------------------------------------

    def _guest(self, vm: str, role: str) -> tuple[Datacenter, Guest]:
        return self._lab.guest_of(self._copy_id(vm, role))

    def _jobs(self, vm: str) -> list[tuple[Datacenter, Job]]:
        self._lab.world.copies_of(vm)
        found = [
            (datacenter, job)
            for datacenter in self._lab.datacenters
            for job in datacenter.replication.jobs.values()
            if datacenter.guests[job.guest].vm == vm
        ]
        if not found:
            raise UnknownThing(f"no replication job for {vm!r}")
        return found

    def _act(self, vm: str, role: str, user: str, method: str, what: str, **words: str) -> None:
        datacenter, guest = self._guest(vm, role)
        path = f"/nodes/{guest.node}/qemu/{guest.vmid}/{what}"
        self._carry_out(datacenter, user, method, path, guest.node, words)

    def _carry_out(
        self, datacenter: Datacenter, user: str, method: str, path: str, node: str, words: dict[str, str]
    ) -> None:
        """Make a person's API call past the doors, uncounted, and wait for its task."""
        route, args = ROUTES.find(method, path)
        who = user if "@" in user else f"{user}@pam"
        call = Call(
            method=method,
            path=path,
            template=route.template,
            args=args,
            params=words,
            user=who,
            node=node,
            door_node=node,
        )
        with datacenter.lock:
            datacenter.tick()
            answer = route.handler(datacenter, call)
        if isinstance(answer, str) and answer in datacenter.tasks.tasks:
            task = datacenter.tasks.tasks[answer]
            wait_for(lambda: not task.is_running, _TASK_S, f"the end of {answer}")
            if task.status != "OK" and not task.status.startswith("WARNINGS"):
                raise ValueError(f"{method} {path}: {task.status}")
        self._settle()

    def _set_links(self, vm: str, role: str, user: str, *, is_up: bool) -> None:
        guest = self._guest(vm, role)[1]
        nets = {key: _linked(value, is_up=is_up) for key, value in guest.config.items() if NET.match(key)}
        if nets:
            self._act(vm, role, user, "PUT", "config", **nets)


def _linked(net: str, *, is_up: bool) -> str:
    """A net string with its cable in or out."""
    kept = [part for part in net.split(",") if not part.startswith("link_down=")]
    return ",".join(kept if is_up else [*kept, "link_down=1"])
