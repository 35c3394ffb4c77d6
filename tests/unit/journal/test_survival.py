# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An acknowledged record survives SIGKILL at any instant, with several processes at work."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
import typing as t
from pathlib import Path

from ansible_collections.ferragosto.dr.plugins.module_utils.journal.opening import open_journal
from ansible_collections.ferragosto.dr.tests.unit.journal.kit import FORK, VM, RealClock, TurnedClock, url_of

ROUNDS, WRITERS = 6, 3


def _write_for_ever(url: str, acknowledge: t.Any) -> None:
    journal = open_journal(url, clock=RealClock())
    while True:
        record = journal.append(VM, "r1", "mark", {"text": "x" * 500})
        acknowledge.send_bytes(str(record.seq).encode())


def _kill_after(url: str, seconds: float) -> list[int]:
    """Let writers write, kill them all, and return the numbers they were told."""
    told, writers = [], []
    for _writer in range(WRITERS):
        reader, writer = FORK.Pipe(duplex=False)
        process = FORK.Process(target=_write_for_ever, args=(url, writer))
        process.start()
        writer.close()
        writers.append((process, reader))
    for _process, reader in writers:
        assert reader.poll(30)  # each is at work
    time.sleep(seconds)
    for process, _reader in writers:
        os.kill(t.cast(int, process.pid), signal.SIGKILL)
    for process, reader in writers:
        process.join(timeout=10)
        try:
            while reader.poll(0):
                told.append(int(reader.recv_bytes()))
        except EOFError:
            pass
        reader.close()
    return told


def test_killed_writers_lose_nothing_they_were_told(path: Path) -> None:
    told: list[int] = []
    chance = random.Random(15_08)
    for _round in range(ROUNDS):
        told += _kill_after(url_of(path), chance.uniform(0.05, 0.25))
        journal = open_journal(url_of(path), clock=RealClock())
        report = journal.verify()
        seqs = {r.seq for r in journal.records()}
        journal.close()
        assert report.is_intact, report.why
        assert set(told) <= seqs
    assert len(told) == len(set(told))


def _die_half_way(path: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA cache_size=1")  # so that changed pages reach the file before the commit
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE record SET body = '{}'")
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_killed_writer_left_half_done_is_rolled_back_even_by_a_reader(path: Path, clock: TurnedClock) -> None:
    journal = open_journal(url_of(path), clock=clock)
    for _turn in range(60):
        journal.append(VM, "r1", "mark", {"text": "x" * 1000})
    journal.close()
    good = path.read_bytes()
    process = FORK.Process(target=_die_half_way, args=(str(path),))
    process.start()
    process.join(timeout=30)
    assert process.exitcode == -signal.SIGKILL
    assert path.with_name(path.name + "-journal").exists()
    assert path.read_bytes() != good
    reader = open_journal(url_of(path), clock=clock, read_only=True)
    assert reader.verify().is_intact
    assert len(reader.records()) == 60
    reader.close()
