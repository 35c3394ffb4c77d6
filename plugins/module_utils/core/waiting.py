# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting: bounded, named, and on a clock that tests can turn."""

from __future__ import annotations

import typing as t
from collections.abc import Callable

from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Clock

T = t.TypeVar("T")


def wait_until(look: Callable[[], T | None], *, within_s: float, clock: Clock, every_s: float = 0.5) -> T | None:
    """Call ``look`` until it returns something; None when ``within_s`` went by."""
    deadline = clock.now_s() + within_s
    while True:
        found = look()
        if found is not None:
            return found
        left_s = deadline - clock.now_s()
        if left_s <= 0:
            return None
        clock.sleep(min(every_s, left_s))
