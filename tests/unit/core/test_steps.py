# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
from collections.abc import Callable, Iterator, Mapping

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import (
    DrError,
    Interrupted,
    LeaseHeld,
    ProviderFault,
    SiteUnreachable,
    StepFailed,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import (
    Sight,
    Step,
    StepDone,
    predict_steps,
    run_steps,
)


class Hypervisor:
    """A handful of switches with the faults of a real one; ``told`` is everything that was asked, in order."""

    def __init__(self, **switches: bool) -> None:
        self.switches = switches
        self.told: list[str] = []
        self.before: Callable[[str], None] = lambda _name: None  # may raise: the call never had its effect
        self.after: Callable[[str], None] = lambda _name: None  # may raise: it had, and its answer is bad or lost
        self.is_answering = True
        self.is_inert = False

    def look(self, name: str) -> Sight:
        self.told.append(f"look {name}")
        if not self.is_answering:
            raise SiteUnreachable(what="read", why="no answer", next="wait")
        return Sight(is_done=self.switches[name], seen={name: self.switches[name]})

    def act(self, name: str) -> None:
        self.told.append(f"act {name}")
        self.before(name)
        if not self.is_inert:
            self.switches[name] = True
        self.after(name)

    def step(self, name: str) -> Step:
        return Step(
            name=f"switch {name}",
            target="vm on esx1",
            calls=(f"Switch({name})",),
            look=lambda: self.look(name),
            act=lambda: self.act(name),
            next=f"switch {name} by hand",
        )


class Log:
    """A journal in a list: it outlives a killed run."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, Mapping[str, t.Any], str | None]] = []

    def intent(self, step: Step, before: Mapping[str, t.Any]) -> None:
        self.rows.append(("intent", step.name, before, None))

    def result(self, step: Step, after: Mapping[str, t.Any], *, error: str | None, took_s: float) -> None:
        assert took_s >= 0
        self.rows.append(("result", step.name, after, error))

    def is_dangling(self, step: Step) -> bool:
        own = [row for row in self.rows if row[1] == step.name]
        return bool(own) and own[-1][0] == "intent"

    def kinds(self) -> list[str]:
        return [f"{row[0]} {row[1]}{' failed' if row[3] else ''}" for row in self.rows]


class Killed(BaseException):
    """SIGKILL at this very place."""


def run(world: Hypervisor, log: Log, *names: str, guard: Callable[[], None] = lambda: None) -> list[StepDone]:
    ticks = iter(range(1000))
    return run_steps(
        (world.step(name) for name in names),
        log=log,
        now_s=lambda: float(next(ticks)),
        progress=lambda text: world.told.append(f"say {text}"),
        guard=guard,
    )


def always(error: BaseException) -> Callable[[str], None]:
    def fail(_name: str) -> None:
        raise error

    return fail


def fault(*, is_answer_lost: bool, next: str = "ask the vendor", has_cure: bool = True) -> ProviderFault:
    return ProviderFault(
        what="Switch", why="vim.fault.Odd", next=next, is_answer_lost=is_answer_lost, has_cure=has_cure
    )


def test_a_step_is_looked_at_intended_acted_and_looked_at_again() -> None:
    world, log = Hypervisor(a=False, b=True), Log()
    done = run(world, log, "a", "b")
    assert world.told == ["look a", "say switch a: vm on esx1", "act a", "look a", "look b"]
    assert log.rows == [("intent", "switch a", {"a": False}, None), ("result", "switch a", {"a": True}, None)]
    first, second = done
    assert (first.changed, first.before, first.after, first.calls) == (True, {"a": False}, {"a": True}, ("Switch(a)",))
    assert first.took_s == 1.0
    assert (second.changed, second.before, second.calls) == (False, {"b": True}, ())


def test_running_again_acts_on_nothing_and_writes_nothing() -> None:
    world, log = Hypervisor(a=False, b=False), Log()
    run(world, log, "a", "b")
    written, world.told = list(log.rows), []
    done = run(world, log, "a", "b")
    assert not any(step.changed for step in done)
    assert world.told == ["look a", "look b"]
    assert log.rows == written


@pytest.mark.parametrize("is_answer_lost", [True, False])
def test_an_error_after_the_effect_is_settled_by_looking_and_nothing_is_repeated(is_answer_lost: bool) -> None:
    world, log = Hypervisor(a=False), Log()
    world.after = always(fault(is_answer_lost=is_answer_lost))
    assert run(world, log, "a")[0].changed
    assert world.told.count("act a") == 1
    assert log.kinds() == ["intent switch a", "result switch a"]


@pytest.mark.parametrize(
    ("error", "why", "step"),
    [
        (fault(is_answer_lost=False), "vim.fault.Odd", "ask the vendor"),
        (fault(is_answer_lost=False, next=""), "vim.fault.Odd", "switch a by hand"),
        (fault(is_answer_lost=False, has_cure=False), "vim.fault.Odd", "switch a by hand"),
        (fault(is_answer_lost=True), "vim.fault.Odd", "switch a by hand"),
        (None, "the call ended well, but the state read afterwards is a=False", "switch a by hand"),
    ],
)
def test_a_state_that_is_not_there_afterwards_fails_the_step_in_words(error, why, step) -> None:
    world, log = Hypervisor(a=False, b=False), Log()
    world.is_inert = True
    if error is not None:
        world.before = always(error)
    with pytest.raises(StepFailed) as failure:
        run(world, log, "a", "b")
    assert (failure.value.what, failure.value.why, failure.value.next) == ("switch a: vm on esx1", why, step)
    assert world.told.count("act a") == 1
    assert "look b" not in world.told
    assert log.kinds() == ["intent switch a", "result switch a failed"]
    assert "Odd" in (log.rows[-1][3] or "") or error is None


def test_a_step_that_knows_why_it_failed_is_quoted_and_journalled() -> None:
    world, log = Hypervisor(a=False), Log()
    world.before = always(StepFailed(what="wait for the guest", why="600 s went by", next="look at its console"))
    with pytest.raises(StepFailed, match="600 s went by"):
        run(world, log, "a")
    assert log.kinds() == ["intent switch a", "result switch a failed"]


@pytest.mark.parametrize(
    "error",
    [
        Killed(),
        SiteUnreachable(what="act", why="cut", next="wait"),
        Interrupted(what="act", why="Ctrl-C", next="again"),
        KeyboardInterrupt(),
    ],
)
@pytest.mark.parametrize("is_before_effect", [True, False])
def test_a_run_that_ends_in_mid_step_leaves_its_intent_and_is_continued(error, is_before_effect) -> None:
    world, log = Hypervisor(a=False, b=False), Log()
    if is_before_effect:
        world.before = always(error)
    else:
        world.after = always(error)
    with pytest.raises(type(error)):
        run(world, log, "a", "b")
    assert log.kinds() == ["intent switch a"]
    world.before = world.after = lambda _name: None
    done = run(world, log, "a", "b")
    assert [step.changed for step in done] == [is_before_effect, True]
    assert world.told.count("act a") == 1 + is_before_effect
    first = ["intent switch a"] * (1 + is_before_effect) + ["result switch a"]
    assert log.kinds() == [*first, "intent switch b", "result switch b"]
    assert ("say switch a: vm on esx1: found done" in world.told) is not is_before_effect


def test_an_endpoint_that_dies_after_the_act_leaves_the_outcome_open() -> None:
    world, log = Hypervisor(a=False), Log()

    def die(_name: str) -> None:
        world.is_answering = False

    world.after = die
    with pytest.raises(SiteUnreachable):
        run(world, log, "a")
    assert log.kinds() == ["intent switch a"]


def test_a_controller_that_lost_its_lease_acts_no_more() -> None:
    world, log = Hypervisor(a=True, b=False), Log()

    def guard() -> None:
        raise LeaseHeld(what="act", why="taken over", next="look who works there")

    with pytest.raises(LeaseHeld):
        run(world, log, "a", "b", guard=guard)
    assert [said for said in world.told if said.startswith("act")] == []
    assert log.rows == []


def test_an_intent_that_cannot_be_written_stops_the_act() -> None:
    world = Hypervisor(a=False)

    class FullDisk(Log):
        def intent(self, step: Step, before: Mapping[str, t.Any]) -> None:
            raise DrError(what="write the journal", why="disk full", next="make room")

    with pytest.raises(DrError, match="disk full"):
        run(world, FullDisk(), "a")
    assert "act a" not in world.told


def test_each_step_is_made_only_when_the_one_before_is_done() -> None:
    """What a step is may depend on what the one before it brought about."""
    world, log = Hypervisor(a=False, b=False), Log()

    def made() -> Iterator[Step]:
        yield world.step("a")
        assert world.switches["a"]
        yield world.step("b")

    run_steps(made(), log=log, now_s=lambda: 0.0, progress=lambda _text: None, guard=lambda: None)
    assert world.switches == {"a": True, "b": True}


def test_a_prediction_only_looks() -> None:
    world = Hypervisor(a=False, b=True)
    found = predict_steps([world.step("a"), world.step("b")])
    assert [(step.changed, step.calls) for step in found] == [(True, ("Switch(a)",)), (False, ())]
    assert world.told == ["look a", "look b"]


def test_a_look_that_fails_as_well_does_not_hide_what_failed_first() -> None:
    world, log = Hypervisor(a=False), Log()
    slow = ProviderFault(what="migrate", why="it did not end within 2 s", next="see its task", is_answer_lost=True)
    later = ProviderFault(what="wait", why="it did not end within 0 s", next="wait")

    def fall(_name: str) -> None:
        world.look = always(later)  # type: ignore[assignment, method-assign]
        raise slow

    world.before = fall
    with pytest.raises(StepFailed, match="it did not end within 2 s"):
        run(world, log, "a")
    assert log.kinds() == ["intent switch a"], "whether it had its effect is for the next look to say"
