# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which of a VM's settings go to the copy that takes its place, and which cannot or must not.

A copy keeps what the guest and its licences see: processor, memory, firmware, machine, the kind of each disk and NIC with its
MAC address, the SMBIOS data. Its generation id is a new one, which is how a directory server learns that it was rolled back.
"""

from __future__ import annotations

import re
import typing as t
from collections.abc import Mapping

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import keepsake, tags, wire
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.keepsake import Keepsake

Config: t.TypeAlias = Mapping[str, t.Any]

_DISK = re.compile(r"(ide|sata|scsi|virtio)\d+|efidisk0|tpmstate0")
_NET = re.compile(r"net\d+")
# Of one VM at one moment, or bound to its node: what a running VM adds, other snapshots, devices of the host, and what only
# root@pam may set.
_LEFT_BEHIND = re.compile(
    r"digest|meta|vmgenid|lock|parent|snaptime|snapstate|vmstate|runningmachine|runningcpu|running-nets-host-mtu|vmstatestorage|"
    r"unused\d+|template|name|tags|description|onboot|startup|protection|hookscript|args|"
    r"hostpci\d+|parallel\d+|virtiofs\d+|ivshmem|cipassword|force|freeze|autostart|lxc.*"
)
_HOST_DEVICE = re.compile(r"(usb|serial)\d+")


def shell_config(config: Config) -> dict[str, str]:
    """Return what a shell VM over the same disks is created with: no NIC, so that it could reach nobody even if started."""
    kept: dict[str, str] = {}
    for key, value in config.items():
        text = str(value)
        if _LEFT_BEHIND.fullmatch(key) or _NET.fullmatch(key) or _is_host_device(key, text):
            continue
        kept[key] = _drive(text) if _DISK.fullmatch(key) else text
    return kept


def copy_config(config: Config) -> dict[str, str]:
    """Return the settings by which a copy is told from any VM: the original's name and SMBIOS data."""
    return {key: str(config[key]) for key in ("name", "smbios1") if config.get(key)}


def left_behind(config: Config) -> tuple[str, ...]:
    """Return the settings that a person may miss on the copy."""
    missed = re.compile(r"args|hookscript|hostpci\d+|parallel\d+|virtiofs\d+|ivshmem")
    return tuple(key for key, value in config.items() if missed.fullmatch(key) or _is_host_device(key, str(value)))


def size_bytes(config: Config) -> int:
    """Return the size of all disks: a full copy reads and writes no less."""
    return sum(disk.size_bytes for disk in wire.disks_of(config))


def obstacles(config: Config) -> tuple[str, ...]:
    """Return why the replica's disks are not the whole VM."""
    found = [f"disk {d.key} is not replicated (replicate=0)" for d in wire.disks_of(config) if not d.is_replicated]
    if not wire.disks_of(config):
        found.append("it has no disk")
    return tuple(found)


def identity(
    sheet_config: Config, original: Config, kept: Keepsake, *, run_id: str, phase: str, mode: str, point: str
) -> dict[str, t.Any]:
    """Return the one write that makes a fresh copy the original's stand-in, off the network and not starting by itself."""
    was = keepsake.untouched(original)
    marked = tags.with_stamps(
        ";".join(tags.foreign_tags(was.get("tags"))),
        {stamps.RUN: run_id, stamps.PHASE: phase, stamps.MODE: mode, stamps.POINT: point},
    )
    plain = {**sheet_config, "description": was.get("description", "")}
    return {
        **copy_config(was),
        **keepsake.linked(kept.nets, is_up=False),
        **{key: "" for key in keepsake.nets_of(sheet_config) if key not in kept.nets},
        "tags": marked,
        "description": keepsake.written(plain, kept),
        "onboot": "",
        "protection": "",
    }


def _drive(text: str) -> str:
    """Return a disk's line as it is; a drive for media comes without its medium, which may not be on this node."""
    options = wire.Options.parse(text)
    if options.get("media") != "cdrom":
        return text
    volume = options.pairs[0][0]
    if re.search(r"(vm-\d+-cloudinit|:cloudinit)", volume):
        return f"{volume.partition(':')[0]}:cloudinit"
    return "none,media=cdrom"


def _is_host_device(key: str, text: str) -> bool:
    """A USB device or a serial port of the old node is not there on the new one; spice and socket are QEMU's own."""
    return bool(_HOST_DEVICE.fullmatch(key)) and "spice" not in text and "socket" not in text
