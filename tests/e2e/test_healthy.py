# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A healthy VM is left alone."""

from __future__ import annotations

from ansible_collections.ferragosto.dr.tests.e2e.kit import Bench


def test_healthy_vm_is_not_touched(bench: Bench) -> None:
    before = bench.shown("solo")
    ended = bench.play("recover", limit="solo.clinic")
    assert ended.rc == 0, ended.text
    assert ended.outcome("solo.clinic").startswith("healthy")
    assert "reading site clinic" in ended.out, "it tells what it does while it does it"
    assert bench.changing_calls() == {}
    assert bench.shown("solo") == before
    assert bench.run("solo")["outcome"] == "healthy"
    assert bench.serving("solo") == "production"
