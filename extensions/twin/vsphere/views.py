# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Corrections of what vcsim shows: sizes and connection of hosts, sizes of datastores, and an event log without the lab's own hand."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field

from ansible_collections.ferragosto.dr.extensions.twin.vsphere.autostart import Autostart
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.session import LAB_USER
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.site import BACKDATE

_OBJECT = re.compile(rb'(?=<obj type=")')
_KIND = re.compile(rb'<obj type="(HostSystem|Datastore)"[^>]*>([^<]+)</obj>')
_STORE = re.compile(rb'<ManagedObjectReference [^>]*type="Datastore"[^>]*>([^<]*)</ManagedObjectReference>')
_NETWORK = re.compile(rb'(<ManagedObjectReference [^>]*type="Network"[^>]*>)([^<]*)(</ManagedObjectReference>)')
_VCSIM_DISK = 10 * 2**40
_EVENT = re.compile(rb'<(returnval|Event) [^>]*?:type="\w*Event\w*"[^>]*>.*?</\1>', re.S)
_USER = re.compile(rb"<userName>([^<]*)</userName>")
_TAG = re.compile(rb"<changeTag>" + BACKDATE.encode() + rb"([^<|]*)\|([^<]*)</changeTag>")
_CREATED = re.compile(rb"<createdTime>([^<]*)</createdTime>")
_FILTER_TIME = re.compile(rb"<((?:\w+:)?)time>(.*?)</\1time>", re.S)
_MAX_COUNT = re.compile(rb"<((?:\w+:)?)maxCount>(\d+)</\1maxCount>")


@dataclass(slots=True)
class HostFacts:
    memory_bytes: int
    memory_used_mb: int
    cpus: int
    is_lost: bool
    datastore: str = ""  # moid of its own


@dataclass(slots=True)
class Facts:
    hosts: dict[str, HostFacts] = field(default_factory=dict)  # by moid
    datastores: dict[str, int] = field(default_factory=dict)  # capacity in bytes, by moid
    networks: tuple[str, ...] = ()  # moids; every host has them all


def correct(body: bytes, facts: Facts) -> bytes:
    """Correct hosts and datastores in a property collector's answer."""
    if b'<obj type="HostSystem"' not in body and b'<obj type="Datastore"' not in body:
        return body
    return b"".join(_segment(part, facts) for part in _OBJECT.split(body))


def correct_one(body: bytes, kind: str, moid: str, facts: Facts) -> bytes:
    """Correct what ``Fetch`` brought of one object, as pyvmomi's attribute access asks for it."""
    return _corrected(body, kind, moid, facts)


def _segment(part: bytes, facts: Facts) -> bytes:
    match = _KIND.match(part)
    return part if match is None else _corrected(part, match.group(1).decode(), match.group(2).decode(), facts)


def _corrected(part: bytes, kind: str, moid: str, facts: Facts) -> bytes:
    if kind == "Datastore":
        capacity = facts.datastores.get(moid)
        return part if capacity is None else _disk(part, capacity)
    host = facts.hosts.get(moid)
    if host is None:
        return part
    part = Autostart.name_of(moid, part)
    part = _STORE.sub(lambda m: m.group(0) if m.group(1).decode() == host.datastore else b"", part)
    part = _put(part, b"memorySize", host.memory_bytes)
    part = _put(part, b"overallMemoryUsage", host.memory_used_mb)
    part = _put(part, b"numCpuCores", host.cpus)
    part = _put(part, b"numCpuThreads", host.cpus * 2)
    part = _networks(part, facts.networks)
    if host.is_lost:
        part = _put(part, b"connectionState", "notResponding")
    return part


def _networks(part: bytes, networks: tuple[str, ...]) -> bytes:
    """Add the port groups that vcsim makes in the datacenter and forgets at the hosts."""
    shown = _NETWORK.search(part)
    if shown is None:
        return part
    known = {m.group(2).decode() for m in _NETWORK.finditer(part)}
    more = b"".join(shown.group(1) + n.encode() + shown.group(3) for n in networks if n not in known)
    return part[: shown.end()] + more + part[shown.end() :]


