# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a test of the Proxmox lab holds in its hands: proxmoxer, a client that nobody here wrote, and a guest's page."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import typing as t
import urllib.error
import urllib.request
from pathlib import Path

from proxmoxer import ProxmoxAPI, ResourceException  # type: ignore[import-untyped]

from ansible_collections.ferragosto.dr.extensions.twin import overlay
from ansible_collections.ferragosto.dr.extensions.twin.lab import wait_for
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.lab import ProxmoxLab
from ansible_collections.ferragosto.dr.extensions.twin.world.model import Timing

__all__ = [
    "BIANCHI",
    "LUCA",
    "QUICK",
    "ROOT",
    "ResourceException",
    "api",
    "await_page",
    "finish",
    "inventory_of",
    "page",
]

ROOT = Path(__file__).resolve().parents[3]
LUCA, BIANCHI = ROOT / "clients" / "luca", ROOT / "clients" / "bianchi"
QUICK = Timing(boot_s=0.15, crash_after_s=0.1, shutdown_s=0.15, relocate_s=0.3, write_interval_s=0.05)


def api(lab: ProxmoxLab, end: str = "production") -> t.Any:
    """Log in with nothing but the words of the overlay."""
    (group,) = overlay.read(lab.overlay_path).values()
    words = group["vars"]["dr_site"][end]
    return ProxmoxAPI(
        words["api_host"],
        port=words["api_port"],
        user=words["api_user"],
        token_name=words["api_token_id"],
        token_value=words["api_token_secret"],
        verify_ssl=words["ca_path"],
        timeout=20,
    )


def finish(client: t.Any, upid: str, within_s: float = 10.0) -> str:
    """Wait for a task; returns how it ended."""
    node = upid.split(":")[1]
    deadline = time.monotonic() + within_s
    while (shown := client.nodes(node).tasks(upid).status.get())["status"] != "stopped":
        assert time.monotonic() < deadline, f"{upid} did not end: {shown}"
        time.sleep(0.02)
    return str(shown["exitstatus"])


def page(lab: ProxmoxLab, vm: str) -> dict[str, t.Any]:
    """What a VM's health page says; {} when nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{lab.pages.port(vm)}/health", timeout=2) as answer:
            found: dict[str, t.Any] = json.load(answer)
            return found
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return {}


def await_page(lab: ProxmoxLab, vm: str, host: str, within_s: float = 5.0) -> None:
    """Wait until the VM's page is served from a host; "" until nobody answers."""
    wait_for(lambda: page(lab, vm).get("host", "") == host, within_s, f"{vm} served by {host!r}, not {page(lab, vm)}")


def inventory_of(host: str, *sources: Path) -> dict[str, t.Any]:
    """What Ansible itself makes of inventories."""
    command = [sys.executable, "-m", "ansible.cli.inventory", "--host", host]
    for source in sources:
        command += ["-i", str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return t.cast("dict[str, t.Any]", json.loads(done.stdout))
