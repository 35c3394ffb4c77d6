# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""API calls on the guest agent: it answers only where a live guest runs it."""

from __future__ import annotations

import typing as t

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.guests import NET, Guest, options_of
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import ROUTES, Call

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter

_AGENT = "/nodes/{node}/qemu/{vmid}/agent"
_AUDIT = ("VM.GuestAgent.Audit", "VM.GuestAgent.Unrestricted")
Answer: t.TypeAlias = "t.Callable[[Datacenter, Guest], t.Any]"


def _register(verb: str, command: str, answer: Answer, *privileges: str) -> None:
    def handler(datacenter: Datacenter, call: Call) -> dict[str, t.Any]:
        call.require_any(f"/vms/{call.vmid}", *privileges)
        guest = datacenter.guest(call.vmid, call.node)
        datacenter.machines.require_agent(guest)
        return {"result": answer(datacenter, guest)}

    ROUTES.add(verb, f"{_AGENT}/{command}")(handler)


def _os(datacenter: Datacenter, guest: Guest) -> dict[str, t.Any]:
    if guest.config.get("ostype", "").startswith("w"):
        return {
            "id": "mswindows",
            "name": "Microsoft Windows",
            "pretty-name": "Windows Server 2022 Standard",
            "version": "Microsoft Windows Server 2022",
            "version-id": "2022",
            "kernel-release": "20348",
            "kernel-version": "10.0",
            "machine": "x86_64",
            "variant": "server",
            "variant-id": "server",
        }
    return {
        "id": "debian",
        "name": "Debian GNU/Linux",
        "pretty-name": "Debian GNU/Linux 13 (trixie)",
        "version": "13 (trixie)",
        "version-id": "13",
        "kernel-release": "6.12.0-1-amd64",
        "kernel-version": "#1 SMP PREEMPT_DYNAMIC",
        "machine": "x86_64",
    }


def _interfaces(datacenter: Datacenter, guest: Guest) -> list[dict[str, t.Any]]:
    rows: list[dict[str, t.Any]] = [
        {
            "name": "lo",
            "hardware-address": "00:00:00:00:00:00",
            "ip-addresses": [{"ip-address": "127.0.0.1", "ip-address-type": "ipv4", "prefix": 8}],
        }
    ]
    address = datacenter.addresses.get(guest.vm, "")
    for number, key in enumerate(sorted(k for k in guest.config if NET.match(k))):
        mac = next((v for v in options_of(guest.config[key]).values() if v.count(":") == 5), "")
        shown = [{"ip-address": address, "ip-address-type": "ipv4", "prefix": 24}] if address and not number else []
        rows.append({"name": f"eth{number}", "hardware-address": mac.lower(), "ip-addresses": shown})
    return rows


def _filesystems(datacenter: Datacenter, guest: Guest) -> list[dict[str, t.Any]]:
    size = datacenter.shelf.sizes(guest.config, guest.node)
    is_windows = guest.config.get("ostype", "").startswith("w")
    return [
        {
            "name": "C:" if is_windows else "sda1",
            "mountpoint": "C:\\" if is_windows else "/",
            "type": "NTFS" if is_windows else "ext4",
            "total-bytes": size,
            "used-bytes": size // 2,
            "disk": [],
        }
    ]


def _info(datacenter: Datacenter, guest: Guest) -> dict[str, t.Any]:
    names = (
        "guest-ping guest-info guest-get-osinfo guest-network-get-interfaces guest-get-fsinfo guest-shutdown".split()
    )
    return {
        "version": "9.2.0",
        "supported_commands": [{"name": name, "enabled": True, "success-response": True} for name in names],
    }


_register("POST", "ping", lambda datacenter, guest: {}, *_AUDIT)
_register("GET", "info", _info, *_AUDIT)
_register("GET", "get-osinfo", _os, *_AUDIT)
_register("GET", "get-host-name", lambda datacenter, guest: {"host-name": guest.name}, *_AUDIT)
_register("GET", "get-time", lambda datacenter, guest: int(datacenter.now_s() * 1e9), *_AUDIT)
_register("GET", "get-timezone", lambda datacenter, guest: {"zone": "UTC", "offset": 0}, *_AUDIT)
_register("GET", "get-users", lambda datacenter, guest: [], *_AUDIT)
_register("GET", "network-get-interfaces", _interfaces, *_AUDIT)
_register("GET", "get-fsinfo", _filesystems, *_AUDIT)
_register("POST", "fsfreeze-status", lambda datacenter, guest: "thawed", *_AUDIT, "VM.GuestAgent.FileSystemMgmt")


@ROUTES.add("POST", f"{_AGENT}/shutdown")
def shutdown(datacenter: Datacenter, call: Call) -> dict[str, t.Any]:
    """Ask the guest itself; nobody waits for the end of it."""
    call.require_any(f"/vms/{call.vmid}", "VM.PowerMgmt", "VM.GuestAgent.Unrestricted")
    process = datacenter.machines.require_agent(datacenter.guest(call.vmid, call.node))
    datacenter.world.shutdown_asked(process.copy_id)
    return {"result": {}}
