# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a benchmark calls met and missed."""

from __future__ import annotations

import json
import time

import pytest

from ansible_collections.ferragosto.dr.tests.bench.figures import (
    at_most,
    at_most_times,
    line,
    missed,
    publish,
    scaled,
    slope_ms,
    told,
    write,
)


@pytest.mark.parametrize(("value", "verdict"), [(1.2, "ok"), (1.3, "ok"), (1.31, "MISSED")])
def test_a_ratio_is_met_up_to_its_goal(value, verdict):
    figure = at_most_times("read", [value], [1.0], times=1.3)
    assert figure.verdict == verdict
    assert line(figure).endswith(verdict)


def test_a_slow_moment_of_the_machine_counts_for_both_sides():
    figure = at_most_times("read", [1.1, 1.1, 9.9], [1.0, 1.0, 9.0], times=1.3)
    assert figure.ratio == pytest.approx(1.1)


@pytest.mark.parametrize(("values", "is_met"), [([9.0, 10.0, 99.0], True), ([9.0, 10.1, 10.2], False)])
def test_a_limit_is_held_by_the_median(values, is_met):
    assert at_most("card", values, 10.0).is_met is is_met


def test_a_figure_without_goal_misses_none():
    assert missed([told("start-up", 99.0, floor=1.0)]) == []


@pytest.mark.parametrize(("many", "whole"), [(20, 11.0), (200, 101.0), (1, 1.5)])
def test_what_few_took_is_scaled_less_what_falls_due_once(many, whole):
    assert scaled(11.0, 1.0, 20, many) == pytest.approx(whole)


def test_a_slope_is_what_each_further_thing_takes():
    assert slope_ms([2.0, 2.1, 9.0], [10.0, 10.1, 10.2], 800) == pytest.approx(10.0)


@pytest.mark.parametrize(("limit", "status"), [(1.0, 0), (0.5, 1)])
def test_a_missed_goal_is_told_and_ends_with_1(tmp_path, capsys, limit, status):
    out = tmp_path / "x.json"
    assert publish([at_most("scan", [1.0], limit)], out, notes="", more={}) == status
    told_as = capsys.readouterr()
    assert ("MISSED scan" in told_as.err) is bool(status)
    assert json.loads(out.read_text(encoding="utf-8"))["all_met"] is not bool(status)


@pytest.mark.parametrize(("limit", "all_met"), [(1.0, True), (0.5, False)])
def test_the_file_says_whether_all_goals_are_met(tmp_path, limit, all_met):
    path = tmp_path / "bench" / "x.json"
    write(path, [at_most("a", [1.0], limit), told("b", 2.0)], notes="", began_s=time.monotonic(), more={"vms": 3})
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["all_met"] is all_met
    assert [figure["name"] for figure in content["figures"]] == ["a", "b"]
