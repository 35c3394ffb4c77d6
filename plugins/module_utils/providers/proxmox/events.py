# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What happened to a VM, as far as its nodes' task lists and its own state tell."""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Sequence

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import DrError, ProviderFault
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Event, EventKind, Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import faults, wire
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.hints import WORDS, Hint

KINDS = {
    "qmstart": EventKind.POWERED_ON,
    "qmstop": EventKind.POWERED_OFF,
    "qmshutdown": EventKind.GUEST_SHUTDOWN,
    "qmreset": EventKind.RESET,
    "qmreboot": EventKind.RESET,
    "qmigrate": EventKind.MIGRATED,
    "qmconfig": EventKind.RECONFIGURED,
    "resize": EventKind.RECONFIGURED,
    "qmmove": EventKind.RECONFIGURED,
    "qmrestore": EventKind.RECONFIGURED,
    "qmsnapshot": EventKind.SNAPSHOT,
    "qmdelsnapshot": EventKind.SNAPSHOT,
    "qmrollback": EventKind.SNAPSHOT,
}
WORDS_OF = {
    "qmstart": "started",
    "qmstop": "stopped hard",
    "qmshutdown": "its guest was asked to shut down",
    "qmreset": "reset",
    "qmreboot": "its guest was asked to reboot",
    "qmigrate": "migrated",
    "hamigrate": "HA was asked to migrate it",
    "hastart": "HA was asked to start it",
    "hastop": "HA was asked to stop it",
    "qmconfig": "its configuration was changed",
    "resize": "a disk was resized",
    "qmmove": "a disk was moved",
    "qmrestore": "restored from a backup",
    "qmsnapshot": "a snapshot was taken",
    "qmdelsnapshot": "a snapshot was removed",
    "qmrollback": "rolled back to a snapshot",
    "vzdump": "backed up",
    "qmclone": "cloned",
    "qmsuspend": "suspended",
    "qmresume": "resumed",
}
ROOT = "root@pam"  # also whom the node's own services act as
BY_NODE = ("startall", "stopall")  # tasks of a node that starts or goes down
OWN_TASKS = frozenset({"vncproxy", "vncshell", "spiceproxy"})  # looked at, not done to it
BY_NODE_WITHIN_S = 900.0  # a node gives its guests so long
ASKED_HA_S = 120.0
MOST_TASKS = 500
LOOP_WINDOW_S = 900.0
BOOTS_WITHIN_S = 120.0  # in which a screen of kernel messages may be a boot's
STANDS_S = 1.0


def events(client: Client, vm: Vm, since_s: float, *, nodes: Sequence[str]) -> tuple[Event, ...]:
    """Return what was done to a VM, oldest first, and a crash that shows itself now. ``since_s`` is on the nodes' clock."""
    if not vm.handle:
        return ()
    rows = _tasks(client, vm, nodes, since=max(0, int(since_s)), limit=MOST_TASKS)
    found = _to_events(client, rows, since_s)
    return (*found, *_crash_now(client, vm, found))


def last_events(client: Client, vm: Vm, limit: int, *, nodes: Sequence[str]) -> tuple[Event, ...]:
    """Return the newest ``limit`` things done to a VM, oldest first, however long ago."""
    if not vm.handle:
        return ()
    rows = _tasks(client, vm, nodes, limit=max(50, 2 * limit))
    return _to_events(client, rows, 0.0)[-limit:]


def to_event(row: wire.Row, *, user: str) -> Event:
    """Return one task as an event; one that failed or still runs changed nothing yet."""
    kind_word, status = str(row.get("type") or ""), str(row.get("status") or "")
    words = WORDS_OF.get(kind_word, f"task {kind_word}")
    kind = KINDS.get(kind_word, EventKind.OTHER)
    is_over = bool(row.get("endtime")) or status not in ("", "RUNNING")  # so PVE lists what runs, asked for all sources
    if is_over and not (status == "OK" or status.startswith("WARNINGS")):
        # Also a shutdown that the guest did not obey ends so: it was asked, and nothing came of it
        words, kind = f"{words}, which failed: {wire.sanitised(status)}", EventKind.OTHER
    elif not is_over:
        words = f"{words} (still running)"
        kind = kind if kind in (EventKind.GUEST_SHUTDOWN, EventKind.MIGRATED) else EventKind.OTHER
    return Event(at_s=wire.number(row.get("starttime")), kind=kind, user=user, text=words)


# --- inside ----------------------------------------------------------------------------------------------------------


def _tasks(client: Client, vm: Vm, nodes: Sequence[str], **options: t.Any) -> list[wire.Row]:
    """Return the tasks of a VM on every node that can be asked, oldest first; a VM leaves its history behind when it moves."""
    found: dict[str, wire.Row] = {}
    for node in nodes:
        try:
            rows = client.get(f"/nodes/{node}/tasks", vmid=vm.handle, source="all", **options)
        except ProviderFault:
            if node == vm.host and len(nodes) == 1:
                raise
            continue
        found.update({str(row.get("upid")): row for row in wire.rows_of(rows)})
    wanted = [row for row in found.values() if str(row.get("id")) == vm.handle and row.get("type") not in OWN_TASKS]
    return sorted(wanted, key=lambda row: (wire.number(row.get("starttime")), str(row.get("upid"))))


