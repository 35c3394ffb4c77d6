# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of a guest's configuration: which privilege each one needs, and how a change of it takes effect."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.ferragosto.dr.extensions.twin.proxmox import drives
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.guests import (
    DRIVE,
    NET,
    UNUSED,
    Config,
    Guest,
    is_cdrom,
    new_uuid,
    options_of,
    volume_of,
    with_mac,
)
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import Call, PveError

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter

# Parameters of the calls that are no options.
_CONTROL = frozenset(
    """archive background_delay bwlimit delete digest force ha-managed import-working-storage live-restore node pool revert
    skiplock start storage unique vmid""".split()
)
_CPU = frozenset("affinity cores cpu cpulimit cpuunits numa smp sockets vcpus".split())
_MEMORY = frozenset("balloon hugepages memory shares".split())
_HARDWARE = frozenset(
    "acpi audio0 hotplug ivshmem kvm machine rng0 scsihw smbios1 spice_enhancements tablet vga watchdog vmgenid".split()
)
_ROOT_ONLY = frozenset(("args", "hookscript", "lock"))
_NUMA, _CLOUD = re.compile(r"^numa\d+$"), re.compile(r"^(?:ci\w+|ipconfig\d+|nameserver|searchdomain|sshkeys)$")
# A running guest takes these at once; everything else waits for its next start.
_AT_ONCE = frozenset(
    """autostart description hookscript lock migrate_downtime migrate_speed name onboot protection shares startup tags
    vmstatestorage""".split()
)


def given(call: Call) -> Config:
    """The options among a call's parameters, as text."""
    return {key: _text(value) for key, value in call.params.items() if key not in _CONTROL}


def deleted(call: Call) -> list[str]:
    return [key for key in re.split(r"[,; \0]+", str(call.params.get("delete", ""))) if key]


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def require_rights(call: Call, vmid: int, options: t.Mapping[str, str], gone: t.Iterable[str] = ()) -> None:
    """Raise 403 unless the caller may set and delete these options."""
    path = f"/vms/{vmid}"
    for key in [*options, *gone]:
        value = options.get(key, "")
        if key in _ROOT_ONLY:
            if call.user != "root@pam" or call.token_id:
                raise PveError(500, f"only root can set '{key}' config")
        elif NET.match(key):
            call.require(path, "VM.Config.Network")
            if bridge := options_of(value).get("bridge"):
                call.require(f"/sdn/zones/localnetwork/{bridge}", "SDN.Use")
        elif DRIVE.match(key) or UNUSED.match(key):
            call.require(path, "VM.Config.CDROM" if value and is_cdrom(value) else "VM.Config.Disk")
        elif key in _CPU or _NUMA.match(key):
            call.require(path, "VM.Config.CPU")
        elif key in _MEMORY:
            call.require(path, "VM.Config.Memory")
        elif key in _HARDWARE:
            call.require(path, "VM.Config.HWType")
        elif key == "freeze":
            call.require(path, "VM.PowerMgmt")
        elif _CLOUD.match(key):
            call.require_any(path, "VM.Config.Cloudinit", "VM.Config.Network")
        else:
            call.require(path, "VM.Config.Options")


def normal(key: str, value: str, old: str = "") -> str:
    """An option's value as PVE writes it down."""
    if NET.match(key):
        return with_mac(value)
    if key == "tags":
        return ";".join(sorted({tag.lower() for tag in re.split(r"[,; ]+", value) if tag}))
    if key == "vmgenid" and value == "1":
        return new_uuid()
    if key == "description":
        return value.rstrip()
    return value


def change(datacenter: Datacenter, guest: Guest, call: Call) -> None:
    """Carry out a config PUT: all of it, or nothing."""
    options, gone = given(call), deleted(call)
    require_rights(call, guest.vmid, options, gone)
    datacenter.require_writable(call.node, guest)
    guest.require_digest(call.params.get("digest"))
    if not call.flag("skiplock"):
        guest.require_unlocked()
    for key in options:
        if key in gone:
            raise PveError(
                400,
                "Parameter verification failed.",
                {key: f"You can't use '-{key}' and -delete {key}' at the same time"},
            )
    if any(DRIVE.match(key) for key in gone):
        guest.require_unprotected(f"can't remove drive of VM {guest.vmid}")
    is_running = datacenter.machines.of(guest) is not None
    settled = {
        key: drives.settle(datacenter, guest, key, value, call) if DRIVE.match(key) else normal(key, value)
        for key, value in options.items()
    }
    for key in gone:
        _delete(guest, key, is_running=is_running)
    for key, value in settled.items():
        guest.pending.pop(key, None)
        if key in ("tags", "description") and not value:
            guest.config.pop(key, None)
        elif is_running and not is_at_once(key) and guest.config.get(key) != value:
            guest.pending[key] = value
        else:
            _release_old(guest, key, value)
            guest.config[key] = value
    for key in re.split(r"[,; ]+", str(call.params.get("revert", ""))):
        guest.pending.pop(key, None)
    datacenter.machines.plug(guest)


def is_at_once(key: str) -> bool:
    return key in _AT_ONCE or bool(NET.match(key) or DRIVE.match(key) or UNUSED.match(key))


def _delete(guest: Guest, key: str, *, is_running: bool) -> None:
    guest.pending.pop(key, None)
    if key not in guest.config:
        return
    if is_running and not is_at_once(key):
        guest.pending[key] = None
        return
    value = guest.config.pop(key)
    if DRIVE.match(key) and not is_cdrom(value):
        guest.config[next_unused(guest.config)] = volume_of(value)


def _release_old(guest: Guest, key: str, value: str) -> None:
    """A drive that gives way to another becomes an unused one; one that is named again is unused no more."""
    if not DRIVE.match(key):
        return
    old = guest.config.get(key, "")
    if old and not is_cdrom(old) and volume_of(old) != volume_of(value):
        guest.config[next_unused(guest.config)] = volume_of(old)
    for unused in [k for k, v in guest.config.items() if UNUSED.match(k) and volume_of(v) == volume_of(value)]:
        del guest.config[unused]


def next_unused(config: t.Mapping[str, str]) -> str:
    number = 0
    while f"unused{number}" in config:
        number += 1
    return f"unused{number}"
