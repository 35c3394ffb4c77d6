# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests of Hyper-V alone ask of a bench again and again."""

from __future__ import annotations

import typing as t

from ansible_collections.ferragosto.dr.tests.e2e.kit import OVERWRITE, Bench

HOME, AWAY = "esx1.clinic.example", "esx2.clinic.example"  # the clinic's words for its two hosts


def reverse(bench: Bench, vm: str) -> dict[str, t.Any]:
    return bench.module("replication", vm=vm, state="reversed", accept=OVERWRITE, policy=bench.policy())


def machine(bench: Bench, vm: str, node: str) -> t.Any:
    """The VM as one host holds it."""
    return next(m for m in bench.lab.fleet.machines_on(node) if m.vm == vm)


def made(bench: Bench, before: t.Mapping[str, int]) -> dict[str, int]:
    """Count the changing calls since ``before``."""
    return {name: n - before.get(name, 0) for name, n in bench.changing_calls().items() if n != before.get(name, 0)}


def requests(bench: Bench) -> dict[str, int]:
    """Count what has come in at the doors, of any kind."""
    return {name: n for name, n in bench.control.calls().items() if name.startswith("wsman:")}
