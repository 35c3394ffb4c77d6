# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Live progress: one JSON line a step, appended to a file that the action plugin tails while the module runs.

The lines are also the evidence timeline of the module's result.
"""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass, field

from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Clock


@dataclass(slots=True, kw_only=True)
class ProgressLines:
    """Callable that notes one line of progress. Without a path the lines are only kept for the result."""

    clock: Clock
    vm: str
    path: str | None = None
    alert_at_s: float | None = None  # where the RTO clock starts
    rto_s: float | None = None
    lines: list[dict[str, t.Any]] = field(default_factory=list)

    def __call__(self, text: str) -> None:
        line: dict[str, t.Any] = {"at_s": round(self.clock.now_s(), 3), "vm": self.vm, "text": text}
        if self.alert_at_s is not None:
            line["alert_at_s"] = self.alert_at_s
        if self.rto_s is not None:
            line["rto_s"] = self.rto_s
        self._write(line)

    def show(self, text: str) -> None:
        """Show a text of several lines as it stands, e.g. a decision card."""
        self._write({"at_s": round(self.clock.now_s(), 3), "vm": self.vm, "block": text})

    def _write(self, line: dict[str, t.Any]) -> None:
        self.lines.append(line)
        if self.path is not None:
            # One write per line: the reader on the other side never sees half of one.
            with open(self.path, "a", encoding="utf-8") as stream:
                stream.write(json.dumps(line, ensure_ascii=False) + "\n")
