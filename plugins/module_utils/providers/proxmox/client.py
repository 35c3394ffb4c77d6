# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One endpoint of Proxmox VE: reads that may be repeated, writes that never are, tasks waited for, every error in our words.

Reads may be made from several threads. A read is repeated a bounded number of times, within its own time limit, when the
connection drops or one node does not reach another; a changing call never is: its answer counts as lost, and the caller reads
the state again. A call refused with 401 did not happen, so it is made again after a fresh login.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import DrError, ProviderFault, SiteUnreachable
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Clock, EndpointSpec, Progress
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import faults
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.account import Account
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.faults import Kind, VendorFault
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.sdk import (
    ProxmoxResource,
    ResourceException,
    require_proxmoxer,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.transport import Serializer, Session
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import DROPPED, NotSent
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.network import answer_lost

__all__ = ["Client", "TaskEnd"]

READ_ATTEMPTS = 3
RETRY_PAUSE_S = 0.3
SILENT_ATTEMPTS = 2  # a node that cannot reach another says so after 1-3 s each time
DEAD_AFTER_S = 15.0  # so long a task's node is silent before the cluster is asked whether it is gone
LOST_AFTER_S = 180.0  # so long the endpoint itself may be silent (a restart of its services, not of the node)
SAY_EVERY_S = 30.0
LOG_LINES = 5000  # a log is read from its beginning, and what counts stands at its end
TAIL_LINES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEnd:
    """How a task ended well: "OK", or "WARNINGS: 2" with the warnings in ``warnings``."""

    status: str
    warnings: tuple[str, ...] = ()
    log_tail: tuple[str, ...] = ()


class Client:
    """Opens connections on first use; ``close`` drops them (a token needs no logout, a ticket has none)."""

    def __init__(self, spec: EndpointSpec, *, clock: Clock, progress: Progress) -> None:
        self.spec = spec
        self.address = faults.address_of(spec)
        self.clock = clock
        self.progress = progress
        self.account = Account(spec, clock)
        self._session: Session | None = None
        self._root: t.Any = None

    def __repr__(self) -> str:
        return f"<Proxmox VE {self.address} as {faults.account_of(self.spec)}>"

    @property
    def calls(self) -> int:
        """HTTP calls so far."""
        return self._session.calls if self._session is not None else 0

    @property
    def session(self) -> Session:
        if self._session is None:
            require_proxmoxer()
            self.account.check()
            session = Session(self.spec, self.account.headers)
            session.now_s = self.clock.now_s
            host = self.spec.api_host.strip("[]")
            self._root = ProxmoxResource(
                base_url=f"https://{f'[{host}]' if ':' in host else host}/api2/json",
                session=session,
                serializer=Serializer,
            )
            self._session = session
        return self._session

    @property
    def clock_offset_s(self) -> float:
        """Tell how far the endpoint's clock runs ahead of ours, to the half second that a Date header allows."""
        if self._session is None or self._session.date is None:
            return 0.0
        seen_at_s, date = self._session.date
        try:
            return parsedate_to_datetime(date).timestamp() + 0.5 - seen_at_s
        except (ValueError, TypeError):
            return 0.0

    # --- calls ------------------------------------------------------------------------------------------------------

    def get(self, path: str, /, **params: t.Any) -> t.Any:
        """Read; repeated when the way is broken, all within the endpoint's time limit."""
        what = f"read {path} of {self.address}"
        deadline = self.clock.now_s() + self.spec.timeout_s
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._call("GET", path, params)
            except ResourceException as refusal:
                fault = self._refusal(what, refusal)
                is_over = refusal.status_code not in faults.NODE_SILENT or attempt >= SILENT_ATTEMPTS
            except NotSent as not_sent:
                fault = faults.from_network(what, not_sent.cause, self.spec)
                is_over = attempt >= READ_ATTEMPTS or not isinstance(not_sent.cause, ConnectionError)
            except DROPPED as cause:
                fault = faults.from_network(what, cause, self.spec)
                is_over = attempt >= READ_ATTEMPTS
            if is_over or self.clock.now_s() + RETRY_PAUSE_S * attempt >= deadline:
                raise fault from None
            self.clock.sleep(RETRY_PAUSE_S * attempt)

    def send(self, method: str, path: str, /, **params: t.Any) -> t.Any:
        """Change something, in one attempt. A parameter that is None is left out; True and False go as 1 and 0."""
        what = f"{method} {path} of {self.address}"
        try:
            return self._call(method, path, params)
        except ResourceException as refusal:
            raise self._refusal(what, refusal) from None
        except NotSent as not_sent:
            raise faults.from_network(what, not_sent.cause, self.spec) from not_sent.cause
        except DROPPED as cause:
            words = faults.from_network(what, cause, self.spec)
            raise answer_lost(what, f"sent, but no answer came: {words.why}", words.next) from cause

    def run(self, what: str, method: str, path: str, /, *, within_s: float, **params: t.Any) -> TaskEnd:
        """Send a call that starts a task, and wait for its end."""
        deadline = self.clock.now_s() + within_s
        try:
            upid = self.send(method, path, **params)
        except ProviderFault as fault:
            fault.what = f"{what} ({fault.what})"
            raise
        if not is_upid(upid):
            return TaskEnd(status="OK")  # done at once: some calls start a task only where there is work for one
        return self.await_task(what, upid, within_s=deadline - self.clock.now_s())

    def await_task(self, what: str, upid: str, /, *, within_s: float) -> TaskEnd:
        """Wait until a task ended. Raises VendorFault when it failed, and a lost answer when nobody can tell any more.

        A node may not reach the task's node for a while, so no error of the asking counts before the time is up.
        """
        wait = _TaskWait(self, what, upid, within_s)
        while True:
            shown = wait.ask()
            if shown is not None:
                return self._end(what, upid, str(shown.get("exitstatus") or ""))
            wait.sleep()

    def close(self) -> None:
        if self._session is not None:
            self._session.close()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _call(self, method: str, path: str, params: dict[str, t.Any]) -> t.Any:
        session = self.session
        self.account.log_in(session)
        logins = self.account.logins
        while True:
            resource = self._root(path.strip("/"))
            words = {key: _wire(value) for key, value in params.items() if value is not None}
            try:
                return getattr(resource, method.lower())(**words)
            except ResourceException as refusal:
                if refusal.status_code != 401 or self.account.has_token or self.account.logins > logins:
                    raise
                self.account.log_in(session, after=logins)

    def _refusal(self, what: str, refusal: t.Any) -> DrError:
        if refusal.status_code == 401:
            return faults.wrong_login(self.spec, f"{refusal.content or 'Authentication failed!'} (401)")
        return faults.from_answer(what, refusal.status_code, refusal.content or "", refusal.errors, self.spec)

    def _end(self, what: str, upid: str, status: str) -> TaskEnd:
        if status == "OK":
            return TaskEnd(status=status)
        lines = self._log(upid)
        tail = tuple(lines[-TAIL_LINES:])
        if re.fullmatch(r"WARNINGS: \d+", status):
            warnings = tuple(line for line in lines if line.upper().startswith("WARN")) or tail
            self.progress(f"{what}: ended with {status.lower()}: {'; '.join(warnings)}")
            return TaskEnd(status=status, warnings=warnings, log_tail=tail)
        raise faults.from_task(what, upid, status or "no exit status", tail, self.spec)

    def _log(self, upid: str) -> list[str]:
        """Return the task's log, [] where it cannot be read: the end is known without it."""
        try:
            found = self.get(f"{task_path(upid)}/log", limit=LOG_LINES)
        except DrError:
            return []
        rows = found if isinstance(found, list) else []
        return [faults.clean(str(row.get("t") or ""), self.spec) for row in rows if row.get("t")]


class _TaskWait:
    """Asks for one task's status, with what hinders the asking remembered."""

    def __init__(self, client: Client, what: str, upid: str, within_s: float) -> None:
        self._client, self._what, self._upid = client, what, upid
        self._within_s = within_s
        self._began_at_s = self._said_at_s = client.clock.now_s()
        self._hindered_since_s: float | None = None
        self._hindrance: DrError | None = None

    @property
    def _elapsed_s(self) -> float:
        return self._client.clock.now_s() - self._began_at_s

    def ask(self) -> t.Any:
        """Return the status of a task that ended, None while it runs or cannot be seen."""
        try:
            shown = self._client.get(f"{task_path(self._upid)}/status")
        except (ProviderFault, SiteUnreachable) as fault:
            if isinstance(fault, VendorFault) and fault.kind is Kind.NO_RIGHT:
                raise answer_lost(
                    self._what, f"task {self._upid} was started, then: {fault.why}", fault.next
                ) from fault
            self._hindrance = fault
            if self._hindered_since_s is None:
                self._hindered_since_s = self._client.clock.now_s()
            return None
        self._hindered_since_s = self._hindrance = None
        return shown if isinstance(shown, dict) and shown.get("status") == "stopped" else None

    def sleep(self) -> None:
        """Wait for the next look. Raises a lost answer when there will be none."""
        client, now_s = self._client, self._client.clock.now_s()
        left_s = self._within_s - self._elapsed_s
        if left_s <= 0:
            raise self._lost(f"it did not end within {self._within_s:.0f} s and was left running")
        if self._hindered_since_s is not None:
            silent_s = now_s - self._hindered_since_s
            is_deaf = isinstance(self._hindrance, SiteUnreachable)
            if silent_s > LOST_AFTER_S and is_deaf:
                raise self._lost(f"then the endpoint was silent for {silent_s:.0f} s")
            if silent_s > DEAD_AFTER_S and not is_deaf and self._is_node_gone():
                raise self._lost(f"then its node {node_of(self._upid)} left the cluster")
        if now_s - self._said_at_s >= SAY_EVERY_S:
            self._said_at_s = now_s
            client.progress(f"{self._what}: still running after {self._elapsed_s:.0f} s")
        client.clock.sleep(min(poll_s(self._elapsed_s), left_s))

    def _is_node_gone(self) -> bool:
        try:
            rows = self._client.get("/cluster/status")
        except DrError:
            return False
        node = node_of(self._upid)
        return any(r.get("type") == "node" and r.get("name") == node and not int(r.get("online") or 0) for r in rows)

    def _lost(self, why: str) -> ProviderFault:
        hindrance = f" (last: {self._hindrance.why})" if self._hindrance is not None else ""
        return answer_lost(
            self._what,
            f"task {self._upid} was started at {self._client.address}; {why}{hindrance}",
            "look at the node's task list, then run the same command: it reads the state first and continues from there",
        )


def poll_s(elapsed_s: float) -> float:
    """Return how long to wait before the next look at a task: short tasks are met at once, long ones cost little."""
    if elapsed_s < 1.0:
        return 0.1
    if elapsed_s < 120.0:
        return 0.5 if elapsed_s < 10.0 else 1.0
    return min(5.0, 0.05 * elapsed_s)


def is_upid(value: object) -> bool:
    return isinstance(value, str) and value.startswith("UPID:")


def node_of(upid: str) -> str:
    return upid.split(":", 2)[1] if is_upid(upid) else ""


def task_path(upid: str) -> str:
    return f"/nodes/{node_of(upid)}/tasks/{upid}"


def _wire(value: t.Any) -> t.Any:
    return int(value) if isinstance(value, bool) else value
