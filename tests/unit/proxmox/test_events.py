# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What becomes of one row of Proxmox VE's task lists."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import EventKind
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.events import to_event


@pytest.mark.parametrize(
    ("row", "kind", "words"),
    [
        ({"type": "qmstart", "status": "RUNNING"}, EventKind.OTHER, "still running"),
        ({"type": "qmstart"}, EventKind.OTHER, "still running"),
        ({"type": "qmshutdown", "status": "RUNNING"}, EventKind.GUEST_SHUTDOWN, "still running"),
        ({"type": "qmstart", "status": "OK", "endtime": 9}, EventKind.POWERED_ON, ""),
        ({"type": "qmstart", "status": "got timeout", "endtime": 9}, EventKind.OTHER, "which failed: got timeout"),
        ({"type": "qmstart", "status": "unexpected status", "endtime": 9}, EventKind.OTHER, "which failed"),
    ],
)
def test_a_task_that_runs_has_not_failed(row: dict[str, t.Any], kind: EventKind, words: str) -> None:
    """GET /nodes/{node}/tasks with source=all gives it the status RUNNING."""
    event = to_event({"starttime": 5, **row}, user="anna@pve")
    assert event.kind is kind
    assert words in event.text
    assert ("failed" in event.text) is ("failed" in words)
