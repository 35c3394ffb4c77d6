# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machines: the QEMU processes of the nodes, what their guests show, and whether the agent inside answers."""

from __future__ import annotations

import itertools
import typing as t
from dataclasses import dataclass, replace

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.guests import Config, Guest, disks_of, nics_of
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import PveError, Screen
from ansible_collections.ferragosto.dr.extensions.twin.world.model import Copy, Phase, Power

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter

_FIRMWARE_SHARE = 0.25  # of the boot
NO_AGENT, SILENT_AGENT = "No QEMU guest agent configured", "QEMU guest agent is not running"


@dataclass(slots=True, kw_only=True)
class Process:
    """One running QEMU. It knows what it was started with, and lives on wherever its configuration went."""

    node: str
    vmid: int
    copy_id: str
    pid: int
    started_at_s: float
    config: Config
    qmpstatus: str = "running"
    is_suspended: bool = False


class Machines:
    def __init__(self, datacenter: Datacenter) -> None:
        self._datacenter, self._world = datacenter, datacenter.world
        self.running: dict[tuple[str, int], Process] = {}
        self._pids = itertools.count(4001)

    def of(self, guest: Guest) -> Process | None:
        """The process that the node of the guest's configuration knows."""
        return self.running.get((guest.node, guest.vmid))

    def required(self, guest: Guest) -> Process:
        process = self.of(guest)
        if process is None:
            raise PveError(500, f"VM {guest.vmid} not running")
        return process

    def copy(self, process: Process) -> Copy:
        return self._world.copy(process.copy_id)

    def start(self, guest: Guest, *, uptime_s: float | None = None) -> Process:
        """Start QEMU; ``uptime_s``: it has been up for so long already, as when a lab begins."""
        datacenter = self._datacenter
        if self.of(guest) is not None:
            raise PveError(500, f"VM {guest.vmid} already running")
        for volume_id in datacenter.disk_ids(guest.config):
            if (guest.node, volume_id) not in datacenter.shelf.volumes:
                pool, dummy, name = volume_id.partition(":")
                raise PveError(500, f"timeout: no zvol device link for '{name}' found after 300 sec. ({pool})")
        guest.config, guest.pending = guest.effective(), {}
        now_s = datacenter.now_s()
        copy_id = datacenter.copy_id_of(guest)
        process = Process(
            node=guest.node,
            vmid=guest.vmid,
            copy_id=copy_id,
            pid=next(self._pids),
            started_at_s=now_s - (uptime_s or 0.0),
            config=dict(guest.config),
        )
        self.running[(guest.node, guest.vmid)] = process
        self._world.copy(copy_id).guest_id = guest.config.get("vmgenid", "")
        self._note_dangers(guest, copy_id)
        self._world.observe(copy_id, power=Power.ON, nics=nics_of(guest.config))
        if uptime_s is not None:
            with self._world.lock:
                copy = self._world.copy(copy_id)
                copy.phase, copy.booted_at_s, copy.phase_since_s = Phase.RUNNING, now_s - uptime_s, now_s
        return process

    def _note_dangers(self, guest: Guest, copy_id: str) -> None:
        if self._world.copy(copy_id).power is Power.ON:
            text = f"VM {guest.vmid} was started on disks that another guest is running on"
            self._world.regretted("disks_shared_by_two", copy_id, text)
            self._world.overwritten(copy_id, replace(self._world.copy(copy_id).data, is_corrupted=True), "ruined")
        owner = self._datacenter.shelf.owner_of(guest.config, guest.vmid, guest.node)
        if owner != guest.vmid:
            text = f"VM {guest.vmid} was started on the disks of {owner}: the replica is no longer what was replicated"
            self._world.regretted("replica_written_to", copy_id, text)

    def stop(self, process: Process) -> None:
        """The power is cut, or QEMU has ended by itself."""
        if self.running.pop((process.node, process.vmid), None) is None:
            return
        self._world.observe(process.copy_id, power=Power.OFF)
        guest = self._datacenter.guests.get(process.vmid)
        if guest is not None and guest.node == process.node:
            guest.config, guest.pending = guest.effective(), {}
            self._world.observe(process.copy_id, nics=nics_of(guest.config))

    def reset(self, process: Process) -> None:
        process.qmpstatus = "running"
        self._world.observe(process.copy_id, power=Power.ON, was_restarted=True)

    def pause(self, process: Process, qmpstatus: str = "paused") -> None:
        """Stop its CPUs: by a person, or by QEMU itself (io-error, internal-error)."""
        process.qmpstatus = qmpstatus
        self._world.hang(process.copy_id)

    def resume(self, process: Process) -> None:
        process.qmpstatus = "running"
        copy = self.copy(process)
        if copy.phase is Phase.HUNG:
            self._world.woken(process.copy_id)

    def plug(self, guest: Guest) -> None:
        """Bring a changed network card to the running guest, and to the world in any case."""
        process, owner = self.of(guest), self._datacenter.shelf.owner_of(guest.config, guest.vmid, guest.node)
        if process is not None:
            process.config.update({k: v for k, v in guest.config.items() if k.startswith("net")})
        if (owner, guest.node) not in self._datacenter.shelf.disk_sets:
            return  # its disks are not here: the configuration alone was moved
        if process is None and owner != guest.vmid:
            return  # a shell VM that is off changes nothing of the copy whose disks it names
        copy_id = self._datacenter.copy_id_of(guest)
        if process is not None or self._world.copy(copy_id).power is Power.OFF:
            self._world.observe(copy_id, nics=nics_of(guest.config))

    def tick(self) -> None:
        """End the processes whose guests have halted; QEMU exits when its guest powers itself off."""
        for process in list(self.running.values()):
            if self.copy(process).phase is Phase.OFF:
                self.stop(process)
            elif process.qmpstatus == "running" and self._is_out_of_space(process):
                self.pause(process, "io-error")

    def _is_out_of_space(self, process: Process) -> bool:
        """QEMU stops a guest whose write meets a full storage, and says io-error."""
        storages = (self._datacenter.shelf.storages.get(d.partition(":")[0]) for d in disks_of(process.config).values())
        return any(storage is not None and process.node in storage.full_on for storage in storages)

    def node_died(self, node: str) -> None:
        for process in [p for p in self.running.values() if p.node == node]:
            self.stop(process)

    # --- what it shows -----------------------------------------------------------------------------------------------

    def qmpstatus(self, guest: Guest) -> str:
        process = self.of(guest)
        if process is None:
            return "stopped"
        is_crashed = self.copy(process).phase is Phase.CRASHED
        if is_crashed and "pvpanic" in process.config.get("args", ""):
            return "guest-panicked"
        return process.qmpstatus

    def uptime_s(self, process: Process) -> int:
        return max(1, int(self._datacenter.now_s() - process.started_at_s))

    def agent_answers(self, process: Process) -> bool:
        copy = self.copy(process)
        is_alive = copy.phase in (Phase.RUNNING, Phase.SHUTTING_DOWN) and process.qmpstatus == "running"
        return is_alive and copy.has_tools and process.vmid not in self._datacenter.trouble.dead_agents

    def require_agent(self, guest: Guest) -> Process:
        """Raise in the order in which PVE looks: configured, running, answering."""
        if not guest.has_agent:
            raise PveError(500, NO_AGENT)
        process = self.of(guest)
        if process is None:
            raise PveError(500, f"VM {guest.vmid} is not running")
        if not self.agent_answers(process):
            raise PveError(500, SILENT_AGENT, delay_s=self._datacenter.timing.agent_timeout_s)
        return process

    def screen(self, node: str, vmid: int) -> Screen:
        process = self.running.get((node, vmid))
        if process is None:
            return Screen.NONE
        copy = self.copy(process)
        is_windows = process.config.get("ostype", "").startswith("w")
        match copy.phase:
            case Phase.OFF:
                return Screen.NONE
            case Phase.BOOTING:
                age_s = self._datacenter.now_s() - copy.phase_since_s
                is_early = age_s < self._world.timing.boot_s * _FIRMWARE_SHARE
                return Screen.FIRMWARE if is_early else Screen.BOOT
            case Phase.CRASHED:
                return Screen.BLUE_SCREEN if is_windows else Screen.PANIC
            case Phase.HUNG:
                return Screen.FROZEN
            case Phase.RUNNING | Phase.SHUTTING_DOWN:
                return Screen.LOGIN
            case _:
                t.assert_never(copy.phase)
