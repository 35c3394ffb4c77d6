# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The hash chain over the records: pure, the same on every machine and in every database."""

from __future__ import annotations

import hashlib
import json
import typing as t
from collections.abc import Iterable, Mapping

from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import ChainReport

GENESIS = "0" * 64  # what record 1 chains on


def canonical(value: t.Any) -> str:
    """Write JSON in its one form: sorted keys, no spaces, ASCII only (so that lone surrogates survive any database)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def link(
    prev_hash: str, *, seq: int, at_s: float, vm_key: str, run_id: str, kind: str, body: Mapping[str, t.Any]
) -> str:
    """Return the hash of one record, which also seals every record before it."""
    fields = {"seq": seq, "at_s": at_s, "vm_key": vm_key, "run_id": run_id, "kind": kind, "body": body}
    return hashlib.sha256((prev_hash + canonical(fields)).encode("ascii")).hexdigest()


class Row(t.Protocol):
    """A stored record; ``body`` is still text."""

    seq: int
    at_s: float
    vm_key: str
    run_id: str
    kind: str
    body: str
    hash: str


def walk(rows: Iterable[Row], *, head_seq: int, head_hash: str) -> ChainReport:
    """Check rows in the order of ``seq`` against their hashes and against the head noted at the last append.

    The head catches what a chain alone cannot: records cut off at its end.
    """
    prev_hash, count = GENESIS, 0
    for row in rows:
        if row.seq != count + 1:
            return _broken(count, count + 1, f"record {count + 1} is missing: after {count} comes {row.seq}")
        why = _check(row, prev_hash)
        if why:
            return _broken(count, row.seq, why)
        prev_hash, count = row.hash, row.seq
    if count != head_seq:
        return _broken(count, count + 1, f"the last records are missing: {head_seq} were written, {count} are left")
    if prev_hash != head_hash:
        return _broken(count, count, f"record {count} is not the one that was written last")
    return ChainReport(is_intact=True, records=count)


def _check(row: Row, prev_hash: str) -> str:
    try:
        body = json.loads(row.body)
        is_same = canonical(body) == row.body
        expected = link(
            prev_hash,
            seq=row.seq,
            at_s=float(row.at_s),
            vm_key=row.vm_key,
            run_id=row.run_id,
            kind=row.kind,
            body=body,
        )
    except (TypeError, ValueError):
        return f"record {row.seq} cannot be read"
    if not is_same or expected != row.hash:
        return f"record {row.seq} was changed, or the one before it was replaced: the hash does not match"
    return ""


def _broken(records: int, seq: int, why: str) -> ChainReport:
    return ChainReport(is_intact=False, records=records, broken_at_seq=seq, why=why)