def _to_events(client: Client, rows: Sequence[wire.Row], since_s: float) -> tuple[Event, ...]:
    by_node = _acts_of_nodes(client, rows, since_s)
    asked: list[tuple[float, str]] = []  # when, and who asked HA
    found = []
    for row in rows:
        at_s = wire.number(row.get("starttime"))
        user = _person(client, row)
        if row.get("type") in ("hastop", "hastart", "hamigrate"):
            asked.append((at_s, user))
        elif user == ROOT and row.get("type") in ("qmstart", "qmstop", "qmshutdown", "qmigrate"):
            # HA and a node that starts or stops act as root: name who asked them, or nobody
            who = next((by for when, by in reversed(asked) if 0 <= at_s - when <= ASKED_HA_S), None)
            user = who if who is not None else "" if _is_by_node(row, by_node) else user
        found.append(to_event(row, user=user))
    return tuple(found)


def _person(client: Client, row: wire.Row) -> str:
    """Return who began a task: no name for what our own token did, nor for scheduled backups."""
    user, token = str(row.get("user") or ""), str(row.get("tokenid") or "")
    own = faults.account_of(client.spec)
    if token and own == f"{user}!{token}":
        return ""
    if row.get("type") == "vzdump" and user == ROOT and not token:
        return ""
    return f"{user}!{token}" if token else user


def _acts_of_nodes(client: Client, rows: Iterable[wire.Row], since_s: float) -> list[wire.Row]:
    """Return the starts and stops of whole nodes, where a task of root could be part of one."""
    nodes = {
        str(row.get("node"))
        for row in rows
        if row.get("user") == ROOT and row.get("type") in ("qmstart", "qmstop", "qmshutdown")
    }
    found: list[wire.Row] = []
    for node in sorted(nodes):
        for kind in BY_NODE:
            try:
                shown = client.get(f"/nodes/{node}/tasks", typefilter=kind, source="all", since=max(0, int(since_s)))
            except ProviderFault:
                continue
            found += [row for row in wire.rows_of(shown) if row.get("type") == kind]
    return found


def _is_by_node(row: wire.Row, by_node: Iterable[wire.Row]) -> bool:
    at_s = wire.number(row.get("starttime"))
    return any(
        one.get("node") == row.get("node")
        and wire.number(one.get("starttime")) <= at_s
        and at_s <= wire.number(one.get("endtime"), at_s) + 1
        and at_s - wire.number(one.get("starttime")) <= BY_NODE_WITHIN_S
        for one in by_node
    )


def _crash_now(client: Client, vm: Vm, done: Sequence[Event]) -> tuple[Event, ...]:
    """Return a crash that shows now: QEMU tells of a panic, or the screen of one stands while the guest's agent is silent.

    Proxmox VE keeps no record of crashes, so the event bears the time at which it is seen.
    """
    path = f"/nodes/{vm.host}/qemu/{vm.handle}"
    try:
        status: wire.Row = client.get(f"{path}/status/current") or {}
        now_s = client.clock.now_s() + client.clock_offset_s
        if status.get("qmpstatus") == "guest-panicked":
            return (Event(at_s=now_s, kind=EventKind.CRASHED, text="the guest told QEMU that it panicked"),)
        if status.get("status") != "running" or not wire.truth(status.get("agent")):
            return ()
        starts = [e.at_s for e in done if e.kind in (EventKind.RESET, EventKind.POWERED_ON)]
        up_s = min([wire.number(status.get("uptime")), *(now_s - at_s for at_s in starts)])
        shown = _crash_on_screen(client, vm, path, may_be_boot=up_s < BOOTS_WITHIN_S)
    except DrError:  # a picture is supporting evidence: without it there is less of it
        return ()
    if shown is None:
        return ()
    recent = [at_s for at_s in starts if now_s - at_s <= LOOP_WINDOW_S]
    after = f", after {len(recent)} starts in the last {LOOP_WINDOW_S / 60:.0f} min" if len(recent) > 1 else ""
    text = f"{WORDS[shown]}, and its agent is silent{after}"
    return (Event(at_s=now_s, kind=EventKind.CRASHED, text=text, is_hint=True),)


def _crash_on_screen(client: Client, vm: Vm, path: str, *, may_be_boot: bool) -> Hint | None:
    """Return the crash that a silent guest's screen hints at. A boot may look like a panic, but does not stand still."""
    from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import read, screen

    if read.ping(client, path) is not False:
        return None
    first = screen.look(client, vm)
    if first.hint is Hint.BLUE_SCREEN:
        return first.hint
    if first.hint is not Hint.PANIC or may_be_boot:
        return None
    client.clock.sleep(STANDS_S)
    second = screen.look(client, vm)
    return first.hint if second.digest == first.digest and read.ping(client, path) is False else None
