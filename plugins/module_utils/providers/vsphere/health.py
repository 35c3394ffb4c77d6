# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What happened to a VM, and how its guest fares while we wait for it."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import (
    Event,
    EventKind,
    Heartbeat,
    Power,
    Tools,
    Vm,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Clock, GuestOutcome, GuestWait
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere import wire
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.faults import VendorFault
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.sdk import vim

EVENT_KINDS = {
    "VmGuestOSCrashedEvent": EventKind.CRASHED,
    "VmPoweredOnEvent": EventKind.POWERED_ON,
    "DrsVmPoweredOnEvent": EventKind.POWERED_ON,
    "VmPoweredOffEvent": EventKind.POWERED_OFF,
    "VmDasBeingResetEvent": EventKind.RESET,
    "VmDasBeingResetWithScreenshotEvent": EventKind.RESET,
    "VmResettingEvent": EventKind.RESET,
    "VmGuestRebootEvent": EventKind.RESET,
    "VmGuestShutdownEvent": EventKind.GUEST_SHUTDOWN,
    "VmReconfiguredEvent": EventKind.RECONFIGURED,
    "VmMigratedEvent": EventKind.MIGRATED,
    "DrsVmMigratedEvent": EventKind.MIGRATED,
    "VmRelocatedEvent": EventKind.MIGRATED,
    "VmRestartedOnAlternateHostEvent": EventKind.MIGRATED,
}
NO_EVENTS = frozenset({"NotImplemented", "NotSupported", "MethodNotFound"})  # some ESXi keep none
MOST_EVENTS = 1000  # asked for by number: left to itself, a server may return ten
LATEST_PAGE_SIZE = 10  # a new collector's own
EVENTS_EVERY_S = 1.0
GUEST_PATHS = (
    "runtime.powerState",
    "runtime.question",
    "runtime.bootTime",
    "summary.runtime.bootTime",
    "guestHeartbeatStatus",
    "guest.toolsRunningStatus",
    "guest.toolsVersionStatus2",
)


# --- events ----------------------------------------------------------------------------------------------------------


def events(client: Client, vm: Vm, since_s: float) -> tuple[Event, ...]:
    """Return the events of one VM, oldest first. ``since_s`` is on the server's clock."""
    found = _query(client, vm, since_s)
    return () if found is None else found


def last_events(client: Client, vm: Vm, limit: int) -> tuple[Event, ...]:
    """Return the newest ``limit`` events, oldest first, however long ago they were."""
    manager = client.content.eventManager
    if manager is None:
        return ()
    what = f"read the last events of {vm.name}"
    try:
        collector = client.read_call(what, manager.CreateCollectorForEvents, _filter(client, vm))
    except VendorFault as fault:
        if fault.kind in NO_EVENTS:
            return ()
        raise
    try:
        if limit != LATEST_PAGE_SIZE:
            client.read_call(what, collector.SetCollectorPageSize, limit)
        page = client.retrieve([collector], ["latestPage"]).get(collector._moId, {}).get("latestPage") or ()
    finally:
        client.read_call(what, collector.DestroyCollector)
    return _oldest_first(page)[-limit:]


def _query(client: Client, vm: Vm, since_s: float) -> tuple[Event, ...] | None:
    """Return None where the server keeps no events."""
    manager = client.content.eventManager
    if manager is None:
        return None
    try:
        return _oldest_first(
            client.read_call(
                f"read the events of {vm.name}",
                manager.QueryEvents,
                _filter(client, vm, since_s=since_s, max_count=MOST_EVENTS),
            )
        )
    except VendorFault as fault:
        if fault.kind in NO_EVENTS:
            return None
        raise


def _filter(
    client: Client, vm: Vm, *, since_s: float | None = None, max_count: int | None = None
) -> vim.event.EventFilterSpec:
    machine = client.object(vim.VirtualMachine, vm.handle)
    begin = None if since_s is None else datetime.fromtimestamp(max(0.0, since_s), UTC)
    return vim.event.EventFilterSpec(
        entity=vim.event.EventFilterSpec.ByEntity(
            entity=machine, recursion=vim.event.EventFilterSpec.RecursionOption.self
        ),
        time=None if begin is None else vim.event.EventFilterSpec.ByTime(beginTime=begin),
        maxCount=max_count,
    )


def _oldest_first(found: Iterable[vim.event.Event]) -> tuple[Event, ...]:
    ordered = sorted(found, key=lambda one: (one.createdTime, one.key))
    return tuple(to_event(one) for one in ordered)


