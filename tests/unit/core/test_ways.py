# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core import ways
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput, Refused
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Way
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Record

GIB = 2**30
CLONE = Way(name="clone", is_possible=True, reason="a full copy", copied_bytes=400 * GIB)
NO_CLONE = Way(name="clone", is_possible=False, reason="no room on tank", copied_bytes=400 * GIB)
IN_PLACE = Way(name="in_place", is_possible=True, reason="over SSH")
NO_IN_PLACE = Way(name="in_place", is_possible=False, reason="SSH is not configured")
HA = Way(name="ha", is_possible=True, reason="by the platform's HA", is_opt_in=True)
FAST = ways.Pace(bytes_s=GIB, runs=2)


def result(copied: object, took_s: float, error: str | None = None) -> Record:
    body = {"after": {"copied_bytes": copied}, "took_s": took_s, "error": error}
    return Record(seq=1, at_s=0.0, vm_key="k", run_id="r", kind="result", body=body)


@pytest.mark.parametrize(
    ("offered", "left_s", "speed", "name"),
    [
        ([CLONE, IN_PLACE], 1800, FAST, "clone"),  # 400 s: in time, and the original is untouched
        ([CLONE, IN_PLACE], 399, FAST, "in_place"),
        ([CLONE, IN_PLACE], 400, FAST, "clone"),
        ([CLONE, IN_PLACE], 1800, ways.Pace(), "in_place"),  # 2048 s as assumed
        ([CLONE, NO_IN_PLACE], 1800, ways.Pace(), "clone"),  # late is better than never
        ([NO_CLONE, IN_PLACE], None, ways.Pace(), "in_place"),
        ([CLONE, IN_PLACE], None, ways.Pace(), "clone"),
        ([HA, CLONE], 1800, FAST, "clone"),
    ],
)
def test_what_is_possible_then_what_keeps_the_promise(
    offered: list[Way], left_s: float | None, speed: ways.Pace, name: str
) -> None:
    assert ways.choose(offered, wanted="auto", rto_left_s=left_s, speed=speed).name == name


def test_a_way_that_is_opt_in_is_gone_only_when_named() -> None:
    with pytest.raises(Refused, match="only when named"):
        ways.choose([HA, NO_CLONE], wanted="auto", rto_left_s=None, speed=FAST)
    assert ways.choose([HA, NO_CLONE], wanted="ha", rto_left_s=None, speed=FAST) is HA


def test_a_named_way_that_is_not_possible_is_refused_with_its_reason() -> None:
    with pytest.raises(Refused) as refused:
        ways.choose([CLONE, NO_IN_PLACE], wanted="in_place", rto_left_s=None, speed=FAST)
    assert refused.value.why == "SSH is not configured"
    assert "possible: clone" in refused.value.next


def test_an_unknown_way_is_bad_input_that_names_the_known_ones() -> None:
    with pytest.raises(BadInput, match="clone, in_place"):
        ways.choose([CLONE, IN_PLACE], wanted="teleport", rto_left_s=None, speed=FAST)


def test_the_pace_is_the_median_of_what_was_measured_and_failures_teach_nothing() -> None:
    found = ways.pace([result(100, 1), result(300, 1), result(200, 1), result(9000, 1, "failed"), result(None, 1)])
    assert (found.bytes_s, found.runs) == (200, 3)
    assert ways.pace([]) == ways.Pace()


def test_the_card_says_that_the_pace_is_assumed_and_the_copy_too_late() -> None:
    said = ways.say(CLONE, rto_left_s=1800, speed=ways.Pace())
    assert "400 GiB to copy" in said
    assert "assumed, never measured" in said
    assert said.endswith("longer than the time left")
    assert ways.say(IN_PLACE, rto_left_s=1, speed=FAST) == "in_place: over SSH"
