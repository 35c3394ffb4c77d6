# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""API calls on guests: list, configuration, making and destroying, status, console."""

from __future__ import annotations

import typing as t

from ansible_collections.ferragosto.dr.extensions.twin.proxmox import figures, lifecycle, options, restoring
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.guests import Guest, typed
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.tasks import Body, Task
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import ROUTES, Call, PveError

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter

_LIST, _ONE = "/nodes/{node}/qemu", "/nodes/{node}/qemu/{vmid}"


@ROUTES.add("GET", _LIST)
def list_guests(datacenter: Datacenter, call: Call) -> list[dict[str, t.Any]]:
    """Those that the caller may audit: no right on any guest is an empty list, not an error."""
    return [
        figures.list_row(datacenter, guest, is_full=call.flag("full"))
        for guest in sorted(datacenter.guests.values(), key=lambda g: g.vmid)
        if guest.node == call.node and call.may(f"/vms/{guest.vmid}", "VM.Audit")
    ]


@ROUTES.add("GET", "/nodes/{node}/lxc")
def list_containers(datacenter: Datacenter, call: Call) -> list[dict[str, t.Any]]:
    return []


@ROUTES.add("POST", _LIST)
def create(datacenter: Datacenter, call: Call) -> str:
    vmid = call.params.get("vmid")
    if vmid is None or not str(vmid).isdecimal() or int(vmid) < 100:
        why = (
            "property is missing and it is not optional"
            if vmid is None
            else "invalid format - value does not look like a valid VM ID"
        )
        raise PveError(400, "Parameter verification failed.", {"vmid": why})
    if "archive" in call.params:
        return restoring.restore(datacenter, call)
    return lifecycle.create(datacenter, call)


@ROUTES.add("GET", _ONE)
def index(datacenter: Datacenter, call: Call) -> list[dict[str, str]]:
    words = "config pending clone migrate snapshot status agent rrddata vncproxy feature".split()
    return [{"subdir": word} for word in words]


@ROUTES.add("DELETE", _ONE)
def destroy(datacenter: Datacenter, call: Call) -> str:
    return lifecycle.destroy(datacenter, call)


@ROUTES.add("GET", f"{_ONE}/config")
def read_config(datacenter: Datacenter, call: Call) -> dict[str, t.Any]:
    call.require(f"/vms/{call.vmid}", "VM.Audit")
    guest = datacenter.guest(call.vmid, call.node)
    name = call.params.get("snapshot")
    if name is not None:
        if name not in guest.snapshots:
            raise PveError(500, f"snapshot '{name}' does not exist")
        shown: t.Mapping[str, str] = guest.snapshots[str(name)].config
    else:
        shown = guest.config if call.flag("current") else guest.effective()
    row = typed(shown)
    if guest.parent and name is None:
        row["parent"] = guest.parent
    return {**row, "digest": guest.digest}


@ROUTES.add("PUT", f"{_ONE}/config")
def write_config(datacenter: Datacenter, call: Call) -> None:
    """Synchronous: no task, no UPID."""
    guest = _changeable(datacenter, call)
    options.change(datacenter, guest, call)


@ROUTES.add("POST", f"{_ONE}/config")
def write_config_later(datacenter: Datacenter, call: Call) -> str:
    guest = _changeable(datacenter, call)
    options.require_rights(call, guest.vmid, options.given(call), options.deleted(call))

    def body(task: Task) -> Body:
        yield datacenter.timing.config_s
        options.change(datacenter, guest, call)
        return 0

    return datacenter.tasks.start(call.node, "qmconfig", guest.vmid, body, call)


def _changeable(datacenter: Datacenter, call: Call) -> Guest:
    words = "Disk CDROM CPU Memory Network HWType Options Cloudinit".split()
    call.require_any(f"/vms/{call.vmid}", *(f"VM.Config.{word}" for word in words))
    return datacenter.guest(call.vmid, call.node)


