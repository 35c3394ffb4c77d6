# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Loaded by every Python of a command under test, because its folder is on PYTHONPATH. The product knows nothing of it.

With DR_TEST_KILL it kills that command right after the journal has committed a certain record. With DR_TEST_WARM it spares the
command to pack and to compile the same modules a hundred times over: what is run stays what Ansible packed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import marshal
import os
import signal
import sys
import tempfile
import typing as t
import zipimport
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType

STORE = "ansible_collections.ferragosto.dr.plugins.module_utils.journal.store"


class StoreFinder:
    """Lets the journal's module be imported from wherever it is packed, and arms it."""

    def __init__(self, arm: Callable[[ModuleType], None]) -> None:
        self._arm = arm

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != STORE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None:
            spec.loader = t.cast(t.Any, ArmingLoader(spec.loader, self._arm))
        return spec


class ArmingLoader:
    def __init__(self, loader: t.Any, arm: Callable[[ModuleType], None]) -> None:
        self._loader, self._arm = loader, arm

    def __getattr__(self, name: str) -> t.Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        self._arm(module)


class Killer:
    """Strikes after one record: number ``after``; the first that reads like ``at``; or the first of a kind not yet ``met``.

    ``met`` is a file of what has struck before: a command that is started again and again meets every kind of record once.
    """

    def __init__(self, order: dict[str, t.Any]) -> None:
        self._order = order
        self._written: list[t.Any] = []

    def arm(self, module: ModuleType) -> None:
        journal: t.Any = module.SqlJournal
        write = journal._append

        def note(self_: t.Any, *args: t.Any) -> t.Any:
            record = write(self_, *args)
            self._written.append(record)
            return record

        journal._append = note
        # Both leave their transaction before they return: what they wrote is on the disk by then.
        for name in ("append", "acquire"):
            setattr(journal, name, self._then_strike(getattr(journal, name)))

    def _then_strike(self, method: Callable[..., t.Any]) -> Callable[..., t.Any]:
        def call(*args: t.Any, **more: t.Any) -> t.Any:
            result = method(*args, **more)
            while self._written:
                if self._is_due(self._written.pop(0)):
                    strike(self._order.get("whom", "all"))
            return result

        return call

    def _is_due(self, record: t.Any) -> bool:
        parts = [
            record.kind,
            *(str(record.body.get(key, "")) for key in ("phase", "step", "target", "where", "attempt")),
        ]
        like = " | ".join(part for part in parts if part)
        if "after" in self._order:
            return bool(record.seq == self._order["after"])
        if "at" in self._order:
            return like.startswith(self._order["at"])
        met = Path(self._order["met"])
        if like in met.read_text(encoding="utf-8").splitlines():
            return False
        with met.open("a", encoding="utf-8") as out:
            out.write(like + "\n")
        return True


def strike(whom: str) -> None:
    """Kill ``all``: the controller first, then its worker and its shells, this process last; or one of the two ends alone."""
    line = [os.getpid()]
    while is_of_the_command(parent := parent_of(line[-1])):
        line.append(parent)
    victims = {"all": line[::-1], "controller": line[-1:], "module": line[:1]}[whom]
    for pid in victims:
        os.kill(pid, signal.SIGKILL)


def is_of_the_command(pid: int) -> bool:
    """Whoever gave the command did not have the order to kill in its own environment."""
    return b"\0DR_TEST_KILL=" in b"\0" + Path(f"/proc/{pid}/environ").read_bytes()


def parent_of(pid: int) -> int:
    # proc(5): the name, in brackets, may hold anything; the parent is the second field after it.
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return int(stat.rpartition(")")[2].split()[1])


def note_exit(path: str) -> None:
    """Write down with which status a process ends itself past all clean-up: nobody else would see it of an orphan."""
    leave = os._exit

    def noted(status: int) -> t.NoReturn:
        with open(path, "a", encoding="utf-8") as out:
            out.write(f"{os.getpid()} {status}\n")
        leave(status)

    os._exit = noted


def keep_warm(folder: Path) -> None:
    """Let all commands of a test share Ansible's cache of packed modules, and remember what their sources compile to."""
    packed = folder / "ansiballz_cache"
    make = tempfile.mkdtemp

    def mkdtemp(suffix: str | None = None, prefix: str | None = None, dir: str | None = None) -> str:
        made = make(suffix, prefix, dir)
        if prefix is not None and prefix.startswith("ansible-local-"):
            os.symlink(packed, os.path.join(made, packed.name))
        return made

    tempfile.mkdtemp = t.cast(t.Any, mkdtemp)
    library: t.Any = zipimport
    compile_source: Callable[[str, bytes], CodeType] = library._compile_source

    def remembered(path: str, source: bytes) -> CodeType:
        kept = folder / hashlib.sha256(source).hexdigest()
        try:
            return t.cast(CodeType, marshal.loads(kept.read_bytes()))
        except FileNotFoundError:
            code = compile_source(path, source)
            fresh = kept.with_name(f"{kept.name}.{os.getpid()}")
            fresh.write_bytes(marshal.dumps(code))
            fresh.replace(kept)
            return code

    library._compile_source = remembered


if os.environ.get("DR_TEST_WARM"):
    keep_warm(Path(os.environ["DR_TEST_WARM"]))
if os.environ.get("DR_TEST_EXITS"):
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell starts background jobs deaf to Ctrl-C, and the test run may be one; the technician's command is none.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    note_exit(os.environ["DR_TEST_EXITS"])
if os.environ.get("DR_TEST_KILL"):
    sys.meta_path.insert(0, t.cast(t.Any, StoreFinder(Killer(json.loads(os.environ["DR_TEST_KILL"])).arm)))
