# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules of the diagnosis: each concludes or leaves it to the next, in the order of the decision table."""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ansible_collections.ferragosto.dr.plugins.module_utils.core import blast, stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.findings import Blast, Verdict
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import (
    Connection,
    Event,
    EventKind,
    Heartbeat,
    Power,
    Tools,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.symptoms import (
    STARTS,
    STOPS,
    Case,
    lost_contact,
    span,
)

_SHUTDOWN_TAKES_S = 600.0  # a power-off this soon after a guest shutdown is its end, not a second act
_FULL_BYTES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    verdict: Verdict
    is_certain: bool
    reason: str
    fault_at_s: float | None = None
    by_whom: str = ""
    blast: tuple[Blast, str] | None = None  # None: told from the neighbours


def _unreachable(case: Case) -> Finding | None:
    why = lost_contact(case.vm, case.endpoint, case.host)
    if not why:
        return None
    node = case.vm.host if case.vm is not None else case.endpoint.node
    is_hidden = case.endpoint.is_reachable and case.vm is None
    return Finding(
        verdict=Verdict.UNREACHABLE,
        is_certain=False,
        reason=f"{why}; the state of the VM is unknown, not down",
        fault_at_s=case.since_s("contact", "lost"),
        blast=None if is_hidden else blast.of_lost_contact(case.endpoint, case.others, node),
    )


def _storage(case: Case) -> Finding | None:
    vm = case.seen
    stores = {d.name: d for d in case.host.datastores} if case.host is not None else {}
    lost = [name for name in vm.datastores if name in stores and not stores[name].is_accessible]
    if vm.connection is not Connection.INACCESSIBLE and not lost:
        return None
    named = ", ".join(lost or vm.datastores)
    return Finding(
        verdict=Verdict.BLOCKED,
        is_certain=True,
        reason=f"its storage is lost: the files on {named} cannot be read",
        blast=(Blast.STORAGE, f"datastore {named} is not accessible from {vm.host}") if lost else None,
    )


def _question(case: Case) -> Finding | None:
    question = case.seen.question
    if question is None:
        return None
    return Finding(
        verdict=Verdict.BLOCKED,
        is_certain=True,
        reason=f"a question waits for an answer: {question}",
        fault_at_s=case.since_s("question", question),
    )


def _powered_off(case: Case) -> Finding | None:
    vm = case.seen
    if vm.power is Power.ON:
        return None
    fenced_by = vm.stamps.get(stamps.FENCED)
    stop = case.newest(*STOPS, *STARTS)
    stop = stop if stop is not None and stop.kind in STOPS else None  # started since: that stop explains nothing
    fault_at_s = stop.at_s if stop is not None else case.since_s("power", vm.power.value)
    by_whom = f"run {fenced_by}" if fenced_by else _who_stopped(case, stop)
    reason = f"it is {'suspended' if vm.power is Power.SUSPENDED else 'powered off'}"
    if fenced_by:
        reason += f", fenced by run {fenced_by}"
    elif by_whom:
        reason += f", by {by_whom}" if by_whom.startswith("person ") else f", by the {by_whom}"
    else:
        reason += "; nothing tells by whom"
    return Finding(verdict=Verdict.POWERED_OFF, is_certain=True, reason=reason, fault_at_s=fault_at_s, by_whom=by_whom)


def _who_stopped(case: Case, stop: Event | None) -> str:
    if stop is None:
        return ""
    if stop.user:
        return f"person {stop.user}"
    if stop.kind is EventKind.GUEST_SHUTDOWN:
        return "guest"
    asked = next((e for e in reversed(case.events) if e.kind is EventKind.GUEST_SHUTDOWN and e.at_s <= stop.at_s), None)
    if asked is not None and stop.at_s - asked.at_s <= _SHUTDOWN_TAKES_S:
        return f"person {asked.user}" if asked.user else "guest"
    others = [n for n in case.neighbours if n.host == case.seen.host and n.id != case.seen.id]
    if not others:
        return ""
    return "guest" if any(n.power is Power.ON for n in others) else "host"


def _crashed(case: Case) -> Finding | None:
    crashes = case.crashes()
    if not crashes:
        return None
    last, chain = crashes[-1], _chain(crashes, case.loop_window_s)
    count = f"{len(chain)} crashes in {span(case.now_s - chain[0].at_s)}"
    boot_at_s = case.boot_at_s
    is_down = boot_at_s is None or last.at_s > boot_at_s
    if is_down and not _came_back(case, last):
        if len(chain) > 1:
            reason = f"{count}: {last.text or 'the guest crashed again after its restart'}"
            is_certain = case.is_failing or not last.is_hint
            return Finding(verdict=Verdict.CRASH_LOOP, is_certain=is_certain, reason=reason, fault_at_s=chain[0].at_s)
        said = last.text or "the guest reported a crash (blue screen or panic)"
        newer = "after its last boot" if boot_at_s is not None else "and its boot time is not known"
        return Finding(
            verdict=Verdict.CRASHED,
            is_certain=boot_at_s is not None and (case.is_failing or not last.is_hint),
            reason=f"{said}, {span(case.now_s - last.at_s)} ago, {newer}",
            fault_at_s=last.at_s,
        )
    is_recent = case.now_s - last.at_s <= case.loop_window_s
    if is_down and is_recent:
        reason = f"it crashed {span(case.now_s - last.at_s)} ago and came back by itself"
        return Finding(verdict=Verdict.DEGRADED, is_certain=True, reason=reason, fault_at_s=last.at_s)
    is_alive = case.seen.guest.heartbeat is Heartbeat.GREEN or case.is_vouched
    if not is_down and len(chain) > 1 and is_recent and not is_alive:
        reason = f"{count}, and it is starting again"
        return Finding(verdict=Verdict.CRASH_LOOP, is_certain=False, reason=reason, fault_at_s=chain[0].at_s)
    return None


def _chain(crashes: Sequence[Event], window_s: float) -> list[Event]:
    """Return the last crash with those before it that follow each other within the window."""
    chain = [crashes[-1]]
    for crash in reversed(crashes[:-1]):
        if chain[0].at_s - crash.at_s > window_s:
            break
        chain.insert(0, crash)
    return chain


def _came_back(case: Case, crash: Event) -> bool:
    """Tell whether the guest lives after a crash without a new boot time: it restarted itself inside the running VM."""
    if case.is_vouched:
        return True
    is_green = case.seen.guest.heartbeat is Heartbeat.GREEN
    # A heartbeat stays green for a while after the guest died, so green alone counts only later.
    return is_green and not case.is_failing and case.now_s - crash.at_s > case.hung_after_s


def _beating(case: Case) -> Finding | None:
    heartbeat = case.seen.guest.heartbeat
    if heartbeat not in (Heartbeat.GREEN, Heartbeat.YELLOW):
        return None
    said = case.service.reason if case.service is not None else ""
    if case.is_failing and case.is_booting:
        reason = f"its guest is up since {span(case.uptime_s or 0)}, its service does not answer yet: {said}"
        return Finding(verdict=Verdict.BOOTING, is_certain=False, reason=reason, fault_at_s=_failing_since(case))
    if case.is_failing:
        reason = f"its guest is alive, but its service does not answer: {said}"
        return Finding(verdict=Verdict.DEGRADED, is_certain=True, reason=reason, fault_at_s=_failing_since(case))
    if heartbeat is Heartbeat.YELLOW:
        reason = "the guest's heartbeat comes and goes (yellow): under load, or going down"
        since_s = case.since_s("heartbeat", Heartbeat.YELLOW.value)
        return Finding(verdict=Verdict.DEGRADED, is_certain=False, reason=reason, fault_at_s=since_s)
    if case.is_vouched:
        return Finding(verdict=Verdict.HEALTHY, is_certain=True, reason=f"the guest is alive and {said}")
    return Finding(verdict=Verdict.HEALTHY, is_certain=False, reason="the guest is alive; nothing tells of its service")


def _failing_since(case: Case) -> float | None:
    return case.since_s("service", False)


def _silent(case: Case) -> Finding:
    """Judge a guest without heartbeat: missing tools, a boot, or a guest that hangs."""
    guest = case.seen.guest
    is_red = guest.heartbeat is Heartbeat.RED
    has_tools = is_red or guest.tools is not Tools.NOT_INSTALLED
    ran_before = has_tools and (guest.tools is Tools.RUNNING or case.since_s("tools_ran", True) is not None)
    shows = f"the guest's heartbeat is {guest.heartbeat}" if has_tools else "no guest tools are installed"
    if case.is_vouched:
        if is_red:
            reason = f"{shows}, yet its service answers"
            since_s = case.since_s("heartbeat", guest.heartbeat.value)
            return Finding(verdict=Verdict.DEGRADED, is_certain=False, reason=reason, fault_at_s=since_s)
        reason = f"{shows}, but its service answers"
        return Finding(verdict=Verdict.GUEST_TOOLS_MISSING, is_certain=True, reason=reason)
    if case.is_booting:
        reason = f"it was started {span(case.uptime_s or 0)} ago, a boot may take {span(case.boot_grace_s)}"
        return Finding(verdict=Verdict.BOOTING, is_certain=False, reason=reason)
    if not is_red and not ran_before and not case.is_failing:
        reason = f"{shows} and tools were never seen running: only a check of the service can tell (dr_checks)"
        return Finding(verdict=Verdict.GUEST_TOOLS_MISSING, is_certain=False, reason=reason)
    watched = [case.since_s("heartbeat", guest.heartbeat.value)] if is_red or ran_before else []
    watched += [_failing_since(case)] if case.is_failing else []
    since_s = min((s for s in watched if s is not None), default=None)
    return _stalled(case, shows, since_s, is_backed=ran_before or case.is_failing)


def _stalled(case: Case, shows: str, since_s: float | None, *, is_backed: bool) -> Finding:
    silent_s = 0.0 if since_s is None else case.now_s - since_s
    fails = ", its service does not answer" if case.is_failing else ""
    if case.uptime_s is None and silent_s < max(case.boot_grace_s, case.hung_after_s):
        reason = f"{shows}{fails}; when it was started is not known, so it may still be booting"
        return Finding(verdict=Verdict.BOOTING, is_certain=False, reason=reason, fault_at_s=since_s)
    if silent_s < case.hung_after_s:
        reason = f"{shows}{fails}, seen for {span(silent_s)}; it counts as hung after {span(case.hung_after_s)}"
        return Finding(verdict=Verdict.DEGRADED, is_certain=False, reason=reason, fault_at_s=since_s)
    if not is_backed:
        reason = f"{shows} for {span(silent_s)}, but neither running tools nor a check of the service back it up"
        return Finding(verdict=Verdict.DEGRADED, is_certain=False, reason=reason, fault_at_s=since_s)
    up = f", {span(case.uptime_s)} after its start" if case.uptime_s is not None else ""
    reason = f"{shows} for {span(silent_s)}{up}{fails}; no crash was reported"
    return Finding(verdict=Verdict.HUNG, is_certain=False, reason=reason, fault_at_s=since_s)


def _disk_full(case: Case) -> Finding | None:
    stores = case.host.datastores if case.host is not None else ()
    full = [d.name for d in stores if d.name in case.seen.datastores and d.free_bytes < _FULL_BYTES]
    if not full or case.seen.guest.heartbeat is Heartbeat.GREEN or case.is_vouched:
        return None
    reason = f"datastore {', '.join(full)} is full: a VM on thin disks stops when it writes"
    return Finding(verdict=Verdict.BLOCKED, is_certain=False, reason=reason)


RULES: t.Final[tuple[Callable[[Case], Finding | None], ...]] = (
    _unreachable,
    _storage,
    _question,
    _powered_off,
    _crashed,
    _disk_full,
    _beating,
    _silent,
)
