# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole world as JSON, for a lab's control door and for the judge of a test."""

from __future__ import annotations

import typing as t
from dataclasses import asdict

from ansible_collections.ferragosto.dr.extensions.twin.world.watch import is_serving

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.world.world import World


def picture(world: World) -> dict[str, t.Any]:
    """The caller holds the world's lock."""
    copies = {}
    for copy in world.copies.values():
        row = asdict(copy)
        row["data"] = asdict(world.data_of(copy))
        row["is_serving"] = is_serving(copy, world.isolated)
        copies[copy.id] = row
    return {
        "now_s": world.clock.now_s(),
        "hosts": {h.name: asdict(h) for h in world.hosts.values()},
        "copies": copies,
        "services": {vm: str(mode) for vm, mode in world.services.items()},
        "jobs": {j.vm: asdict(j) for j in world.jobs.values()},
        "archives": {vm: {p: asdict(d) for p, d in kept.items()} for vm, kept in world.archives.items()},
        "violations": [asdict(v) for v in world.violations],
        "accidents": [asdict(a) for a in world.accidents],
        "calls": dict(world.calls),
    }
