# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command that plays a client's site: in the foreground until Ctrl-C, or in the background until it is told to end."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import typing as t
from pathlib import Path

from ansible_collections.ferragosto.dr.extensions.twin.inventory import BadInventory, read_site
from ansible_collections.ferragosto.dr.extensions.twin.lab import Lab, LabImpossible, LabRunning
from ansible_collections.ferragosto.dr.extensions.twin.labs import LABS, lab_of
from ansible_collections.ferragosto.dr.extensions.twin.world.model import Timing

READY_S = 60.0  # vcsim on a busy machine; the Proxmox twin needs a second or two
END_S = 20.0
_SECRETS = ("api_password", "api_token_secret")


def main(provider: str | None = None, words: list[str] | None = None) -> int:
    """Play ``provider``; None: the one that is named, else the client's own."""
    given = _arguments(provider, words)
    logging.basicConfig(level=logging.WARNING, format="lab: %(levelname)s %(message)s")
    try:
        if given.end:
            return _end(given.state_dir)
        if given.inventory is None:
            raise BadInventory("name the client's inventory: --inventory clients/luca")
        wanted = provider or given.provider or read_site(given.inventory, given.lab_file).provider
        kind = lab_of(wanted)
        if given.background:
            return _in_background(given, wanted)
        return _in_foreground(given, kind)
    except (BadInventory, LabRunning, LabImpossible) as problem:
        print(f"lab: {problem}", file=sys.stderr)
        return 2


def _arguments(provider: str | None, words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="twin", description="Play a client's site on loopback, from the client's own inventory."
    )
    parser.add_argument("-i", "--inventory", type=Path, help="the client's inventory, e.g. clients/luca")
    parser.add_argument("--lab-file", type=Path, help="default: <inventory>.lab.yml beside the inventory")
    parser.add_argument("--state-dir", type=Path, default=Path("build/lab"), help="default: %(default)s")
    if provider is None:
        parser.add_argument("--provider", choices=sorted(LABS), help="default: the platform of the client's dr_site")
    parser.add_argument("--fast", action="store_true", help="guests boot and move in tenths of seconds")
    parser.add_argument("--story", action="store_true", help="begin with the lab file's story: that VM has crashed")
    parser.add_argument("--print", action="store_true", help="print the overlay inventory too, with its secrets masked")
    parser.add_argument("--background", action="store_true", help="return when it is ready; it runs until --end")
    parser.add_argument("--end", action="store_true", help="end the lab of --state-dir that runs in the background")
    return parser.parse_args(words)


def _in_foreground(given: argparse.Namespace, kind: type[Lab]) -> int:
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    timing = Timing.fast() if given.fast else Timing()
    with kind.start(given.inventory, given.lab_file, timing, given.state_dir) as lab:
        if given.story:
            lab.control.begin_story()
        print(_where(given, lab.overlay_path), flush=True)
        over.wait()
    return 0


def _where(given: argparse.Namespace, overlay: Path) -> str:
    """The overlay's path alone in the first line, for a program; then what a person does with it."""
    both = f"-i {given.inventory} -i {overlay}"
    lines = [str(overlay), f"# ansible-playbook ferragosto.dr.assess {both}"]
    lines.append(f"# ansible-playbook ferragosto.dr.recover {both} --limit <host>")
    return "\n".join([*lines, _masked(overlay)] if given.print else lines)


def _masked(overlay: Path) -> str:
    lines = overlay.read_text(encoding="utf-8").splitlines()
    return "\n".join(
        f"{line.partition(':')[0]}: '***'" if line.strip().partition(":")[0] in _SECRETS else line for line in lines
    )


# --- in the background -----------------------------------------------------------------------------------------------


def _in_background(given: argparse.Namespace, provider: str) -> int:
    """Start the same command in a session of its own, and return when its site answers."""
    state: Path = given.state_dir
    state.mkdir(parents=True, exist_ok=True)
    if holder(state) is not None:
        facts = _facts(state)
        if (facts.get("inventory"), facts.get("provider")) != (str(given.inventory.resolve()), provider):
            raise LabRunning(f"another lab runs in {state} already: end it with --end, or name another --state-dir")
        print(f"it runs in {state} already", file=sys.stderr)
        print(_where(given, state / "overlay.yml"), flush=True)
        return 0
    command = [sys.executable, "-m", __package__ or "", "--provider", provider, "--state-dir", str(state)]
    command += ["--inventory", str(given.inventory)]
    command += ["--lab-file", str(given.lab_file)] if given.lab_file else []
    command += [word for word, is_set in (("--fast", given.fast), ("--story", given.story)) if is_set]
    log = state / "lab.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    deadline = time.monotonic() + READY_S
    while not _is_ready(state, process.pid, log):
        if process.poll() is not None:
            said = log.read_text(encoding="utf-8", errors="replace").strip().removeprefix("lab: ")
            raise LabImpossible(said[-2000:] or f"it ended with {process.returncode} and said nothing")
        if time.monotonic() > deadline:
            process.terminate()
            raise LabImpossible(f"not ready after {READY_S:.0f} s; see {log}")
        time.sleep(0.05)
    print(_where(given, state / "overlay.yml"), flush=True)
    return 0


def _is_ready(state: Path, pid: int, log: Path) -> bool:
    """Its facts are written, and it has said where the overlay is: its story, if any, has begun."""
    return _facts(state).get("pid") == pid and log.stat().st_size > 0


def _facts(state: Path) -> dict[str, t.Any]:
    with contextlib.suppress(OSError, ValueError):
        found: dict[str, t.Any] = json.loads((state / "lab.json").read_text(encoding="utf-8"))
        return found
    return {}


def holder(state: Path) -> int | None:
    """The process that plays a lab in this folder; None when there is none."""
    with contextlib.suppress(FileNotFoundError), (state / "lock").open(encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return int(lock.read() or 0) or None
    return None


def _end(state: Path) -> int:
    """End the lab of a folder; one that does not run is as good as ended."""
    pid = holder(state)
    if pid is None:
        print(f"no lab runs in {state}")
        return 0
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + END_S
    while holder(state) is not None:
        if time.monotonic() > deadline:
            raise LabImpossible(f"process {pid} plays the lab of {state} still, {END_S:.0f} s after it was told to end")
        time.sleep(0.05)
    print(f"ended the lab in {state}")
    return 0
