# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for a guest: what QEMU says, what the agent says, and at last what its screen shows."""

from __future__ import annotations

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import DrError, ProviderFault, SiteUnreachable
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Power, Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import GuestOutcome, GuestWait
from ansible_collections.ferragosto.dr.plugins.module_utils.core.waiting import wait_until
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import read, screen, wire
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.faults import NoSuchVm
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.hints import WORDS, Hint

LOOK_EVERY_S = 0.5
NO_AGENT_S = 20.0  # a guest without an agent counts as up when it ran so long without going off
SCREEN_AFTER_S = 3.0  # a silent guest's screen is looked at from then on
SCREEN_EVERY_S = 5.0
CONFIRM_S = 1.5  # a blue screen that still stands so much later
PANIC_STANDS_S = 20.0  # a panic looks like a boot, except that it stands still

_Verdict = tuple[GuestOutcome, str]


def await_guest(client: Client, vm: Vm, *, within_s: float, since_s: float, settle_s: float = 0.0) -> GuestWait:
    """Wait until the guest is alive, crashed, off or stuck, or time is up. ``since_s`` is on our clock.

    An agent that answers at the first look may belong to the guest of before, which has not gone down yet: it counts once it
    still answers ``settle_s`` after that.
    """
    started_s = client.clock.now_s()
    watch = _GuestWatch(client, vm, since_s=since_s, settle_s=settle_s)
    end = wait_until(watch.look, within_s=within_s, clock=client.clock, every_s=LOOK_EVERY_S)
    outcome, evidence = end or (GuestOutcome.TIMED_OUT, f"not alive within {within_s:.0f} s: {watch.last_seen}")
    return GuestWait(outcome=outcome, took_s=client.clock.now_s() - started_s, evidence=evidence)


class _GuestWatch:
    def __init__(self, client: Client, vm: Vm, *, since_s: float, settle_s: float) -> None:
        self._client, self._vm = client, vm
        self._path = f"/nodes/{vm.host}/qemu/{vm.handle}"
        self._settled_at_s = since_s + settle_s
        self._began_at_s = client.clock.now_s()
        self._has_agent: bool | None = None
        self._was_silent = False
        self._on_since_s: float | None = None
        self._uptime_s = 0.0
        self._restarts = 0
        self._screen_at_s = self._began_at_s + SCREEN_AFTER_S
        self._blue_since_s: float | None = None
        self._still: tuple[int, float] | None = None  # a screen of kernel messages, and since when it stands
        self._screen_words = ""
        self.last_seen = "nothing was seen of it"

    def look(self) -> _Verdict | None:
        try:
            return self._judge()
        except NoSuchVm:
            raise
        except (ProviderFault, SiteUnreachable) as fault:  # its node may be back in time
            self.last_seen = fault.why
            return None

    def _judge(self) -> _Verdict | None:
        if self._has_agent is None:
            self._has_agent = wire.has_agent(self._client.get(f"{self._path}/config", current=1) or {})
        status: wire.Row = self._client.get(f"{self._path}/status/current") or {}
        power, qmp, lock = wire.to_power(status), str(status.get("qmpstatus") or ""), str(status.get("lock") or "")
        self._count_restarts(wire.number(status.get("uptime")))
        self.last_seen = f"power {power}" + (f", QEMU says {qmp}" if qmp not in ("", "running", "stopped") else "")
        if qmp in wire.CRASHED:
            return GuestOutcome.CRASHED, f"QEMU says {qmp}: {wire.STUCK.get(qmp, 'the guest panicked')}"
        question = wire.to_question(status)
        if question is not None:
            return GuestOutcome.BLOCKED, question
        if power is Power.OFF and lock:
            return GuestOutcome.BLOCKED, f"it is off and locked ({lock}): a task works on it, or was cut off"
        if power in (Power.OFF, Power.SUSPENDED):
            return GuestOutcome.POWERED_OFF, f"it is {power}"
        if power is Power.UNKNOWN:
            return None
        return self._judge_running()

    def _judge_running(self) -> _Verdict | None:
        now_s = self._client.clock.now_s()
        self._on_since_s = self._on_since_s or now_s
        answers = read.ping(self._client, self._path) if self._has_agent else None
        if answers:
            self.last_seen += ", its guest agent answers"
            if self._was_silent or now_s >= self._settled_at_s:
                return GuestOutcome.ALIVE, "the guest agent answers"
            return None
        self._was_silent |= answers is False
        agent = "its guest agent is silent" if self._has_agent else "it has no guest agent"
        self.last_seen += f", {agent}" + (f", {self._screen_words}" if self._screen_words else "")
        if self._restarts:
            self.last_seen += f", it restarted {self._restarts} times meanwhile"
        crash = self._crash_on_screen(now_s)
        if crash is not None:
            return GuestOutcome.CRASHED, f"{crash}, and {agent}"
        if answers is None and now_s - self._on_since_s >= NO_AGENT_S and now_s >= self._settled_at_s:
            why = "has no guest agent" if not self._has_agent else "its agent may not be asked"
            return (
                GuestOutcome.ALIVE,
                f"it runs for {NO_AGENT_S:.0f} s ({why}: only a check of the service can tell more)",
            )
        return None

    def _count_restarts(self, uptime_s: float) -> None:
        """QEMU's own uptime falls when the VM was stopped and started between two looks."""
        if 0 < uptime_s < self._uptime_s:
            self._restarts += 1
            self._on_since_s = None
        self._uptime_s = uptime_s

    def _crash_on_screen(self, now_s: float) -> str | None:
        """Return the words for a crash that the screen shows twice; None where it does not, or cannot be looked at."""
        if now_s < self._screen_at_s:
            return None
        self._screen_at_s = now_s + SCREEN_EVERY_S
        try:
            seen = screen.look(self._client, self._vm)
        except DrError:
            self._screen_at_s = now_s + 4 * SCREEN_EVERY_S
            return None
        self._screen_words = WORDS[seen.hint]
        if seen.hint is Hint.BLUE_SCREEN:
            self._still = None
            if self._blue_since_s is not None and now_s - self._blue_since_s >= CONFIRM_S:
                return self._screen_words
            self._blue_since_s = self._blue_since_s or now_s
            self._screen_at_s = now_s + CONFIRM_S
            return None
        self._blue_since_s = None
        if seen.hint is not Hint.PANIC:
            self._still = None
        elif self._still is None or self._still[0] != seen.digest:
            self._still = (seen.digest, now_s)
        elif now_s - self._still[1] >= PANIC_STANDS_S:
            return f"{self._screen_words}, standing still for {now_s - self._still[1]:.0f} s"
        return None
