# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One VM, one run: the bench on which every changing module does its work, against ports only."""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.ferragosto.dr.plugins.module_utils.core import runs
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Clock, Journal, Progress, Site
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import (
    Step,
    StepDone,
    predict_steps,
    run_steps,
)


@dataclass(slots=True, kw_only=True)
class Work:
    """What a use case needs to change something. In check mode nothing is acted on and nothing is journalled."""

    site: Site
    journal: Journal
    clock: Clock
    progress: Progress
    guard: Callable[[], None]
    vm_key: str
    run_id: str
    is_check: bool
    stays_open: bool = False  # the run goes on after this call
    done: list[StepDone] = field(default_factory=list)

    def do(self, phase: str, steps: Iterable[Step]) -> bool:
        """Run (or, in check mode, predict) the steps; tell whether anything changed."""
        if self.is_check:
            found = predict_steps(steps)
        else:
            found = run_steps(
                steps,
                log=PhaseLog(work=self, phase=phase),
                now_s=self.clock.now_s,
                progress=self.progress,
                guard=self.guard,
            )
        self.done += found
        return any(step.changed for step in found)

    def note(self, kind: str, body: Mapping[str, t.Any]) -> None:
        """Write one record of this run."""
        if not self.is_check:
            self.journal.append(self.vm_key, self.run_id, kind, body)

    @property
    def changed(self) -> bool:
        return any(step.changed for step in self.done)

    def report(self) -> dict[str, t.Any]:
        """Return what every changing module returns about its steps, with a diff where something changed."""
        acted = [step for step in self.done if step.changed]
        return {
            "changed": bool(acted),
            "steps": [_as_row(step) for step in self.done],
            "calls": [call for step in acted for call in step.calls],
            "diff": [
                {
                    "before_header": f"{step.target} before: {step.step}",
                    "after_header": f"{step.target} after: {step.step}",
                    "before": dict(step.before),
                    "after": dict(step.after) if not self.is_check else {"would call": list(step.calls)},
                }
                for step in acted
            ],
        }


def _as_row(step: StepDone) -> dict[str, t.Any]:
    return {
        "step": step.step,
        "target": step.target,
        "changed": step.changed,
        "before": dict(step.before),
        "after": dict(step.after),
        "took_s": step.took_s,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseLog:
    """The journal as ``run_steps`` sees it: bound to one VM, one run and one phase of the procedure."""

    work: Work
    phase: str

    def intent(self, step: Step, before: Mapping[str, t.Any]) -> None:
        self.work.note("intent", {**self._head(step), "calls": list(step.calls), "before": dict(before)})

    def result(self, step: Step, after: Mapping[str, t.Any], *, error: str | None, took_s: float) -> None:
        body = {**self._head(step), "after": dict(after), "error": error, "took_s": round(took_s, 3)}
        self.work.note("result", body)

    def is_dangling(self, step: Step) -> bool:
        records = self._records()
        return runs.is_dangling(records, self.work.run_id, self.phase, step.name, step.target)

    def _records(self) -> Sequence[t.Any]:
        return self.work.journal.records(vm_key=self.work.vm_key, run_id=self.work.run_id, kinds=("intent", "result"))

    def _head(self, step: Step) -> dict[str, t.Any]:
        return {"phase": self.phase, "step": step.name, "target": step.target}
