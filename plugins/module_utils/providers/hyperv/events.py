# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What happened to a VM, as its worker process wrote it into the host's log: by number and GUID, never by words or name.

The log says what, never who: who turned a VM off is in no event of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import DrError
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Event, EventKind, Heartbeat, Power, Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import thumbnail, wire
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts import reading
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.wire import Row
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.hints import WORDS, Hint

FATAL_ERROR = 18590
_TRIPLE_FAULT = "the guest's processor met a triple fault and the VM was reset"
_SAID: dict[int, tuple[EventKind, str]] = {
    18500: (EventKind.POWERED_ON, "started"),
    18502: (EventKind.POWERED_OFF, "turned off"),
    18504: (EventKind.GUEST_SHUTDOWN, "its guest was shut down from the host"),
    18508: (EventKind.GUEST_SHUTDOWN, "its guest shut down by itself"),
    18510: (EventKind.OTHER, "saved"),
    18512: (EventKind.RESET, "reset"),
    18514: (EventKind.RESET, "reset by its guest"),
    18515: (EventKind.RESET, "reset by its guest"),
    18539: (EventKind.CRASHED, _TRIPLE_FAULT),
    18540: (EventKind.CRASHED, _TRIPLE_FAULT),
    18550: (EventKind.CRASHED, _TRIPLE_FAULT),
    18560: (EventKind.CRASHED, _TRIPLE_FAULT),
    FATAL_ERROR: (EventKind.CRASHED, "the guest reported a fatal error"),
    18600: (EventKind.CRASHED, "its firmware's watchdog ran out and the VM was reset"),
    18602: (EventKind.CRASHED, "the guest met a fatal error and wrote a memory dump"),
    18603: (EventKind.CRASHED, "it found nothing to boot from"),
    18604: (EventKind.CRASHED, "the guest met a fatal error and could write no memory dump"),
    18605: (EventKind.CRASHED, "it found nothing to boot from"),
    18617: (EventKind.CRASHED, "a watchdog of the guest ran out and the VM was reset"),
}
# A filter of Get-WinEvent takes little more than twenty ids.
IDS = sorted(_SAID)
# Neither comes from within the guest, and the log keeps no name: it may have been meant, so it counts as a person's.
BY_SOMEBODY = {18502, 18504}
SOMEBODY = "without a name in the log"
CRASHES = sorted(number for number, (kind, _words) in _SAID.items() if kind is EventKind.CRASHED)
MOST_EVENTS = 1000  # of all VMs of the host; those of others are left out after the reading
STANDS_S = 1.0
BOOTS_WITHIN_S = 120.0  # in which a screen of kernel messages may be a boot's
# Bug checks that a technician meets; every other is shown by its number alone.
_STOP_CODES = {
    0x1E: "KMODE_EXCEPTION_NOT_HANDLED",
    0x24: "NTFS_FILE_SYSTEM",
    0x3B: "SYSTEM_SERVICE_EXCEPTION",
    0x50: "PAGE_FAULT_IN_NONPAGED_AREA",
    0x7B: "INACCESSIBLE_BOOT_DEVICE",
    0x7E: "SYSTEM_THREAD_EXCEPTION_NOT_HANDLED",
    0x80: "NMI_HARDWARE_FAILURE",
    0x9F: "DRIVER_POWER_STATE_FAILURE",
    0xC2: "BAD_POOL_CALLER",
    0xD1: "DRIVER_IRQL_NOT_LESS_OR_EQUAL",
    0xEF: "CRITICAL_PROCESS_DIED",
    0x133: "DPC_WATCHDOG_VIOLATION",
}


def events(client: Client, vm: Vm, since_s: float) -> tuple[Event, ...]:
    """Return the events of one VM, oldest first, and a crash that only its screen shows. ``since_s`` is on the host's clock."""
    row, found = _read(client, vm, since=wire.from_instant(max(0.0, since_s)))
    recent = tuple(event for event in found if event.at_s >= since_s)
    return (*recent, *_crash_on_screen(client, vm, row, recent))


def last_events(client: Client, vm: Vm, limit: int) -> tuple[Event, ...]:
    """Return the newest ``limit`` events, oldest first, however long ago they were."""
    return _read(client, vm, since="")[1][-limit:]


