# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a test of any platform's lab holds in its hands: clients to play, the command that plays them, and a guest's page."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
import urllib.error
import urllib.request
from pathlib import Path

from ansible_collections.ferragosto.dr.extensions.twin.lab import Lab, wait_for
from ansible_collections.ferragosto.dr.extensions.twin.world.model import Timing

ROOT = Path(__file__).resolve().parents[3]
LUCA, BIANCHI, VERDI = (ROOT / "clients" / name for name in ("luca", "bianchi", "verdi"))
QUICK = Timing(boot_s=0.15, crash_after_s=0.1, shutdown_s=0.15, relocate_s=0.3, write_interval_s=0.05)
TWIN = [sys.executable, "-m", "ansible_collections.ferragosto.dr.extensions.twin"]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT / ".tree"), os.environ.get("PYTHONPATH")))),
    "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".tree"),
    "ANSIBLE_NOCOLOR": "1",
}


def run(*words: t.Any, env: t.Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, as a person at a desk would."""
    return subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        timeout=120,
        env={**ENVIRONMENT, **(env or {})},
        check=False,
    )


def page(lab: Lab, vm: str) -> dict[str, t.Any]:
    """What a VM's health page says; {} when nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{lab.pages.port(vm)}/health", timeout=2) as answer:
            found: dict[str, t.Any] = json.load(answer)
            return found
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return {}


def await_page(lab: Lab, vm: str, host: str, within_s: float = 5.0) -> None:
    """Wait until the VM's page is served from a host; "" until nobody answers."""
    wait_for(lambda: page(lab, vm).get("host", "") == host, within_s, f"{vm} served by {host!r}, not {page(lab, vm)}")


def inventory_of(host: str, *sources: Path) -> dict[str, t.Any]:
    """What Ansible itself makes of inventories."""
    command = [sys.executable, "-m", "ansible.cli.inventory", "--host", host]
    for source in sources:
        command += ["-i", str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return t.cast("dict[str, t.Any]", json.loads(done.stdout))
