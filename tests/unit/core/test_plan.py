# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput, DrError, PlanCycle
from ansible_collections.ferragosto.dr.plugins.module_utils.core.plan import PlanItem, external, waves


def plan(*rows: str) -> list[PlanItem]:
    """Read "host priority [dependency ...]"."""
    items = []
    for row in rows:
        host, priority, *needs = row.split()
        items.append(PlanItem(host=host, priority=int(priority), depends_on=tuple(needs)))
    return items


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], ()),
        (["a 3"], (("a",),)),
        (["a 3", "b 3"], (("a", "b"),)),
        (["b 3", "a 3"], (("b", "a"),)),  # ties keep the order given
        (["c 5", "a 1", "b 3"], (("a",), ("b",), ("c",))),
        (["app 1 db", "db 1"], (("db",), ("app",))),
        (["app 1 db", "db 1 dc", "dc 1", "free 1"], (("dc", "free"), ("db",), ("app",))),
        (["app 2 dc", "dc 1"], (("dc",), ("app",))),  # the groups say so already
        (["app 2 dc", "free 2", "dc 1"], (("dc",), ("app", "free"))),  # and cost no further wave
        (["app 1 dc", "dc 3", "x 2"], (("x",), ("dc",), ("app",))),  # pulled later by a later dependency
        (["web 1 app", "app 1 dc", "dc 3", "y 1"], (("y",), ("dc",), ("app",), ("web",))),
        (["app 1 dc", "dc 3", "z 3", "q 4"], (("dc", "z"), ("app",), ("q",))),
        (["a 1 b c", "b 1 d", "c 1", "d 1"], (("c", "d"), ("b",), ("a",))),
        (["gestionale 1 dc01", "dc01 1", "files 2 dc01", "magazzino 3 gestionale"],
         (("dc01",), ("gestionale",), ("files",), ("magazzino",))),
    ],
)  # fmt: skip
def test_waves_follow_priority_and_never_start_a_vm_before_what_it_needs(rows, expected) -> None:
    assert waves(plan(*rows)) == expected


@pytest.mark.parametrize(
    ("rows", "in_play", "expected", "outside"),
    [
        (["app 1 dc", "dc 1"], {"app", "dc"}, (("dc",), ("app",)), {}),
        (["app 1 dc", "dc 1"], {"app"}, (("app",),), {"dc": ("app",)}),
        (["app 1 dc", "dc 5"], {"app"}, (("app",),), {"dc": ("app",)}),  # what is not recovered delays nothing
        (["app 1 mid", "mid 1 dc", "dc 1"], {"app", "dc"}, (("dc",), ("app",)), {"mid": ("app",)}),
        (["app 1 mid", "mid 1 dc", "dc 1"], {"app"}, (("app",),), {"mid": ("app",), "dc": ("app",)}),
        (["a 1 dc", "b 1 dc", "dc 1"], {"a", "b"}, (("a", "b"),), {"dc": ("a", "b")}),
        (["a 1", "dc 1"], set(), (), {}),
    ],
)
def test_dependencies_outside_the_play_are_named_and_not_planned(rows, in_play, expected, outside) -> None:
    assert waves(plan(*rows), in_play) == expected
    assert external(plan(*rows), in_play) == outside


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        (["a 1 a"], "a depends on itself"),
        (["a 1 b", "b 1 a"], "a -> b -> a"),
        (["x 1", "a 1 b", "b 2 c", "c 3 a"], "a -> b -> c -> a"),
        (["x 1 a", "a 1 b", "b 1 a"], "a -> b -> a"),  # x is not part of it
    ],
)
def test_a_cycle_is_refused_by_name(rows, named) -> None:
    with pytest.raises(PlanCycle) as refusal:
        waves(plan(*rows))
    assert refusal.value.why.endswith(named)
    assert isinstance(refusal.value, DrError)
    assert refusal.value.code == "plan_cycle"


@pytest.mark.parametrize("ask", [waves, lambda items: external(items, {"app"})])
@pytest.mark.parametrize(
    ("items", "why"),
    [
        (plan("app 1 dc9"), "app depends on 'dc9', which is not in the inventory"),
        (plan("app 1", "app 2"), "app is listed twice"),
        (plan("app 0"), "dr_priority of app is 0"),
        (plan("app 6"), "dr_priority of app is 6"),
        ([PlanItem(host="app", priority=True)], "dr_priority of app is True"),
        ([PlanItem(host="app", priority="1")], "dr_priority of app is '1'"),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_plan_names_who_and_what(ask, items, why) -> None:
    with pytest.raises(BadInput) as refusal:
        ask(items)
    assert why in refusal.value.why
    assert refusal.value.next


def test_a_chain_of_thousands_is_planned() -> None:
    rows = [PlanItem(host=f"vm{i}", depends_on=(f"vm{i + 1}",) if i < 2999 else ()) for i in range(3000)]
    found = waves(rows)
    assert len(found) == 3000
    assert (found[0], found[-1]) == (("vm2999",), ("vm0",))
