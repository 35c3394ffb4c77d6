# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every script that may ever run on a host: the list that the static gate of the tests goes through."""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts import (
    failover,
    machine,
    power,
    reading,
    replication,
    verifying,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts.script import Script


def _all(groups: Iterable[Iterable[Script]]) -> tuple[Script, ...]:
    return tuple(script for group in groups for script in group)


# A module of scripts ends with its own ALL; it is added here and nowhere else.
ALL: tuple[Script, ...] = _all((reading.ALL, machine.ALL, power.ALL, failover.ALL, replication.ALL, verifying.ALL))
