# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""API calls on a guest's power: start, stop, shutdown, reboot, reset, suspend, resume."""

from __future__ import annotations

import typing as t
from collections.abc import Generator

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.guests import Guest
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.machines import Process
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.tasks import Body, Task, TaskFailed, waiting
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import ROUTES, Call, PveError

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter

_STATUS = "/nodes/{node}/qemu/{vmid}/status"


def _guest(datacenter: Datacenter, call: Call) -> Guest:
    call.require(f"/vms/{call.vmid}", "VM.PowerMgmt")
    return datacenter.guest(call.vmid, call.node)


def _require_unlocked(guest: Guest, call: Call) -> None:
    if not call.flag("skiplock"):
        guest.require_unlocked()


@ROUTES.add("POST", f"{_STATUS}/start")
def start(datacenter: Datacenter, call: Call) -> str:
    """Without quorum it is refused at once; all else that may be wrong is the task's exit status."""
    guest = _guest(datacenter, call)
    datacenter.require_quorum(call.node)
    if datacenter.ha.manages(guest.vmid):
        return datacenter.ha.request(guest, "started", "hastart", call)

    def body(task: Task) -> Body:
        _require_unlocked(guest, call)
        if datacenter.machines.of(guest) is not None:
            raise TaskFailed(f"VM {guest.vmid} already running")
        if guest.config.get("template") == "1":
            raise TaskFailed("you can't start a vm if it's a template")
        yield datacenter.timing.start_s
        datacenter.machines.start(datacenter.guest(guest.vmid, call.node))
        return 0

    return datacenter.tasks.start(call.node, "qmstart", guest.vmid, body, call)


@ROUTES.add("POST", f"{_STATUS}/stop")
def stop(datacenter: Datacenter, call: Call) -> str:
    guest = _guest(datacenter, call)
    if datacenter.ha.manages(guest.vmid):
        return datacenter.ha.request(guest, "stopped", "hastop", call)
    if call.flag("overrule-shutdown"):
        for other in datacenter.tasks.on(call.node):
            if other.kind == "qmshutdown" and other.id == str(guest.vmid):
                datacenter.tasks.kill(other)

    def body(task: Task) -> Body:
        _require_unlocked(guest, call)
        process = datacenter.machines.of(guest)
        if process is not None:
            yield datacenter.timing.stop_s
            datacenter.machines.stop(process)
        return 0

    return datacenter.tasks.start(call.node, "qmstop", guest.vmid, body, call)


@ROUTES.add("POST", f"{_STATUS}/shutdown")
def shutdown(datacenter: Datacenter, call: Call) -> str:
    guest = _guest(datacenter, call)
    process, is_forced = datacenter.machines.of(guest), call.flag("forceStop")
    is_paused = process is not None and process.qmpstatus == "paused"
    if is_paused and not is_forced:
        raise PveError(500, "VM is paused - cannot shutdown")
    if datacenter.ha.manages(guest.vmid):
        return datacenter.ha.request(guest, "stopped", "hastop", call)
    within_s = float(call.params.get("timeout") or datacenter.timing.shutdown_timeout_s)

    def body(task: Task) -> Body:
        _require_unlocked(guest, call)
        process = datacenter.machines.of(guest)
        if process is not None and is_paused:
            yield datacenter.timing.stop_s
            datacenter.machines.stop(process)
        elif process is not None:
            yield from shutting_down(datacenter, task, guest, process, within_s, is_forced=is_forced)
        return 0

    return datacenter.tasks.start(call.node, "qmshutdown", guest.vmid, body, call)


def shutting_down(
    datacenter: Datacenter, task: Task, guest: Guest, process: Process, within_s: float, *, is_forced: bool
) -> Generator[float, None, None]:
    """Ask by the agent if it answers a ping, else by the power button; a dead guest hears neither."""
    machines = datacenter.machines
    by_agent = guest.has_agent and machines.agent_answers(process)
    if guest.has_agent and not by_agent:
        yield datacenter.timing.agent_timeout_s
        failed = f"VM {guest.vmid} qga command 'guest-ping' failed - got timeout"
        task.say(f"QEMU Guest Agent is not running - {failed}")
    datacenter.world.shutdown_asked(process.copy_id, by_power_button=not by_agent)
    is_gone = yield from waiting(
        lambda: machines.running.get((process.node, process.vmid)) is not process, within_s, datacenter.now_s
    )
    if is_gone:
        return
    if not is_forced:
        raise TaskFailed("VM quit/powerdown failed - got timeout")
    task.say("VM still running - terminating now with SIGTERM")
    yield datacenter.timing.stop_s
    machines.stop(process)


@ROUTES.add("POST", f"{_STATUS}/reboot")
def reboot(datacenter: Datacenter, call: Call) -> str:
    """Shut down and start again: a new QEMU process, so that pending changes take effect."""
    guest = _guest(datacenter, call)
    within_s = float(call.params.get("timeout") or datacenter.timing.shutdown_timeout_s)
    process = datacenter.machines.required(guest)
    if process.qmpstatus == "paused":
        raise PveError(500, "VM is paused - cannot shutdown")

    def body(task: Task) -> Body:
        guest.require_unlocked()
        yield from shutting_down(datacenter, task, guest, process, within_s, is_forced=False)
        yield datacenter.timing.start_s
        datacenter.machines.start(datacenter.guest(guest.vmid, call.node))
        return 0

    return datacenter.tasks.start(call.node, "qmreboot", guest.vmid, body, call)


@ROUTES.add("POST", f"{_STATUS}/reset")
def reset(datacenter: Datacenter, call: Call) -> str:
    guest = _guest(datacenter, call)
    datacenter.machines.required(guest)

    def body(task: Task) -> Body:
        _require_unlocked(guest, call)
        yield datacenter.timing.stop_s
        datacenter.machines.reset(datacenter.machines.required(guest))
        return 0

    return datacenter.tasks.start(call.node, "qmreset", guest.vmid, body, call)


@ROUTES.add("POST", f"{_STATUS}/suspend")
def suspend(datacenter: Datacenter, call: Call) -> str:
    guest = _guest(datacenter, call)
    datacenter.machines.required(guest)
    to_disk = call.flag("todisk")

    def body(task: Task) -> Body:
        _require_unlocked(guest, call)
        process = datacenter.machines.required(guest)
        yield datacenter.timing.stop_s
        if to_disk:
            guest.config["lock"] = "suspended"
            datacenter.machines.stop(process)
        else:
            datacenter.machines.pause(process)
        return 0

    return datacenter.tasks.start(call.node, "qmsuspend", guest.vmid, body, call)


@ROUTES.add("POST", f"{_STATUS}/resume")
def resume(datacenter: Datacenter, call: Call) -> str:
    guest = _guest(datacenter, call)
    if guest.lock != "suspended":
        datacenter.machines.required(guest)

    def body(task: Task) -> Body:
        guest.require_unlocked(but="suspended")
        yield datacenter.timing.stop_s
        if guest.config.pop("lock", "") == "suspended":
            datacenter.machines.start(guest)
        else:
            datacenter.machines.resume(datacenter.machines.required(guest))
        return 0

    return datacenter.tasks.start(call.node, "qmresume", guest.vmid, body, call)
