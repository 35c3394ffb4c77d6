# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every call of a module has: parameters, a clock, progress lines. It opens nothing, so that a bulk read pays for no more."""

from __future__ import annotations

import time
import typing as t
from collections.abc import Mapping

from ansible_collections.ferragosto.dr.plugins.module_utils.progress import ProgressLines


class SystemClock:
    """The clock of this machine."""

    def now_s(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class Invocation:
    """One call of a module; ``Session`` adds sites, journal and VM."""

    def __init__(self, params: Mapping[str, t.Any], *, is_check: bool) -> None:
        self.params = params
        self.is_check = is_check
        self.clock = SystemClock()
        self.context: Mapping[str, t.Any] = params.get("run_context") or {}
        self.progress = ProgressLines(
            clock=self.clock, vm=str(params.get("vm") or ""), path=self.context.get("progress_path")
        )

    def close(self) -> None:
        """Close what was opened."""
