# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the journal's tests share: a clock, real processes, rights that can be laid down, a file spoilt by hand."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import platform
import sqlite3
import subprocess
import sys
import time
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

from ansible_collections.ferragosto.dr.plugins.module_utils.core.owner import Owner
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.owner import owner_of

NOW_S = 1_786_766_400.0
VM = "luca-sede/gestionale"
FORK = multiprocessing.get_context("fork")


class TurnedClock:
    def __init__(self, now_s: float = NOW_S) -> None:
        self.time_s = now_s

    def now_s(self) -> float:
        return self.time_s

    def sleep(self, seconds: float) -> None:
        self.time_s += seconds


class RealClock:
    def now_s(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


def spoil(path: Path, *statements: str) -> None:
    """Change the file behind the journal's back."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


@contextlib.contextmanager
def living_process() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def foreign(**changes: t.Any) -> Owner:
    """Return an owner on another host."""
    seen = {"host": "milan/abc/4026531836", "boot_id": "boot-m", "pid": 7, "started": "99", **changes}
    return Owner(**seen)


def ours() -> Owner:
    return owner_of()


def in_processes(work: Callable[..., t.Any], each: list[tuple[t.Any, ...]], within_s: float = 60) -> list[t.Any]:
    """Run ``work`` in one process per tuple of arguments, all let loose at once, and gather the answers."""
    answers, gate = FORK.Queue(), FORK.Event()
    crowd = [FORK.Process(target=_one, args=(work, args, gate, answers)) for args in each]
    for process in crowd:
        process.start()
    gate.set()
    try:
        return [answers.get(timeout=within_s) for _process in crowd]
    finally:
        for process in crowd:
            process.join(timeout=5)
            process.kill()


def _one(work: Callable[..., t.Any], args: tuple[t.Any, ...], gate: t.Any, answers: t.Any) -> None:
    gate.wait(30)
    answers.put(work(*args))


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


@contextlib.contextmanager
def plain_rights() -> Iterator[None]:
    """Make file modes bind root too (CI often is root): lay down CAP_DAC_OVERRIDE and _READ_SEARCH, capabilities(7)."""
    if platform.system() != "Linux" or os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = _Header(0x20080522, 0), (_Sets * 2)()
    if libc.capget(ctypes.byref(header), sets) != 0:
        raise OSError(ctypes.get_errno(), "capget")
    before = sets[0].effective
    sets[0].effective = before & ~0b110
    libc.capset(ctypes.byref(header), sets)
    try:
        yield
    finally:
        sets[0].effective = before
        libc.capset(ctypes.byref(header), sets)