def to_event(row: Row, guid: str) -> Event | None:
    """Return one row of the log in our words; the host's own are in the host's language."""
    number = wire.whole(row.get("id"))
    at_s = wire.to_instant(row.get("at"))
    if number not in _SAID or at_s is None:
        return None
    kind, words = _SAID[number]
    if number == FATAL_ERROR:
        words += _stop_code(wire.words(row.get("data")), guid, str(row.get("text") or ""))
    user = SOMEBODY if number in BY_SOMEBODY else ""
    return Event(at_s=at_s, kind=kind, user=user, text=f"{words} (event {number})")


def to_events(rows: Sequence[Row], guid: str) -> tuple[Event, ...]:
    found = (to_event(row, guid) for row in rows)
    return tuple(sorted((event for event in found if event is not None), key=lambda event: event.at_s))


# --- inside ----------------------------------------------------------------------------------------------------------


def _read(client: Client, vm: Vm, *, since: str) -> tuple[Row, tuple[Event, ...]]:
    row = client.run(reading.EVENTS, id=vm.handle, ids=IDS, since=since, limit=MOST_EVENTS)
    say_unread(client, vm, row)
    snapshots = tuple(
        Event(at_s=at_s, kind=EventKind.SNAPSHOT, text=f"a checkpoint was made: {one.get('name')}")
        for one in wire.rows(row.get("points"))
        if one.get("type") not in wire.POINT_TYPES and (at_s := wire.to_instant(one.get("at"))) is not None
    )
    changed_at_s = wire.to_instant(row.get("changed"))
    changes = (
        (Event(at_s=changed_at_s, kind=EventKind.RECONFIGURED, text="its configuration was changed"),)
        if changed_at_s is not None
        else ()
    )
    told = to_events(wire.rows(row.get("events")), vm.handle)
    return row, tuple(sorted((*told, *snapshots, *changes), key=lambda event: event.at_s))


def say_unread(client: Client, vm: Vm, row: Row) -> None:
    """Tell that crashes go unseen where the log is closed to the account: a quiet log looks like health."""
    why = str(row.get("unread") or "")
    if why:
        client.progress(
            f"the events of {vm.name} on {client.address} cannot be read, so a crash would not be seen: {' '.join(why.split())};"
            " make the account a member of Event Log Readers"
        )


def _stop_code(data: Sequence[str], guid: str, text: str) -> str:
    """Return the bug check code, which comes first after the VM's GUID in the event's data."""
    after = [one for at, one in enumerate(data) if guid in [before.lower() for before in data[:at]]]
    told = next((code for one in after if (code := _number(one)) is not None), None)
    if told is None:
        in_words = re.search(r"0x([0-9A-Fa-f]{1,8})\b", text)
        told = int(in_words[1], 16) if in_words else None
    if told is None:
        return ""
    if told == 0:
        return ", code 0x0, as a Linux kernel's panic does"
    name = _STOP_CODES.get(told)
    return f", stop code 0x{told:X}" + (f" ({name})" if name else "")


def _number(word: str) -> int | None:
    if re.fullmatch(r"0x[0-9A-Fa-f]{1,16}", word):
        return int(word, 16)
    return int(word) if word.isdecimal() else None


def _crash_on_screen(client: Client, vm: Vm, row: Row, known: Sequence[Event]) -> tuple[Event, ...]:
    """Return the crash that a silent guest's screen hints at, where no event tells of one."""
    heartbeat, _tools = wire.to_heartbeat(str(row.get("heartbeat") or ""))
    if wire.to_power(str(row.get("state"))) is not Power.ON or heartbeat is not Heartbeat.RED:
        return ()
    if any(event.kind is EventKind.CRASHED for event in known):
        return ()
    try:
        first = thumbnail.look(client, vm)
        if first is None or first.hint not in (Hint.BLUE_SCREEN, Hint.PANIC):
            return ()
        if first.hint is Hint.PANIC and wire.whole(row.get("uptime_s")) < BOOTS_WITHIN_S:
            return ()
        client.clock.sleep(STANDS_S)
        second = thumbnail.look(client, vm)
    except DrError:  # a picture is supporting evidence: without it there is less of it
        return ()
    if second is None or second.digest != first.digest:
        return ()
    now_s = client.clock.now_s() + client.clock_offset_s
    text = f"{WORDS[first.hint]}, and its heartbeat is silent"
    return (Event(at_s=now_s, kind=EventKind.CRASHED, text=text, is_hint=True),)
