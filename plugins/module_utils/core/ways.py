# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Choosing the way to promote a replica: what is possible, then what keeps the promise, then what touches least."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from ansible_collections.ferragosto.dr.plugins.module_utils.core.clock import say_duration
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput, Refused
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Way
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Record

AUTO = "auto"
IN_PLACE = "in_place"  # the VM's own configuration moves to its replica's disks
HA = "ha"  # the platform's own HA does the same for a dead node
# After these the original's disks have no VM any more: who goes home by replication overwrites them.
FAILOVER = "failover"  # the platform's own replica of a VM takes over
OVERWRITING = frozenset({IN_PLACE, HA, FAILOVER})  # reversed, what they write goes over the original's disks
# One local disk pool copying to itself; used until a run of this journal has measured better.
ASSUMED_RATE_BYTES_S = 200 * 2**20
COPIED = "copied_bytes"  # how much a step copied, in what it saw afterwards


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast this site copies disks. ``runs`` 0: nobody measured, it is assumed."""

    bytes_s: float = ASSUMED_RATE_BYTES_S
    runs: int = 0

    def seconds(self, way: Way) -> float:
        return way.copied_bytes / self.bytes_s


def pace(records: Iterable[Record]) -> Pace:
    """Learn from the steps that copied: their size over their time, the median of all."""
    rates = []
    for record in records:
        after = record.body.get("after") or {}
        copied, took_s = after.get(COPIED), record.body.get("took_s")
        if record.kind == "result" and not record.body.get("error") and copied and took_s:
            rates.append(float(copied) / float(took_s))
    return Pace(bytes_s=median(rates), runs=len(rates)) if rates else Pace()


def choose(ways: Sequence[Way], *, wanted: str, rto_left_s: float | None, speed: Pace) -> Way:
    """Return the way to go; raise Refused with every reason when there is none.

    ``wanted`` is "auto" or a name. ``rto_left_s`` None: nothing is promised. The order of ``ways`` breaks ties.
    """
    if wanted != AUTO:
        return _named(ways, wanted)
    possible = [way for way in ways if way.is_possible and not way.is_opt_in]
    if not possible:
        raise Refused(
            what="choose a way to promote the replica",
            why="; ".join(f"{way.name}: {_why_not(way)}" for way in ways) or "the platform offers none",
            next="lift one of these reasons, or restore from a backup by hand",
        )
    timely = [way for way in possible if rto_left_s is None or speed.seconds(way) <= rto_left_s]
    return timely[0] if timely else min(possible, key=speed.seconds)


def say(way: Way, *, rto_left_s: float | None, speed: Pace) -> str:
    """Say the way and what it costs, for the card."""
    if not way.copied_bytes:
        return f"{way.name}: {way.reason}"
    source = (
        f"measured in {speed.runs} run{'' if speed.runs == 1 else 's'}" if speed.runs else "assumed, never measured"
    )
    takes_s = speed.seconds(way)
    late = ", longer than the time left" if rto_left_s is not None and takes_s > rto_left_s else ""
    size, rate = way.copied_bytes / 2**30, speed.bytes_s / 2**20
    return f"{way.name}: {way.reason}; {size:.0f} GiB to copy, {say_duration(takes_s)} at {rate:.0f} MiB/s ({source}){late}"


def _named(ways: Sequence[Way], wanted: str) -> Way:
    found = next((way for way in ways if way.name == wanted), None)
    if found is None:
        raise BadInput(
            what=f"promote the replica by {wanted!r}",
            why="this replica and recovery point do not know that way",
            next=f"set dr_policy.promotion to auto or one of: {', '.join(way.name for way in ways)}",
        )
    if not found.is_possible:
        others = ", ".join(way.name for way in ways if way.is_possible) or "none at the moment"
        raise Refused(
            what=f"promote the replica by {wanted!r}",
            why=found.reason,
            next=f"possible: {others} (dr_policy.promotion)",
        )
    return found


def _why_not(way: Way) -> str:
    return way.reason if not way.is_possible else f"possible, but only when named (dr_policy.promotion: {way.name})"
