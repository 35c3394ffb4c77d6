# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Proxmox VE's words end here: rows and configuration lines become the core's model, and numbers that come as text numbers."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import (
    Connection,
    Datastore,
    Guest,
    Heartbeat,
    Host,
    Nic,
    Power,
    Tools,
    Vm,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import tags

Row: t.TypeAlias = Mapping[str, t.Any]

POWER = {"running": Power.ON, "stopped": Power.OFF, "paused": Power.ON, "suspended": Power.SUSPENDED}
# What QEMU says of itself, where it is more than running.
STUCK = {
    "io-error": "QEMU stopped it on an I/O error: a disk or its storage failed or is full",
    "internal-error": "QEMU stopped it on an internal error",
    "watchdog": "its watchdog stopped it",
}
CRASHED = frozenset({"guest-panicked", "internal-error"})
PRESSURES = {"pressurecpufull": "CPU", "pressureiofull": "its disks", "pressurememoryfull": "memory"}
PRESSED_PERCENT = 40.0
HA_AT_REST = "ignored"  # HA neither starts, stops nor moves it
UNREAD = Nic(key="unread", label="not read", network="", mac="", is_connected=True, starts_connected=True)

_NIC_KEY = re.compile(r"net\d+")
_DISK_KEY = re.compile(r"(?:ide|sata|scsi|virtio)\d+|efidisk0|tpmstate0")
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40, "P": 2**50}


# --- coercions -------------------------------------------------------------------------------------------------------


def whole(value: object, otherwise: int = 0) -> int:
    """Return an integer that may come as number, text or truth: Proxmox VE does not keep to one of them."""
    if value.__class__ is int:  # nearly always, and a fleet scan asks some hundred thousand times
        return value
    try:
        return int(float(t.cast("t.Any", value)))
    except (TypeError, ValueError):
        return otherwise


def number(value: object, otherwise: float = 0.0) -> float:
    try:
        return float(t.cast("t.Any", value))
    except (TypeError, ValueError):
        return otherwise


def truth(value: object) -> bool:
    return str(value).lower() in ("1", "true", "yes", "on")


def rows_of(value: object) -> list[Row]:
    """Return the rows of an answer; null and surprises are none."""
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def size_bytes(text: object) -> int:
    """Return what "32G", "528K" or "4194304" means in bytes; 0 when it cannot be read."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGTP]?)", str(text or ""))
    return int(float(found[1]) * _UNITS[found[2]]) if found else 0


# --- property strings ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Options:
    """``virtio=BC:24:…,bridge=vmbr0,firewall=1``: what comes first, then options; order and what is unknown are kept."""

    pairs: tuple[tuple[str, str | None], ...]

    @classmethod
    def parse(cls, text: str) -> Options:
        pairs = []
        for word in text.split(","):
            key, equals, value = word.partition("=")
            pairs.append((key, value if equals else None))
        return cls(tuple(pairs))

    def __str__(self) -> str:
        return ",".join(key if value is None else f"{key}={value}" for key, value in self.pairs)

    def get(self, key: str) -> str | None:
        return next((value for name, value in self.pairs if name == key), None)

    def put(self, key: str, value: str | None) -> Options:
        """Return it with one option set where it stood, or at the end; None takes it off."""
        if value is None:
            return Options(tuple(pair for pair in self.pairs if pair[0] != key))
        if any(name == key for name, value_now in self.pairs):
            return Options(tuple((name, value if name == key else now) for name, now in self.pairs))
        return Options((*self.pairs, (key, value)))


@dataclass(frozen=True, slots=True)
class Net:
    """One netN line."""

    key: str
    options: Options

    @property
    def mac(self) -> str:
        """The MAC stands behind the model (virtio=BC:…), in old configurations behind macaddr."""
        return self.options.get("macaddr") or (self.options.pairs[0][1] or "")

    @property
    def network(self) -> str:
        bridge, tag = self.options.get("bridge"), self.options.get("tag")
        if not bridge:
            return "user-mode network"
        return f"{bridge}.{tag}" if tag else bridge

    @property
    def is_down(self) -> bool:
        return truth(self.options.get("link_down"))

    def plugged(self, *, is_connected: bool) -> Net:
        """Return it with its link up or down; a link that is up has no such option, as the web interface writes it."""
        return replace(self, options=self.options.put("link_down", None if is_connected else "1"))

    def on(self, network: str) -> Net:
        """Return it on another network: a bridge or VNet, with a VLAN as in "vmbr0.10"."""
        bridge, dot, tag = network.partition(".")
        return replace(self, options=self.options.put("bridge", bridge).put("tag", tag if dot else None))

    def __str__(self) -> str:
        return str(self.options)


@dataclass(frozen=True, slots=True)
class Disk:
    """One disk line that names a volume of a storage."""

    key: str
    volume: str  # "tank:vm-100-disk-0"
    options: Options

    @property
    def storage(self) -> str:
        return self.volume.partition(":")[0]

    @property
    def size_bytes(self) -> int:
        return size_bytes(self.options.get("size"))

    @property
    def is_replicated(self) -> bool:
        replicate = self.options.get("replicate")
        return replicate is None or truth(replicate)

    @property
    def owner(self) -> int:
        """Return the id of the VM that the volume's name belongs to, 0 when it tells none."""
        found = re.search(r"(?:vm|base)-(\d+)-", self.volume)
        return int(found[1]) if found else 0


