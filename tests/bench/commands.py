# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real playbooks as child processes: their CPU, their wall time, and when a line came on screen."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import typing as t
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TREE = ROOT / ".tree"
COLLECTIONS = "ANSIBLE_COLLECTIONS_PATH"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a command and all its descendants took. ``queued_s``: of the wall time, what it could have run in and had no core."""

    cpu_s: float
    wall_s: float
    queued_s: float = 0.0


def playbook(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).parent / "ansible-playbook"), *arguments]


def environment(home: Path, *more_collections: str) -> dict[str, str]:
    """Return an environment in which no desk's own settings of Ansible count."""
    home.mkdir(exist_ok=True)
    (home / "ansible.cfg").touch()
    own = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "DR_"))}
    return {
        **own,
        COLLECTIONS: os.pathsep.join([str(TREE), *more_collections]),
        "ANSIBLE_CONFIG": str(home / "ansible.cfg"),
        "ANSIBLE_HOME": str(home),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
        "ANSIBLE_NOCOLOR": "1",
        "LC_ALL": "C.UTF-8",
    }


def write_play(
    path: Path,
    tasks: Sequence[Mapping[str, t.Any]],
    *,
    hosts: str = "localhost",
    vars_files: Sequence[str] = (),
    **variables: t.Any,
) -> Path:
    """Write a play, for localhost unless told otherwise, as JSON, which is YAML; readable by its owner alone."""
    variables = {"ansible_python_interpreter": "{{ ansible_playbook_python }}", **variables}
    play = {"hosts": hosts, "gather_facts": False, "vars": variables, "tasks": list(tasks)}
    if vars_files:
        play["vars_files"] = list(vars_files)
    path.touch(mode=0o600)
    path.write_text(json.dumps([play], indent=1), encoding="utf-8")
    return path


def measure(command: Sequence[str], *, env: Mapping[str, str], within_s: float) -> Usage:
    """Run a command. Raise RuntimeError with its last words when it fails, or does not end in time."""
    started_s = time.monotonic()
    # Into a file: a pipe that nobody reads meanwhile would stop a command that says much
    with (
        tempfile.TemporaryFile() as out,
        subprocess.Popen(
            command, env=dict(env), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):  # fmt: skip
        queue = _Queue(process.pid)
        ended, status, used = os.wait4(process.pid, os.WNOHANG)
        while not ended and time.monotonic() < started_s + within_s:
            time.sleep(0.02)
            queue.look()
            ended, status, used = os.wait4(process.pid, os.WNOHANG)
        wall_s = time.monotonic() - started_s
        if not ended:
            os.killpg(process.pid, signal.SIGKILL)
            raise RuntimeError(f"{' '.join(command)} did not end within {within_s:.0f} s")
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        said = out.read().decode(errors="replace")
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{said[-3000:]}")
    return Usage(cpu_s=used.ru_utime + used.ru_stime, wall_s=wall_s, queued_s=queue.waited_s)


class _Queue:
    """Adds up how long a tree of processes waited for a core, as Linux tells it; 0 where the system does not.

    Of any moment no more than the moment itself counts, however many threads waited in it.
    """

    def __init__(self, pid: int) -> None:
        self.waited_s = 0.0
        self._pid, self._seen_at_s = pid, time.monotonic()
        self._seen: dict[str, int] = {}

    def look(self) -> None:
        now_s, more = time.monotonic(), 0
        for task in _tasks(self._pid):
            try:
                waited = int(Path(f"{task}/schedstat").read_text(encoding="ascii").split()[1])
            except (OSError, IndexError):
                continue
            more += waited - self._seen.get(task, 0)
            self._seen[task] = waited
        self.waited_s += min(more / 1e9, now_s - self._seen_at_s)
        self._seen_at_s = now_s


def _tasks(pid: int) -> Iterator[str]:
    """Yield every thread of a process and of its descendants, as folders of /proc."""
    try:
        tasks = [f"/proc/{pid}/task/{tid}" for tid in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return
    yield from tasks
    for task in tasks:
        try:
            children = Path(f"{task}/children").read_text(encoding="ascii").split()
        except OSError:
            continue
        for child in children:
            yield from _tasks(int(child))


def seconds_to_line(
    command: Sequence[str], start: str, *, env: Mapping[str, str], within_s: float
) -> tuple[float, float]:
    """Run a command; return the seconds until a line beginning with ``start`` was on screen, and its CPU seconds."""
    started_s, shown_s, said = time.monotonic(), 0.0, []
    with subprocess.Popen(
        command, env=dict(env), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True, text=True,
    ) as process:  # fmt: skip
        for text in process.stdout:
            said.append(text)
            if not shown_s and text.startswith(start):
                shown_s = time.monotonic() - started_s
            if time.monotonic() > started_s + within_s:
                os.killpg(process.pid, signal.SIGKILL)
        dummy, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if not shown_s or process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} never showed {start!r}:\n{''.join(said)[-3000:]}")
    return shown_s, used.ru_utime + used.ru_stime
