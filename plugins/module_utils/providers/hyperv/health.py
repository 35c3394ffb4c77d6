# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for a guest: what the host says of its VM, what the guest's heartbeat says, what the worker's log says."""

from __future__ import annotations

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import ProviderFault, SiteUnreachable
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Connection, Heartbeat, Power, Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import GuestOutcome, GuestWait
from ansible_collections.ferragosto.dr.plugins.module_utils.core.waiting import wait_until
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import events, wire
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.faults import NoSuchVm
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts import reading
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.wire import Row

LOOK_EVERY_S = 0.5  # beside what the look itself takes: a process on the host

_Verdict = tuple[GuestOutcome, str]


def await_guest(client: Client, vm: Vm, *, within_s: float, since_s: float, settle_s: float = 0.0) -> GuestWait:
    """Wait until the guest is alive, crashed, off or stuck, or time is up.

    ``since_s`` is on the host's clock: only a crash after it counts. A heartbeat lags behind a boot, so one that was good at
    the first look, after a boot newer than ``since_s``, counts once it held for ``settle_s`` after that boot.
    """
    started_s = client.clock.now_s()
    watch = _GuestWatch(client, vm, since_s=since_s, settle_s=settle_s)
    end = wait_until(watch.look, within_s=within_s, clock=client.clock, every_s=LOOK_EVERY_S)
    outcome, evidence = end or (GuestOutcome.TIMED_OUT, f"not alive within {within_s:.0f} s: {watch.last_seen}")
    return GuestWait(outcome=outcome, took_s=client.clock.now_s() - started_s, evidence=evidence)


class _GuestWatch:
    def __init__(self, client: Client, vm: Vm, *, since_s: float, settle_s: float) -> None:
        self._client, self._vm = client, vm
        self._since_s, self._settle_s = since_s, settle_s
        self._was_silent = False
        self._uptime_s = 0.0
        self._restarts = 0
        self._is_unread_said = False
        self.last_seen = "nothing was seen of it"

    def look(self) -> _Verdict | None:
        try:
            row = self._client.run(
                reading.GUEST,
                id=self._vm.handle,
                ids=events.CRASHES,
                since=wire.from_instant(max(0.0, self._since_s)),
            )
        except NoSuchVm:
            raise
        except (ProviderFault, SiteUnreachable) as fault:  # its host may be back in time
            self.last_seen = fault.why
            return None
        if row.get("unread") and not self._is_unread_said:
            self._is_unread_said = True
            events.say_unread(self._client, self._vm, row)
        return self._judge(row)

    def _judge(self, row: Row) -> _Verdict | None:
        state, status = str(row.get("state") or ""), wire.words(row.get("status"))
        name = str(row.get("heartbeat") or "")
        power, (heartbeat, _tools) = wire.to_power(state), wire.to_heartbeat(name)
        self.last_seen = f"it is {state or 'in no known state'}, its heartbeat {name or 'not there'}"
        crashes = events.to_events(wire.rows(row.get("events")), self._vm.handle)
        # The log counts on from the very instant of the query: what happened at it is another boot's
        newest = next((one for one in reversed(crashes) if one.at_s > self._since_s), None)
        if newest is not None:
            return GuestOutcome.CRASHED, newest.text
        if wire.to_connection(state, status) is Connection.INACCESSIBLE:
            return GuestOutcome.BLOCKED, f"it is {state}, {', '.join(status)}: its files cannot be read or written"
        if power in (Power.OFF, Power.SUSPENDED):
            return GuestOutcome.POWERED_OFF, f"it is {state.lower()}"
        if power is Power.UNKNOWN:
            return None
        return self._judge_running(name, heartbeat, float(wire.whole(row.get("uptime_s"))))

    def _judge_running(self, name: str, heartbeat: Heartbeat, uptime_s: float) -> _Verdict | None:
        if uptime_s < self._uptime_s:  # it falls when the VM was reset between two looks
            self._restarts += 1
            self._was_silent = True
        self._uptime_s = uptime_s
        if self._restarts:
            self.last_seen += f", it restarted {self._restarts} times meanwhile"
        if heartbeat in (Heartbeat.GREEN, Heartbeat.YELLOW):
            return (GuestOutcome.ALIVE, f"its heartbeat is {name}") if self._is_settled(uptime_s) else None
        self._was_silent = True
        if wire.is_alive(name, uptime_s):
            why = f"it runs for {uptime_s:.0f} s (without a heartbeat: only a check of the service can tell more)"
            return GuestOutcome.ALIVE, why
        return None

    def _is_settled(self, uptime_s: float) -> bool:
        if self._was_silent:
            return True
        booted_at_s = self._client.clock.now_s() + self._client.clock_offset_s - uptime_s
        return booted_at_s < self._since_s or uptime_s >= self._settle_s