def nets_of(config: Row) -> tuple[Net, ...]:
    keys = sorted((key for key in config if _NIC_KEY.fullmatch(key)), key=lambda key: int(key[3:]))
    return tuple(Net(key, Options.parse(str(config[key]))) for key in keys)


def disks_of(config: Row) -> tuple[Disk, ...]:
    """Return the disks with a volume; drives for media and disks that are not attached are none."""
    found = []
    for key in config:
        if not _DISK_KEY.fullmatch(key):
            continue
        options = Options.parse(str(config[key]))
        volume = options.pairs[0][0] if options.pairs[0][1] is None else options.get("file") or ""
        if ":" in volume and options.get("media") != "cdrom":
            found.append(Disk(key, volume, options))
    return tuple(found)


# --- the model -------------------------------------------------------------------------------------------------------


def to_nic(net: Net) -> Nic:
    return Nic(
        key=net.key,
        label=net.key,
        network=net.network,
        mac=net.mac.lower(),
        is_connected=not net.is_down,
        starts_connected=not net.is_down,
    )


def to_host(node: str, rows: Iterable[Row], *, is_online: bool) -> Host:
    """``rows`` are the cluster's resources."""
    own = next((r for r in rows if r.get("type") == "node" and r.get("node") == node), {})
    stores = [r for r in rows if r.get("type") == "storage" and r.get("node") == node]
    is_seen = is_online and own.get("status") != "offline"
    return Host(
        name=node,
        connection=Connection.CONNECTED if is_seen else Connection.DISCONNECTED,
        is_in_maintenance=own.get("hastate") == "maintenance",
        memory_bytes=whole(own.get("maxmem")),
        memory_used_bytes=whole(own.get("mem")),
        cpu_count=whole(own.get("maxcpu")),
        cpu_used_share=min(1.0, max(0.0, number(own.get("cpu")))),
        # Of a node that is gone the cluster tells that its storages are too: that is no trouble of the storages
        datastores=tuple(to_datastore(row, is_known=is_seen) for row in stores),
    )


def to_datastore(row: Row, *, is_known: bool = True) -> Datastore:
    capacity, used = whole(row.get("maxdisk")), whole(row.get("disk"))
    return Datastore(
        name=str(row.get("storage") or ""),
        free_bytes=max(0, capacity - used),
        capacity_bytes=capacity,
        is_accessible=not is_known or row.get("status") in ("available", None),
    )


def to_vm(row: Row, *, is_online: bool) -> Vm:
    """Return a VM as the bulk read shows it: without NICs and guest, so one that is on counts as connected."""
    power = POWER.get(str(row.get("status")), Power.UNKNOWN) if is_online else Power.UNKNOWN
    vmid = str(row.get("vmid") or "")
    return Vm(
        id=vmid,
        handle=vmid,
        name=str(row.get("name") or ""),
        host=str(row.get("node") or ""),
        power=power,
        connection=Connection.CONNECTED if is_online else Connection.DISCONNECTED,
        nics=(UNREAD,) if power is Power.ON else (),
        memory_bytes=whole(row.get("maxmem")),
        cpu_count=whole(row.get("maxcpu")),
        disk_bytes=whole(row.get("maxdisk")),
        stamps=tags.stamps_of(row.get("tags")),
    )


def to_power(status: Row) -> Power:
    """``status`` is status/current. A VM suspended to disk is stopped, and its lock tells."""
    power = POWER.get(str(status.get("status")), Power.UNKNOWN)
    if power is Power.OFF and status.get("lock") == "suspended":
        return Power.SUSPENDED
    return Power.SUSPENDED if power is Power.ON and status.get("qmpstatus") in ("paused", "suspended") else power


