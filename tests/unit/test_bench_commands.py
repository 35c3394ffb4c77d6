# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a benchmark counts of a command."""

from __future__ import annotations

import os
import sys

import pytest

from ansible_collections.ferragosto.dr.tests.bench.commands import measure

BUSY = "import time\nwhile time.process_time() < 0.3: pass\n"
PARENT = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BUSY!r}], check=True)\n"


def run(code, within_s=30.0):
    return measure([sys.executable, "-c", code], env=os.environ, within_s=within_s)


def test_the_cpu_of_children_counts():
    assert run(PARENT).cpu_s >= 0.3


def test_waits_for_a_core_are_no_longer_than_the_run():
    used = run(BUSY)
    assert 0.0 <= used.queued_s <= used.wall_s


def test_a_command_may_say_more_than_a_pipe_holds():
    assert run("print('x' * 2_000_000)", within_s=20.0).wall_s < 20.0


def test_a_failed_command_gives_its_last_words():
    with pytest.raises(RuntimeError, match="no such fleet"):
        run("raise SystemExit('no such fleet')")


def test_a_command_that_does_not_end_is_ended():
    with pytest.raises(RuntimeError, match="did not end within"):
        run("import time\ntime.sleep(60)", within_s=0.5)
