# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Past runs predict the next one, and each tells its story."""

from __future__ import annotations

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core.history import Past, Span, durations, timeline
from ansible_collections.ferragosto.dr.tests.unit.core.pages import ALERT_S, Page


def past_run(
    run_id: str, outcome: str, rto_s: float | None, *, op: str = "recover", vm_key: str = "s/a", fence_s: float = 10
) -> Page:
    page = Page(run_id, vm_key).opened(op)
    page.step("fence", "power off", "x", took_s=fence_s - 4).step("fence", "disconnect", "x", took_s=4)
    if rto_s is not None:
        page.write("mark", mark="T9", at_s=ALERT_S + rto_s)
    return page.write("run_closed", outcome=outcome, why="") if outcome else page


@pytest.mark.parametrize(
    ("pages", "rto", "fence"),
    [
        ([], None, None),
        ([past_run("r1", "recovered_home", 600)], Span(median_s=600, runs=1), Span(median_s=10, runs=1)),
        (
            [past_run(f"r{n}", "recovered_home", rto, fence_s=rto / 10) for n, rto in enumerate((100, 900, 200))],
            Span(median_s=200, runs=3),
            Span(median_s=20, runs=3),
        ),
        ([past_run("r1", "", 600)], None, None),  # still open
        ([past_run("r1", "failed", 600)], None, None),
        ([past_run("r1", "refused", None)], None, None),
        ([past_run("r1", "undone", 600, op="undo")], None, None),
        ([past_run("r1", "recovered_home", None)], None, Span(median_s=10, runs=1)),
        (  # one run id for a whole play is still one run per VM
            [past_run("r1", "recovered_home", 100), past_run("r1", "restarted", 300, vm_key="s/b")],
            Span(median_s=200, runs=2),
            Span(median_s=10, runs=2),
        ),
    ],
)
def test_the_past_predicts_by_medians(pages: list[Page], rto: Span | None, fence: Span | None) -> None:
    past = durations(Page.bind(*pages))
    assert past.rto == rto
    assert past.phases.get("fence") == fence


def test_outcomes_are_told_apart() -> None:
    past = durations(Page.bind(past_run("r1", "restarted", 60), past_run("r2", "recovered_home", 600)))
    assert past.outcomes == {"restarted": Span(median_s=60, runs=1), "recovered_home": Span(median_s=600, runs=1)}
    assert durations([]) == Past()


def test_the_clock_starts_where_the_alert_was_marked() -> None:
    page = Page("r1").opened("recover").write("mark", mark="T2", at_s=ALERT_S - 100)
    page.write("mark", mark="T9", at_s=ALERT_S + 100).write("run_closed", outcome="restarted", why="")
    assert durations(page.records).rto == Span(median_s=200, runs=1)
    assert timeline(page.records, "r1")[0].offset_s == 102


def test_a_run_tells_its_story() -> None:
    page = Page("r1").opened("recover", by="mario").write("mark", mark="T0", at_s=ALERT_S - 60)
    page.write("decided", action="promote", reason="two restarts failed")
    page.write("consent", kind="data_loss", reason="Luca agrees", by="mario")
    page.write("attempt", attempt=1, evidence="blue screen").write("chosen", id="pt-1", name="nightly")
    page.step("fence", "power off", "gestionale on esx1", took_s=2.25)
    page.step("fence", "stamp", "gestionale on esx1", error="no right")
    page.write("run_stopped", outcome="failed", why="no right", step="stamp")
    page.write("lease_taken_over", why="its process is gone").write("run_resumed", by="anna", after_step="power off")
    page.write("verified", where="replica", answers=True).write("verified", where="home", answers=False)
    page.write("verified", where="home", answers=None).write("something_new", x=1)
    page.write("run_closed", outcome="recovered_home", why="")
    told = timeline(Page.bind(Page("r0").opened("commit"), page), "r1")
    assert [moment.text for moment in told] == [
        "recover begins, by mario",
        "T0 reached",
        "decided: promote, two restarts failed",
        "consent to data_loss: Luca agrees, by mario",
        "restart 1: blue screen",
        "recovery point nightly chosen",
        "fence: power off, gestionale on esx1",
        "fence: power off, gestionale on esx1: done in 2.2 s",
        "fence: stamp, gestionale on esx1",
        "fence: stamp, gestionale on esx1: failed: no right",
        "stopped, failed at stamp: no right",
        "lease taken over: its process is gone",
        "continued after power off, by anna",
        "the service answers (replica)",
        "the service does not answer (home)",
        "no check is declared (home)",
        "something_new",
        "closed, recovered_home",
    ]
    assert [moment.offset_s for moment in told[:3]] == [2.0, -60.0, 4.0]
    assert timeline(page.records, "nobody") == []