def to_question(status: Row) -> str | None:
    """Return why QEMU stopped a VM that counts as running: it waits for a person as for an answer."""
    if POWER.get(str(status.get("status"))) is not Power.ON:
        return None
    return STUCK.get(str(status.get("qmpstatus") or ""))


def troubles(status: Row) -> list[str]:
    """Return what else weighs on a VM: a lock, and the share of time in which all of it waited (PSI, in percent)."""
    found = []
    if status.get("lock"):
        found.append(f"is locked ({status['lock']}): a task works on it, or was cut off")
    for key, what in PRESSURES.items():
        percent = number(status.get(key))
        if percent >= PRESSED_PERCENT:
            found.append(f"waits for {what} {percent:.0f} % of the time")
    return found


def to_guest(status: Row, *, has_agent: bool, answers: bool | None, now_s: float) -> Guest:
    """``answers`` is the agent's ping, None when it was not asked; ``now_s`` is on the node's clock."""
    is_on = POWER.get(str(status.get("status"))) is Power.ON
    uptime_s = number(status.get("uptime"))
    boot_at_s = now_s - uptime_s if is_on and uptime_s > 0 else None
    if not has_agent:
        return Guest(heartbeat=Heartbeat.GREY, tools=Tools.NOT_INSTALLED, boot_at_s=boot_at_s)
    if not is_on or answers is None:
        return Guest(heartbeat=Heartbeat.GREY, tools=Tools.UNKNOWN, boot_at_s=boot_at_s)
    if answers:
        return Guest(heartbeat=Heartbeat.GREEN, tools=Tools.RUNNING, boot_at_s=boot_at_s)
    return Guest(heartbeat=Heartbeat.RED, tools=Tools.NOT_RUNNING, boot_at_s=boot_at_s)


def has_agent(config: Row) -> bool:
    """``agent: 1,fstrim_cloned_disks=1`` or ``agent: enabled=1``."""
    text = str(config.get("agent") or "")
    if not text:
        return False
    options = Options.parse(text)
    return truth(options.get("enabled") if options.get("enabled") is not None else options.pairs[0][0])


def has_ha(status: Row) -> bool:
    """Tell whether HA looks after this VM: it may start it by itself, here or elsewhere."""
    ha = status.get("ha")
    if not isinstance(ha, dict) or not truth(ha.get("managed")):
        return False
    return str(ha.get("state") or "started") != HA_AT_REST


def deepen(vm: Vm, config: Row, status: Row, guest: Guest, remembered: Mapping[str, str]) -> Vm:
    """Return the VM with what its configuration and its status show."""
    disks = disks_of(config)
    return replace(
        vm,
        name=str(config.get("name") or vm.name or f"VM {vm.handle}"),
        power=to_power(status),
        connection=Connection.CONNECTED,
        nics=tuple(to_nic(net) for net in nets_of(config)),
        guest=guest,
        question=to_question(status),
        memory_bytes=whole(status.get("maxmem")) or vm.memory_bytes,
        cpu_count=whole(status.get("cpus")) or vm.cpu_count,
        disk_bytes=sum(disk.size_bytes for disk in disks) or vm.disk_bytes,
        datastores=tuple(dict.fromkeys(disk.storage for disk in disks)),
        stamps=tags.stamps_of(config.get("tags")),
        has_autostart=truth(config.get("onboot")),
        has_ha=has_ha(status),
        guest_ids=(str(config["vmgenid"]).lower(),) if config.get("vmgenid") else (),
        remembered=dict(remembered),
    )


# --- words -----------------------------------------------------------------------------------------------------------


def sanitised(text: object) -> str:
    """Return an error's words on one line, without the addresses that a report of one customer must not show another."""
    if not text:
        return ""
    words = " ".join(str(text).split())
    words = re.sub(r"\b\d{1,3}(?:\.\d{1,3}){3}\b", "<address>", words)
    words = re.sub(
        r"(?<![\w:])(?:[0-9a-fA-F]{1,4}:){3,7}[0-9a-fA-F]{0,4}(?![\w:])|(?<![\w:])[0-9a-fA-F:]*::[0-9a-fA-F:]+",
        "<address>",
        words,
    )
    # The command is Proxmox VE's own and long: what failed is said behind it
    return re.sub(r"command '/usr/bin/ssh .*?' failed", "the connection to the other node (ssh) failed", words)
