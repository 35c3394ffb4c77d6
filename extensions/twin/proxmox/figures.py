# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a guest shows of itself: its row in lists and resources, its current status, its past figures."""

from __future__ import annotations

import typing as t

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.guests import Guest, disks_of
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.machines import Process
from ansible_collections.ferragosto.dr.extensions.twin.world.model import Phase

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter

_SAMPLES = 70
_STEPS_S = {"hour": 60, "day": 1800, "week": 10800, "month": 43200, "year": 604800}
_LOAD = {
    Phase.OFF: 0.0,
    Phase.BOOTING: 0.9,
    Phase.RUNNING: 0.12,
    Phase.HUNG: 0.0,
    Phase.CRASHED: 0.0,
    Phase.SHUTTING_DOWN: 0.3,
}


def memory_bytes(guest: Guest) -> int:
    return int(guest.config.get("memory", "512").removeprefix("current=")) * 2**20


def cpus(guest: Guest) -> int:
    return int(guest.config.get("cores", "1")) * int(guest.config.get("sockets", "1"))


def figures(datacenter: Datacenter, guest: Guest) -> dict[str, t.Any]:
    """What lists, resources and the current status have in common."""
    process = datacenter.machines.of(guest)
    phase = datacenter.machines.copy(process).phase if process is not None else Phase.OFF
    maxdisk = max(
        (v.size_bytes for d in disks_of(guest.config).values() if (v := _volume(datacenter, guest, d))), default=0
    )
    row: dict[str, t.Any] = {
        "vmid": guest.vmid,
        "name": guest.name,
        "status": "stopped" if process is None else "running",
        "maxmem": memory_bytes(guest),
        "maxdisk": maxdisk,
        "mem": 0 if process is None else int(memory_bytes(guest) * 0.6),
        "memhost": 0 if process is None else int(memory_bytes(guest) * 0.7),
        "cpu": _LOAD[phase],
        "disk": 0,
        "uptime": 0 if process is None else datacenter.machines.uptime_s(process),
        "diskread": 0,
        "diskwrite": 0,
        "netin": 0,
        "netout": 0,
    }
    if process is not None:
        alive_s = _active_s(datacenter, process)
        row.update(netin=alive_s * 9000, netout=alive_s * 7000, diskread=alive_s * 40000, diskwrite=alive_s * 60000)
    for key in ("tags", "lock"):
        if key in guest.config:
            row[key] = guest.config[key]
    if guest.config.get("template") == "1":
        row["template"] = 1
    return row


def _active_s(datacenter: Datacenter, process: Process) -> int:
    """How long its counters ran: those of a dead guest stand still."""
    copy = datacenter.machines.copy(process)
    until_s = copy.phase_since_s if copy.phase in (Phase.HUNG, Phase.CRASHED) else datacenter.now_s()
    return max(0, int(until_s - process.started_at_s))


def list_row(datacenter: Datacenter, guest: Guest, *, is_full: bool) -> dict[str, t.Any]:
    row = {**figures(datacenter, guest), "cpus": cpus(guest)}
    process = datacenter.machines.of(guest)
    if process is not None:
        row["pid"] = process.pid
        row.update(_pressure())
    if is_full:
        row["qmpstatus"] = datacenter.machines.qmpstatus(guest)
    return row


def current(datacenter: Datacenter, guest: Guest) -> dict[str, t.Any]:
    """GET status/current. ``agent`` says only that it is enabled, never that it is alive."""
    row = {**list_row(datacenter, guest, is_full=True), "ha": datacenter.ha.status_of(guest.vmid)}
    if guest.has_agent:
        row["agent"] = 1
    process = datacenter.machines.of(guest)
    if process is not None:
        row.update({"running-machine": "pc-i440fx-10.1+pve0", "running-qemu": "10.1.2"})
        row["proxmox-support"] = {"pbs-dirty-bitmap": True, "query-bitmap-info": True, "pbs-library-version": "2.0.1"}
        if "balloon" not in guest.config or guest.config["balloon"] != "0":
            row["balloon"] = memory_bytes(guest)
    return row


def past(datacenter: Datacenter, guest: Guest, timeframe: str) -> list[dict[str, t.Any]]:
    """GET rrddata: flat from the moment at which the guest stopped doing anything."""
    step_s = _STEPS_S.get(timeframe, 60)
    now_s = int(datacenter.now_s()) // step_s * step_s
    process = datacenter.machines.of(guest)
    rows = []
    for number in range(_SAMPLES, 0, -1):
        at_s = now_s - (number - 1) * step_s
        row: dict[str, t.Any] = {
            "time": at_s,
            "maxcpu": cpus(guest),
            "maxmem": memory_bytes(guest),
            "maxdisk": 0,
            "disk": 0,
        }
        if process is not None and at_s >= process.started_at_s:
            row.update(_sample(datacenter, guest, process, at_s))
        rows.append(row)
    return rows


def _sample(datacenter: Datacenter, guest: Guest, process: Process, at_s: float) -> dict[str, t.Any]:
    copy = datacenter.machines.copy(process)
    is_still = copy.phase in (Phase.HUNG, Phase.CRASHED) and at_s >= copy.phase_since_s
    wave = 1.0 + (at_s // 60 % 7) / 20
    busy = 0.0 if is_still else wave
    return {
        "cpu": 0.12 * busy,
        "mem": memory_bytes(guest) * 0.6,
        "netin": 9000 * busy,
        "netout": 7000 * busy,
        "diskread": 40000 * busy,
        "diskwrite": 60000 * busy,
        **_pressure(),
    }


def _pressure() -> dict[str, float]:
    kinds = ("cpusome", "cpufull", "iosome", "iofull", "memorysome", "memoryfull")
    return {f"pressure{kind}": 0 for kind in kinds}


def _volume(datacenter: Datacenter, guest: Guest, volume_id: str) -> t.Any:
    return datacenter.shelf.volumes.get((guest.node, volume_id))
