# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who controls: the identity of a process, strong enough to tell whether it still lives."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from pathlib import Path

from ansible_collections.ferragosto.dr.plugins.module_utils.core.owner import Owner

PROC = Path("/proc")


def owner_of(controller_pid: int | None = None, *, worker_pid: int = 0) -> Owner:
    """Describe a controlling process of this machine; None: this very process."""
    pid = os.getpid() if controller_pid is None else controller_pid
    return Owner(
        host=host_identity(),
        boot_id=boot_id(),
        pid=pid,
        started=start_time(pid) or "",
        worker_pid=worker_pid,
        worker_started=(start_time(worker_pid) or "") if worker_pid else "",
    )


def host_identity() -> str:
    """Return "name/machine/pid namespace": equal only where a pid means the same process.

    The machine part is a hash, for machine-id(5) asks not to pass the id itself around. It keeps two machines that are both
    called "localhost" from declaring each other rebooted.
    """
    return "/".join(part for part in (platform.node() or "unknown", _machine(), _pid_namespace()) if part)


def boot_id() -> str:
    """Return what changes with every boot, and only then."""
    found = _read(PROC / "sys/kernel/random/boot_id")
    return found or _ask("sysctl", "-n", "kern.bootsessionuuid") or _ask("sysctl", "-n", "kern.boottime")


def start_time(pid: int) -> str | None:
    """Return when the process was started, in the kernel's words; None when it is gone, "" when it lives unseen.

    A zombie is gone: it can act no more, it only waits for its parent to look.
    """
    if pid <= 0:
        return None
    if (PROC / "self/stat").exists():
        stat = _read(PROC / str(pid) / "stat")
        if stat:
            # proc(5): the name, field 2, is in brackets and may itself hold spaces and brackets.
            fields = stat.rpartition(")")[2].split()
            return None if fields[0] in ("Z", "X", "x") else fields[19]
    else:
        state, _space, started = _ask("ps", "-o", "state=,lstart=", "-p", str(pid)).partition(" ")
        if state:
            return None if state.startswith("Z") else started.strip()
    return "" if _is_there(pid) else None


def is_running(pid: int, started: str) -> bool:
    """Tell whether that very process lives; in doubt it does."""
    now = start_time(pid)
    if now is None:
        return False
    return not now or not started or now == started


def _is_there(pid: int) -> bool:
    # /proc mounted with hidepid shows only one's own processes: another user's controller must not look dead.
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _machine() -> str:
    found = _read(Path("/etc/machine-id"))
    return hashlib.sha256(f"ferragosto.dr {found}".encode()).hexdigest()[:12] if found else ""


def _pid_namespace() -> str:
    try:
        return str(os.stat(PROC / "self/ns/pid").st_ino)
    except OSError:
        return ""


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _ask(*command: str) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=5, check=False, env={**os.environ, "LC_ALL": "C"}
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