def _put(part: bytes, leaf: bytes, value: object) -> bytes:
    """Replace a leaf, alone (as a property) or inside a structure."""
    if leaf not in part:
        return part
    new = rb"\g<1>" + str(value).encode() + rb"\g<2>"
    alone = rb"(<name>(?:[\w.]+\.)?" + leaf + rb"</name>(?:<op>\w+</op>)?<val\b[^>]*>)[^<]*(</val>)"
    part = re.sub(alone, new, part)
    return re.sub(rb"(<" + leaf + rb">)[^<]*(</" + leaf + rb">)", new, part)


def _disk(part: bytes, capacity: int) -> bytes:
    part = _put(part, b"capacity", capacity)
    for pattern in (
        rb"(<name>(?:[\w.]+\.)?freeSpace</name>(?:<op>\w+</op>)?<val\b[^>]*>)(\d+)",
        rb"(<freeSpace>)(\d+)",
    ):
        part = re.sub(
            pattern, lambda m: m.group(1) + str(max(0, capacity - (_VCSIM_DISK - int(m.group(2))))).encode(), part
        )
    return part


# --- events ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EventFilter:
    """What a client asked of the event log, as far as the proxy must apply it itself."""

    begin: dt.datetime | None = None
    end: dt.datetime | None = None
    most: int = 1000

    def takes(self, at: dt.datetime) -> bool:
        return (self.begin is None or at >= self.begin) and (self.end is None or at <= self.end)


def widen_event_filter(body: bytes) -> tuple[bytes, EventFilter]:
    """Take time and count out of a filter: events of before the lab carry their time in a tag that vcsim cannot read."""
    time = _FILTER_TIME.search(body)
    most = _MAX_COUNT.search(body)
    bounds = {
        name: _moment(found.group(1))
        for name, word in (("begin", rb"beginTime"), ("end", rb"endTime"))
        if time and (found := re.search(rb"<(?:\w+:)?" + word + rb">([^<]+)<", time.group(2)))
    }
    kept = EventFilter(most=int(most.group(2)) if most else 1000, **bounds)
    body = _FILTER_TIME.sub(b"", body)
    if most:
        return _MAX_COUNT.sub(rb"<\g<1>maxCount>1000</\g<1>maxCount>", body), kept
    return re.sub(rb"</((?:\w+:)?)filter>", rb"<\g<1>maxCount>1000</\g<1>maxCount></\g<1>filter>", body), kept


def correct_events(body: bytes, wanted: EventFilter) -> tuple[bytes, int, int]:
    """Hide what the lab's own hand did, date the past; returns the body, and how many events there were and are."""
    were = kept = 0

    def one(match: re.Match[bytes]) -> bytes:
        nonlocal were, kept
        were += 1
        event = match.group(0)
        tag = _TAG.search(event)
        user = _USER.search(event)
        if tag is None and user and user.group(1).decode() == LAB_USER:
            return b""
        if tag is not None:
            event = _TAG.sub(b"", event)
            if tag.group(1):
                event = _CREATED.sub(
                    b"<createdTime>" + tag.group(1).replace(b"+00:00", b"Z") + b"</createdTime>", event, count=1
                )
            event = _USER.sub(b"<userName>" + tag.group(2) + b"</userName>", event, count=1)
        created = _CREATED.search(event)
        if kept >= wanted.most or (created and not wanted.takes(_moment(created.group(1)))):
            return b""
        kept += 1
        return event

    return _EVENT.sub(one, body), were, kept


def _moment(text: bytes) -> dt.datetime:
    moment = dt.datetime.fromisoformat(_short(text.decode().strip()))
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _short(text: str) -> str:
    """vcsim writes nanoseconds, Python reads microseconds."""
    return re.sub(r"(\.\d{6})\d+", r"\1", text.replace("Z", "+00:00"))


def as_agent(body: bytes) -> bytes:
    """Let a service content pass for a standalone ESXi's."""
    body = body.replace(b"<apiType>VirtualCenter</apiType>", b"<apiType>HostAgent</apiType>")
    body = body.replace(b"<productLineId>vpx</productLineId>", b"<productLineId>embeddedEsx</productLineId>")
    body = body.replace(b"VMware vCenter Server", b"VMware ESXi")
    for manager in (b"customFieldsManager", b"extensionManager", b"alarmManager", b"scheduledTaskManager"):
        body = re.sub(rb"<" + manager + rb"\b[^>]*>[^<]*</" + manager + rb">", b"", body)
    return body
