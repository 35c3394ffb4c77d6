# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a test of the Proxmox lab holds in its hands: proxmoxer, a client that nobody here wrote."""

from __future__ import annotations

import time
import typing as t

from proxmoxer import ProxmoxAPI, ResourceException  # type: ignore[import-untyped]

from ansible_collections.ferragosto.dr.extensions.twin import overlay
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.lab import ProxmoxLab

__all__ = ["ResourceException", "api", "finish"]


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
