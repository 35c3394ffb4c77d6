# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guest configurations as pmxcfs holds them: text by key, with digest, lock, pending changes and snapshots."""

from __future__ import annotations

import hashlib
import random
import re
import typing as t
import uuid
from dataclasses import dataclass, field
from urllib.parse import quote

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import PveError
from ansible_collections.ferragosto.dr.extensions.twin.world.model import Nic

Config: t.TypeAlias = "dict[str, str]"

DRIVE = re.compile(r"^(?:ide|sata|scsi|virtio|efidisk|tpmstate)\d+$")
UNUSED = re.compile(r"^unused\d+$")
NET = re.compile(r"^net\d+$")
_NUMBERS = frozenset(
    """acpi autostart balloon cores cpuunits freeze hugepages keephugepages kvm localtime migrate_downtime migrate_speed
    numa onboot protection reboot shares sockets tablet tdf template vcpus snaptime""".split()
)
_MODELS = ("virtio", "e1000", "e1000e", "rtl8139", "vmxnet3")


@dataclass(slots=True, kw_only=True)
class Snapshot:
    name: str
    taken_at_s: float
    config: Config
    description: str = ""
    parent: str = ""
    has_memory: bool = False


@dataclass(slots=True, kw_only=True)
class Guest:
    """One ``<vmid>.conf``, in the folder of one node."""

    vmid: int
    node: str
    vm: str  # the protected VM that the world knows it as a copy of
    config: Config
    pending: dict[str, str | None] = field(default_factory=dict)  # None: to be deleted
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    parent: str = ""  # the snapshot it stands on

    @property
    def name(self) -> str:
        return self.config.get("name", f"VM {self.vmid}")

    @property
    def lock(self) -> str:
        return self.config.get("lock", "")

    @property
    def digest(self) -> str:
        return hashlib.sha1(self.text().encode(), usedforsecurity=False).hexdigest()

    @property
    def path(self) -> str:
        return f"nodes/{self.node}/qemu-server/{self.vmid}.conf"

    @property
    def has_agent(self) -> bool:
        """Enabled in the configuration; it says nothing of an agent being alive."""
        first, rest = _split(self.config.get("agent", "0"))
        return (rest.get("enabled", first) or "0") in ("1", "on", "yes", "true")

    def text(self) -> str:
        """The file, as PVE writes it."""
        lines = [f"#{quote(line, safe=_PLAIN)}" for line in self.config.get("description", "").splitlines()]
        lines += [f"{key}: {value}" for key, value in sorted(self.config.items()) if key != "description"]
        if self.pending:
            lines += ["", "[PENDING]", *(f"{k}: {v}" for k, v in sorted(self.pending.items()) if v is not None)]
            gone = ",".join(k for k, v in sorted(self.pending.items()) if v is None)
            lines += [f"delete: {gone}"] if gone else []
        for snapshot in self.snapshots.values():
            lines += ["", f"[{snapshot.name}]", *(f"{k}: {v}" for k, v in sorted(snapshot.config.items()))]
        return "\n".join(lines) + "\n"

    def require_unlocked(self, *, but: str = "") -> None:
        if self.lock and self.lock != but:
            raise PveError(500, f"VM is locked ({self.lock})")

    def require_unprotected(self, attempt: str) -> None:
        if self.config.get("protection") == "1":
            raise PveError(500, f"{attempt} - protection mode enabled")

    def require_digest(self, digest: str | None) -> None:
        if digest and digest != self.digest:
            raise PveError(500, "detected modified configuration - file changed by other user? Try again.")

    def effective(self) -> Config:
        """With the pending changes: what the next start takes."""
        merged = {k: v for k, v in self.config.items() if k not in self.pending}
        merged.update({k: v for k, v in self.pending.items() if v is not None})
        return merged


_PLAIN = " !\"$&'()*,-./:;<=>?@[\\]^_`{|}~+"


def typed(config: t.Mapping[str, str]) -> dict[str, t.Any]:
    """The configuration as the API shows it: whole numbers where PVE's parser makes them."""
    return {key: int(value) if key in _NUMBERS and value.isdigit() else value for key, value in config.items()}


# --- property strings ------------------------------------------------------------------------------------------------


def _split(text: str) -> tuple[str, dict[str, str]]:
    """ "a,b=c" -> ("a", {"b": "c"})."""
    first, rest = "", {}
    for number, part in enumerate(p for p in text.split(",") if p):
        key, has_value, value = part.partition("=")
        if has_value:
            rest[key.strip()] = value.strip()
        elif number == 0:
            first = key.strip()
    return first, rest


def volume_of(drive: str) -> str:
    """The volume id of a drive: "local-zfs:vm-100-disk-0,size=8G" -> "local-zfs:vm-100-disk-0"."""
    first, rest = _split(drive)
    return first or rest.get("file", "")


def options_of(drive: str) -> dict[str, str]:
    return _split(drive)[1]


def drive_text(volume: str, options: t.Mapping[str, str]) -> str:
    return ",".join([volume, *(f"{k}={v}" for k, v in options.items() if k != "file")])


def is_cdrom(drive: str) -> bool:
    return options_of(drive).get("media") == "cdrom" or volume_of(drive) in ("none", "cdrom")


def disks_of(config: t.Mapping[str, str], *, with_unused: bool = False) -> dict[str, str]:
    """Drive key -> volume id, without CD-ROMs."""
    return {
        key: volume_of(value)
        for key, value in sorted(config.items())
        if (DRIVE.match(key) or (with_unused and UNUSED.match(key))) and not is_cdrom(value)
    }


def nics_of(config: t.Mapping[str, str]) -> tuple[Nic, ...]:
    found = []
    for key, value in sorted(config.items()):
        if NET.match(key):
            options = options_of(value)
            is_connected = bool(options.get("bridge")) and options.get("link_down") not in ("1", "on", "yes", "true")
            found.append(Nic(key, options.get("bridge", ""), is_connected))
    return tuple(found)


def with_mac(net: str, *, is_new: bool = False) -> str:
    """A net string with a hardware address in it: its own, or a new one."""
    first, rest = _split(net)
    model = next((m for m in rest if m in _MODELS), "")
    if not model:
        model = rest.pop("model", "") or first or "virtio"
        mac = rest.pop("macaddr", "")
    else:
        mac = rest.pop(model)
    if is_new or not mac:
        mac = new_mac()
    return ",".join([f"{model}={mac.upper()}", *(f"{k}={v}" for k, v in rest.items())])


def new_mac() -> str:
    return "BC:24:11:" + ":".join(f"{random.randrange(256):02X}" for dummy in range(3))


def new_uuid() -> str:
    return str(uuid.uuid4())


def size_bytes(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)", text.strip())
    if match is None:
        raise PveError(400, "Parameter verification failed.", {"size": f"unable to parse size '{text}'"})
    return int(float(match.group(1)) * 1024 ** " KMGT".index(match.group(2) or " "))


def size_text(size: int) -> str:
    for power, unit in ((4, "T"), (3, "G"), (2, "M"), (1, "K")):
        if size and size % 1024**power == 0:
            return f"{size // 1024**power}{unit}"
    return str(size)
