# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an interrupted run leaves to be done, and whether production can be proven off."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core.findings import FenceProof, ProofKind
from ansible_collections.ferragosto.dr.plugins.module_utils.core.runs import Run, StepRef
from ansible_collections.ferragosto.dr.plugins.module_utils.core.situation import FenceOutlook, Resume, resume_of


@pytest.mark.parametrize(
    ("found", "outlook"),
    [
        (FenceProof(kind=ProofKind.SEEN_OFF, detail="seen off"), FenceOutlook(is_provable=True, reason="seen off")),
        ("no witness", FenceOutlook(is_provable=False, reason="no witness")),
    ],
)
def test_an_outlook_is_made_of_a_proof_or_of_the_reason_why_there_is_none(
    found: FenceProof | str, outlook: FenceOutlook
) -> None:
    assert FenceOutlook.of(found) == outlook


def run(*phases: str, **more: t.Any) -> Run:
    done = tuple(StepRef(phase=phase, step=f"do {phase}", target="vm") for phase in phases)
    words: dict[str, t.Any] = {"op": "recover", "has_acted": bool(set(phases) - {"restart"})}
    return Run(run_id="r1", vm_key="s/vm", opened_at_s=1.0, alert_at_s=1.0, steps_done=done, **(words | more))


@pytest.mark.parametrize(
    ("found", "resume"),
    [
        (None, None),
        (run("fence", outcome="failed"), None),
        (run("undo", op="undo"), None),
        (run(), Resume(run_id="r1")),
        (run("restart", restarts_ended=2), Resume(run_id="r1", restarts_done=2, last_step="do restart")),
        (run("fence"), Resume(run_id="r1", has_acted=True, last_step="do fence")),
        # Killed after the stamp of the fence, with the copy still on: the clock has its T6, the fence is not done.
        (run("fence", marks={"T6": 5.0}), Resume(run_id="r1", has_acted=True, last_step="do fence")),
        # Killed when the guest was seen alive, with its NICs still unplugged; an earlier restart had served for a while.
        (
            run("fence", "promote", marks={"T6": 5.0, "T8": 6.0, "T9": 4.0}),
            Resume(run_id="r1", has_acted=True, done=frozenset({"fence"}), last_step="do promote"),
        ),
        (
            run("fence", "promote"),
            Resume(run_id="r1", has_acted=True, done=frozenset({"fence"}), last_step="do promote"),
        ),
        (
            run("fence", dangling=StepRef(phase="promote", step="power on", target="vm")),
            Resume(run_id="r1", has_acted=True, done=frozenset({"fence"}), last_step="do fence"),
        ),
        (
            run("fence", "promote", "migrate"),
            Resume(run_id="r1", has_acted=True, done=frozenset({"fence", "promote", "verify"}), last_step="do migrate"),
        ),
        (  # promoted in place: its data travel home before it does
            run("fence", "promote", "reprotect"),
            Resume(
                run_id="r1", has_acted=True, done=frozenset({"fence", "promote", "verify"}), last_step="do reprotect"
            ),
        ),
        (
            run("migrate", marks={"T6": 1.0, "T9": 2.0, "T12": 3.0}),
            Resume(
                run_id="r1",
                has_acted=True,
                done=frozenset({"fence", "promote", "verify", "migrate"}),
                last_step="do migrate",
            ),
        ),
    ],
)
def test_a_part_is_done_only_when_a_later_one_was_begun(found: Run | None, resume: Resume | None) -> None:
    assert resume_of(found) == resume