def to_event(one: t.Any) -> Event:
    name = type(one).__name__.rpartition(".")[2]
    kind = EVENT_KINDS.get(name, EventKind.OTHER)
    task = str(getattr(getattr(one, "info", None), "descriptionId", "") or "")
    if "napshot" in task:
        kind = EventKind.SNAPSHOT
    return Event(
        at_s=one.createdTime.timestamp(),
        kind=kind,
        user=one.userName or "",
        text=one.fullFormattedMessage or _own_words(name, task, one),
    )


# What a technician calls it, where the event's name says it badly.
_OWN_WORDS = {"VmGuestOSCrashedEvent": "the guest operating system crashed (blue screen or panic)"}


def _own_words(name: str, task: str, one: t.Any) -> str:
    """Say what happened where the server only names the kind of event: VmPoweredOffEvent -> "vm powered off on esx1"."""
    words = f"task {task}" if task else _OWN_WORDS.get(name) or _spelled(name)
    host = getattr(getattr(one, "host", None), "name", None)
    return words + (f" on {host}" if host else "")


def _spelled(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.removesuffix("Event")).lower()


# --- waiting for the guest -------------------------------------------------------------------------------------------


def await_guest(
    client: Client, vm: Vm, *, within_s: float, since_s: float, clock: Clock, settle_s: float = 0.0
) -> GuestWait:
    """Wait until the guest is alive, crashed, off or stuck, or time is up.

    ``since_s`` is on the server's clock: only a crash after it counts. A heartbeat lags behind a boot, so one that was green
    at the first look, after a boot newer than ``since_s``, counts once it held for ``settle_s`` after that boot.
    """
    started_s = clock.now_s()
    watch = _GuestWatch(client, vm, since_s=since_s, clock=clock, settle_s=settle_s)
    machine = client.object(vim.VirtualMachine, vm.handle)
    end = client.wait_for(machine, GUEST_PATHS, watch.judge, within_s=within_s, look_every_s=EVENTS_EVERY_S)
    outcome, evidence = end or (GuestOutcome.TIMED_OUT, f"not alive within {within_s:.0f} s: {watch.last_seen}")
    return GuestWait(outcome=outcome, took_s=clock.now_s() - started_s, evidence=evidence)


class _GuestWatch:
    """Judges each look at the guest; asks for crash events at most once a second, and before it believes a heartbeat."""

    def __init__(self, client: Client, vm: Vm, *, since_s: float, clock: Clock, settle_s: float) -> None:
        self._client = client
        self._vm = vm
        self._since_s = since_s
        self._clock = clock
        self._settle_s = settle_s
        self._has_events = True
        self._asked_at_s = float("-inf")
        self._was_silent = False
        self.last_seen = "nothing was seen of it"

    def judge(self, seen: Mapping[str, t.Any]) -> tuple[GuestOutcome, str] | None:
        power = wire.POWER.get(seen.get("runtime.powerState", ""), Power.UNKNOWN)
        question, guest = wire.to_question(seen), wire.to_guest(seen)
        is_speaking = guest.heartbeat is Heartbeat.GREEN or (
            "guestHeartbeatStatus" not in seen and guest.tools is Tools.RUNNING
        )
        self._was_silent |= not is_speaking
        self.last_seen = f"power {power}, heartbeat {guest.heartbeat}, guest tools {guest.tools}"
        is_alive = is_speaking and guest.tools is not Tools.NOT_RUNNING and self._is_settled(guest.boot_at_s)
        crash = self._crash(is_urgent=is_alive or power is not Power.ON)
        if crash is not None:
            return GuestOutcome.CRASHED, crash.text or "the guest reported a crash"
        if power in (Power.OFF, Power.SUSPENDED):
            return GuestOutcome.POWERED_OFF, f"it is {power}"
        if question is not None:
            return GuestOutcome.BLOCKED, f"it waits for the answer to: {question}"
        if is_alive:
            return GuestOutcome.ALIVE, f"heartbeat {guest.heartbeat}, guest tools {guest.tools}"
        return None

    def _is_settled(self, boot_at_s: float | None) -> bool:
        if self._was_silent or boot_at_s is None or boot_at_s < self._since_s:
            return True
        return self._clock.now_s() + self._client.clock_offset_s >= boot_at_s + self._settle_s

    def _crash(self, *, is_urgent: bool) -> Event | None:
        now_s = self._clock.now_s()
        if not self._has_events or (not is_urgent and now_s - self._asked_at_s < EVENTS_EVERY_S):
            return None
        self._asked_at_s = now_s
        found = _query(self._client, self._vm, self._since_s)
        if found is None:
            self._has_events = False
            return None
        crashes = [e for e in found if e.kind is EventKind.CRASHED and e.at_s > self._since_s]
        return crashes[-1] if crashes else None
