# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages of a journal, written by hand: the records of one run, one second apart."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Record

ALERT_S = 1_786_766_400.0
OPENED_S = ALERT_S + 2


class Page:
    def __init__(self, run_id: str, vm_key: str = "luca-sede/gestionale") -> None:
        self.run_id = run_id
        self.vm_key = vm_key
        self.records: list[Record] = []

    @staticmethod
    def bind(*pages: Page) -> list[Record]:
        """Put pages one after the other into one journal."""
        loose = [record for page in pages for record in page.records]
        return [replace(record, seq=seq) for seq, record in enumerate(loose, start=1)]

    def opened(self, op: str, **body: t.Any) -> Page:
        return self.write("run_opened", op=op, alert_at_s=ALERT_S, **body)

    def write(self, kind_: str, /, **body: t.Any) -> Page:
        seq = len(self.records) + 1
        self.records.append(
            Record(seq=seq, at_s=OPENED_S + seq - 1, vm_key=self.vm_key, run_id=self.run_id, kind=kind_, body=body)
        )
        return self

    def intent(self, phase: str, step: str, target: str, before: dict[str, t.Any] | None = None) -> Page:
        return self.write("intent", phase=phase, step=step, target=target, calls=[], before=before or {})

    def step(
        self,
        phase: str,
        step: str,
        target: str,
        *,
        before: dict[str, t.Any] | None = None,
        error: str | None = None,
        took_s: float = 1.0,
    ) -> Page:
        self.intent(phase, step, target, before)
        return self.write("result", phase=phase, step=step, target=target, after={}, error=error, took_s=took_s)
