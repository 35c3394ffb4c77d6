# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The chain names the first record that is not as it was written."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import JournalFault
from ansible_collections.ferragosto.dr.plugins.module_utils.journal import chain
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.store import SqlJournal
from ansible_collections.ferragosto.dr.tests.unit.journal.kit import VM, spoil

SWAP = (
    "UPDATE record SET seq = -1 WHERE seq = 2",
    "UPDATE record SET seq = 2 WHERE seq = 3",
    "UPDATE record SET seq = 3 WHERE seq = -1",
)


@pytest.mark.parametrize(
    ("statements", "broken_at_seq", "said"),
    [
        (("UPDATE record SET body = '{\"n\":9}' WHERE seq = 2",), 2, "changed"),
        (("UPDATE record SET body = '{ \"n\": 1 }' WHERE seq = 2",), 2, "changed"),
        (("UPDATE record SET body = 'no json' WHERE seq = 4",), 4, "cannot be read"),
        (("UPDATE record SET at_s = at_s + 1 WHERE seq = 1",), 1, "changed"),
        (("UPDATE record SET kind = 'result' WHERE seq = 3",), 3, "changed"),
        (("UPDATE record SET vm_key = 'x/y' WHERE seq = 3",), 3, "changed"),
        (("UPDATE record SET run_id = 'r9' WHERE seq = 5",), 5, "changed"),
        (("UPDATE record SET hash = '00' WHERE seq = 3",), 3, "changed"),
        (("DELETE FROM record WHERE seq = 1",), 1, "missing"),
        (("DELETE FROM record WHERE seq = 3",), 3, "missing"),
        (("DELETE FROM record WHERE seq >= 4",), 4, "5 were written, 3 are left"),
        (("DELETE FROM record",), 1, "5 were written, 0 are left"),
        (SWAP, 2, "changed"),
        (("DELETE FROM record WHERE seq = 2", "UPDATE record SET seq = seq - 1 WHERE seq > 2"), 2, "changed"),
    ],
)
def test_tampering_is_found_at_its_first_record(
    journal: SqlJournal, path: Path, statements: tuple[str, ...], broken_at_seq: int, said: str
) -> None:
    for number in range(5):
        journal.append(VM, "r1", "mark", {"n": number})
    assert journal.verify().records == 5
    spoil(path, *statements)
    report = journal.verify()
    assert not report.is_intact
    assert report.broken_at_seq == broken_at_seq
    assert said in (report.why or "")


def test_a_forged_last_record_is_found_by_the_head(journal: SqlJournal, path: Path) -> None:
    one, two = journal.append(VM, "r1", "mark", {"n": 1}), journal.append(VM, "r1", "mark", {"n": 2})
    forged = chain.link(one.hash, seq=2, at_s=two.at_s, vm_key=VM, run_id="r1", kind="mark", body={"n": 3})
    spoil(path, f"UPDATE record SET body = '{{\"n\":3}}', hash = '{forged}' WHERE seq = 2")
    assert journal.verify().broken_at_seq == 2


def test_an_empty_journal_is_intact(journal: SqlJournal) -> None:
    assert journal.verify().is_intact


def test_the_hash_is_the_documented_one() -> None:
    digest = chain.link(chain.GENESIS, seq=1, at_s=1.5, vm_key="s/v", run_id="r", kind="mark", body={"b": 1, "a": "è"})
    text = '{"at_s":1.5,"body":{"a":"\\u00e8","b":1},"kind":"mark","run_id":"r","seq":1,"vm_key":"s/v"}'
    assert chain.canonical({"z": 1, "a": [1.0, None]}) == '{"a":[1.0,null],"z":1}'
    assert digest == hashlib.sha256(("0" * 64 + text).encode()).hexdigest()


def test_the_journal_goes_on_after_a_rejected_insert(journal: SqlJournal, path: Path) -> None:
    """A row smuggled in ahead of the head makes appending fail loudly, and lose nothing."""
    journal.append(VM, "r1", "mark", {})
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO record VALUES (2, 0, 'x', 'x', 'x', '{}', 'x')")
    connection.close()
    with pytest.raises(JournalFault, match="UNIQUE"):
        journal.append(VM, "r1", "mark", {})
    assert journal.verify().broken_at_seq == 2
