# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Our line in a VM's Notes: written, read, taken off again without a trace."""

from __future__ import annotations

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import notes

MARKS = {stamps.RUN: "20260815-1403-a1", stamps.PHASE: "failover", stamps.MODE: "failover"}
KEPT = {"nics": {"34190b49": "LAN [è] 'x'"}, "autostart": "Start"}
TEXTS = [
    "",
    "Buchhaltung",
    "two\nlines",
    "with an end\n",
    "windows\r\nlines\r\n",
    "\n\nspace before and after \n\n",
    'не трогать {"ferragosto.dr": 1}',
    "ferragosto.dr is what we use: see the wiki",
]


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_written_is_read_and_leaves_a_persons_words_alone(text):
    marked = notes.written(text, MARKS, kept=KEPT)
    assert notes.stamps_of(marked) == MARKS
    assert notes.kept_of(marked) == KEPT
    assert marked.startswith(text)
    assert len([line for line in marked.splitlines() if line.startswith(notes.LINE)]) == 1


@pytest.mark.parametrize("text", TEXTS)
def test_the_notes_are_byte_for_byte_as_before_once_all_is_taken_off(text):
    marked = notes.written(text, MARKS, kept=KEPT)
    assert notes.written(marked, dict.fromkeys(MARKS, ""), kept={}) == text
    assert notes.plain(marked) == text


def test_a_stamp_is_changed_without_touching_the_others():
    marked = notes.written(notes.written("x", MARKS, kept=KEPT), {stamps.PHASE: "failback", stamps.MODE: ""})
    assert notes.stamps_of(marked) == {stamps.RUN: MARKS[stamps.RUN], stamps.PHASE: "failback"}
    assert notes.kept_of(marked) == KEPT


def test_writing_the_same_again_changes_nothing():
    marked = notes.written("x", MARKS, kept=KEPT)
    assert notes.written(marked, MARKS) == marked


def test_words_that_a_person_adds_below_our_line_stay():
    marked = notes.written("x", MARKS) + "\r\nafterthought"
    assert notes.stamps_of(marked) == MARKS
    assert notes.plain(marked) == "x\nafterthought"


@pytest.mark.parametrize("line", ["ferragosto.dr: ", "ferragosto.dr: {", "ferragosto.dr: [1]", "ferragosto.dr: null"])
def test_a_broken_line_is_no_stamp_and_is_replaced(line):
    assert notes.stamps_of(f"x\n{line}") == {}
    marked = notes.written(f"x\n{line}", MARKS)
    assert notes.stamps_of(marked) == MARKS
    assert notes.plain(marked) == "x"


def test_a_line_that_windows_ended_in_its_own_way_is_read():
    marked = notes.written("x", MARKS).replace("\n", "\r\n") + "\r\n"
    assert notes.stamps_of(marked) == MARKS
