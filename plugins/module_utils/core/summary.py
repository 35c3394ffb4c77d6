# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run in numbers: outcome, clock, what was promised and what was achieved, and its steps with their times."""

from __future__ import annotations

import typing as t
from collections.abc import Sequence

from ansible_collections.ferragosto.dr.plugins.module_utils.core import clock, history, runs
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Record


def summary(records: Sequence[Record], run_id: str, *, now_s: float) -> dict[str, t.Any]:
    """Return the run as a flat dict for modules, messages and reports. ``records`` are those of this run."""
    run = runs.read_run(records, run_id)
    if run is None:
        return {"run_id": run_id}
    contract = runs.promised([record for record in records if record.run_id == run_id])
    chosen = [r.body for r in records if r.kind == "chosen"][:1]
    point = chosen[0] if chosen else None
    instants = run.marks
    rto_from = str(contract.get("rto_from") or "alert")
    return {
        "run_id": run_id,
        "op": run.op,
        "outcome": run.outcome or "open",
        "why": run.why or run.stopped,
        "by": run.by,
        "marks": dict(instants),
        "opened_at_s": run.opened_at_s,
        "rto_achieved_s": _rounded(clock.rto_achieved_s(instants, rto_from)),
        "rto_target_s": contract.get("rto_s"),
        "rpo_achieved_s": _rounded(_rpo(instants, point)),
        "rto_from": rto_from,
        "rpo_target_s": contract.get("rpo_s"),
        "point": point,
        "unprotected_s": _rounded(clock.unprotected_s(instants, now_s)),
        "consents": [{"kind": c.kind, "reason": c.reason, "by": c.by, "at_s": c.at_s} for c in run.consents],
        "resumed": run.resumed,
        "steps": steps(records),
        "timeline": [{"at_s": m.at_s, "text": m.text} for m in history.timeline(records, run_id)],
    }


def line(found: t.Mapping[str, t.Any]) -> str:
    """Say how a run ended in one line."""
    said = [str(found["outcome"])]
    achieved, target = found["rto_achieved_s"], found["rto_target_s"]
    if achieved is not None:
        promised = f" of {clock.say_duration(target)} promised" if target else ""
        said.append(f"the service answered after {clock.say_duration(achieved)}{promised}")
    if found["point"] is not None and found["rpo_achieved_s"] is not None:
        said.append(f"{clock.say_duration(found['rpo_achieved_s'])} of data lost")
    if found["outcome"] == "refused" and found["why"]:
        said.append(str(found["why"]))
    return "; ".join(said)


def steps(records: Sequence[Record]) -> list[dict[str, t.Any]]:
    """Return every act of the run with its times; what was interrupted has no end."""
    found: list[dict[str, t.Any]] = []
    for record in records:
        body = record.body
        if record.kind == "intent":
            found.append(
                {
                    "phase": body.get("phase"),
                    "name": body.get("step"),
                    "target": body.get("target"),
                    "started_at_s": record.at_s,
                    "ended_at_s": None,
                    "error": None,
                }
            )
        elif record.kind == "result":
            for row in reversed(found):
                if (row["phase"], row["name"], row["target"]) == (
                    body.get("phase"),
                    body.get("step"),
                    body.get("target"),
                ):
                    row["ended_at_s"] = record.at_s
                    row["error"] = body.get("error")
                    break
    return found


def _rpo(instants: t.Mapping[str, float], point: t.Mapping[str, t.Any] | None) -> float | None:
    return clock.rpo_achieved_s(instants, None if point is None else float(point["created_at_s"]))


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