@ROUTES.add("GET", f"{_ONE}/pending")
def pending(datacenter: Datacenter, call: Call) -> list[dict[str, t.Any]]:
    call.require(f"/vms/{call.vmid}", "VM.Audit")
    guest = datacenter.guest(call.vmid, call.node)
    now, rows = typed(guest.config), []
    for key in sorted({*guest.config, *guest.pending}):
        row: dict[str, t.Any] = {"key": key}
        if key in now:
            row["value"] = now[key]
        if key in guest.pending:
            value = guest.pending[key]
            row.update({"delete": 1} if value is None else {"pending": value})
        rows.append(row)
    return [*rows, {"key": "digest", "value": guest.digest}]


@ROUTES.add("GET", f"{_ONE}/status")
def status_index(datacenter: Datacenter, call: Call) -> list[dict[str, str]]:
    datacenter.guest(call.vmid, call.node)
    return [
        {"subdir": word} for word in ("current", "start", "stop", "reset", "shutdown", "suspend", "reboot", "resume")
    ]


@ROUTES.add("GET", f"{_ONE}/status/current")
def current(datacenter: Datacenter, call: Call) -> dict[str, t.Any]:
    call.require(f"/vms/{call.vmid}", "VM.Audit")
    return figures.current(datacenter, datacenter.guest(call.vmid, call.node))


@ROUTES.add("GET", f"{_ONE}/rrddata")
def past_figures(datacenter: Datacenter, call: Call) -> list[dict[str, t.Any]]:
    call.require(f"/vms/{call.vmid}", "VM.Audit")
    return figures.past(datacenter, datacenter.guest(call.vmid, call.node), str(call.params.get("timeframe", "hour")))


@ROUTES.add("GET", f"{_ONE}/feature")
def feature(datacenter: Datacenter, call: Call) -> dict[str, t.Any]:
    call.require(f"/vms/{call.vmid}", "VM.Audit")
    guest = datacenter.guest(call.vmid, call.node)
    is_template, wanted = guest.config.get("template") == "1", call.params.get("feature")
    has = {"clone": is_template, "copy": "snapname" not in call.params, "snapshot": not is_template}
    nodes = sorted(datacenter.nodes)
    return {"hasFeature": int(has.get(str(wanted), False)), "nodes": nodes}


@ROUTES.add("POST", f"{_ONE}/template")
def make_template(datacenter: Datacenter, call: Call) -> str:
    call.require(f"/vms/{call.vmid}", "VM.Allocate")
    guest = datacenter.guest(call.vmid, call.node)
    guest.require_unlocked()
    if guest.snapshots:
        raise PveError(500, "unable to create template, because VM contains snapshots")
    if datacenter.machines.of(guest) is not None:
        raise PveError(500, "you can't convert a VM to template if VM is running")
    datacenter.require_writable(call.node, guest)

    def body(task: Task) -> Body:
        yield datacenter.timing.config_s
        guest.config["template"] = "1"
        return 0

    return datacenter.tasks.start(call.node, "qmtemplate", guest.vmid, body, call)


@ROUTES.add("POST", f"{_ONE}/monitor")
def monitor(datacenter: Datacenter, call: Call) -> str:
    call.require_any(f"/vms/{call.vmid}", "Sys.Audit", "Sys.Modify")
    command = str(call.params.get("command", ""))
    if command.split(" ", maxsplit=1)[0] not in ("info", "help", "?") and (call.user != "root@pam" or call.token_id):
        raise PveError(500, f"root-only command '{command.split(' ', maxsplit=1)[0]}'")
    datacenter.machines.required(datacenter.guest(call.vmid, call.node))
    return ""


@ROUTES.add("POST", f"{_ONE}/vncproxy", is_proxied=False)
def vncproxy(datacenter: Datacenter, call: Call) -> dict[str, t.Any]:
    """Open a console that waits for its websocket; the door serves it."""
    call.require(f"/vms/{call.vmid}", "VM.Console")
    console = datacenter.consoles.proxy(datacenter.guest(call.vmid, call.args["node"]), call)
    return {
        "user": call.user if not call.token_id else f"{call.user}!{call.token_id}",
        # the first eight characters are the VNC password, for clients that take the ticket for it
        "ticket": f"{console.password}:{console.ticket}",
        "password": console.password,
        "port": str(console.port),
        "upid": console.upid,
        "cert": "",
    }
