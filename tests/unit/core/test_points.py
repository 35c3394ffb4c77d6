# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput, NotReplicated
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import PointKind, ReplicaKind
from ansible_collections.ferragosto.dr.plugins.module_utils.core.points import (
    alarm_new_vendor_point,
    choose_point,
    loss,
    require_promotable,
)
from ansible_collections.ferragosto.dr.tests.unit.core import facts
from ansible_collections.ferragosto.dr.tests.unit.core.facts import HOUR_S, NOW_S

OLD, MIDDLE, NEW = facts.point(53 * HOUR_S), facts.point(29 * HOUR_S), facts.point(5 * HOUR_S)
OURS = facts.point(60, name="dr-promote-run-1", kind=PointKind.OURS)
POINTS = (OLD, NEW, MIDDLE, OURS)  # in no order


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("latest", NEW),
        ({"id": OLD.id}, OLD),
        ({"before": NOW_S}, NEW),
        ({"before": NEW.created_at_s + 1}, NEW),
        ({"before": NEW.created_at_s}, MIDDLE),  # at the second named it may hold the damage already
        ({"before": MIDDLE.created_at_s - 1}, OLD),
    ],
)
def test_a_point_is_chosen_among_the_vendors_own(choice, expected) -> None:
    assert choose_point(POINTS, choice) == expected


@pytest.mark.parametrize(
    ("choice", "why"),
    [
        ("newest", "'newest' is not a known choice"),
        ({}, "{} is not a known choice"),
        ({"id": "x", "before": 1.0}, "is not a known choice"),
        ({"after": 1.0}, "is not a known choice"),
        ({"before": "yesterday"}, "is not a time"),
        ({"before": OLD.created_at_s}, f"is older than every point; the oldest is {OLD.id}"),
        ({"id": "snapshot-0"}, "is not the id of a recovery point"),
        ({"id": OURS.id}, "is not the id of a recovery point"),  # ours is no recovery point
    ],
)
def test_a_choice_that_fits_no_point_is_refused(choice, why) -> None:
    with pytest.raises(BadInput) as refusal:
        choose_point(POINTS, choice)
    assert why in refusal.value.why
    assert refusal.value.next


def test_a_wrong_id_is_answered_with_the_points_there_are() -> None:
    with pytest.raises(BadInput) as refusal:
        choose_point(POINTS, {"id": "x"})
    shown = refusal.value.next
    assert shown.index(NEW.id) < shown.index(MIDDLE.id) < shown.index(OLD.id)
    assert OURS.id not in shown
    assert "2026-08-14 23:00:00 UTC" in shown


@pytest.mark.parametrize("points", [(), (OURS,)])
def test_without_a_vendor_point_there_is_nothing_to_promote(points) -> None:
    with pytest.raises(NotReplicated):
        choose_point(points, "latest")
    with pytest.raises(NotReplicated):
        require_promotable(facts.replica(points=points))


@pytest.mark.parametrize(
    ("fault_ago_s", "rpo_s", "lost_s", "is_within_rpo"),
    [
        (None, 5 * HOUR_S, 5 * HOUR_S, True),
        (None, 5 * HOUR_S - 1, 5 * HOUR_S, False),
        (HOUR_S, 4 * HOUR_S, 4 * HOUR_S, True),  # met up to its last second
        (HOUR_S, 4 * HOUR_S - 1, 4 * HOUR_S, False),
        (6 * HOUR_S, 1.0, 0.0, True),  # the point is newer than the fault
    ],
)
def test_what_is_lost_is_counted_from_the_point_to_the_fault(fault_ago_s, rpo_s, lost_s, is_within_rpo) -> None:
    fault_at_s = None if fault_ago_s is None else NOW_S - fault_ago_s
    found = loss(NEW, fault_at_s=fault_at_s, now_s=NOW_S, rpo_s=rpo_s)
    assert (found.point, found.age_s) == (NEW, 5 * HOUR_S)
    assert (found.lost_s, found.is_within_rpo) == (lost_s, is_within_rpo)


@pytest.mark.parametrize(
    ("kind", "step"),
    [(ReplicaKind.VSPHERE_REPLICATION, "vSphere Replication itself"), (ReplicaKind.CDP, "that product's console")],
)
def test_targets_of_other_products_are_refused_with_the_next_step(kind, step) -> None:
    with pytest.raises(NotReplicated) as refusal:
        require_promotable(facts.replica(replica_kind=kind))
    assert step in refusal.value.next
    assert "adopt" in refusal.value.next


@pytest.mark.parametrize("kind", [None, ReplicaKind.SNAPSHOT])
def test_a_snapshot_replica_with_a_point_is_promotable(kind) -> None:
    require_promotable(facts.replica(replica_kind=kind))


@pytest.mark.parametrize(("promoted_ago_s", "is_alarm"), [(5 * HOUR_S, False), (5 * HOUR_S + 1, True), (HOUR_S, False)])
def test_a_vendor_point_newer_than_the_promotion_is_an_alarm(promoted_ago_s, is_alarm) -> None:
    alarm = alarm_new_vendor_point(POINTS, NOW_S - promoted_ago_s)
    assert bool(alarm) is is_alarm
    if alarm:
        assert "2026-08-14 23:00:00 UTC" in alarm
        assert "disable the job now" in alarm
