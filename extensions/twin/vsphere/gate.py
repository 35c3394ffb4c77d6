# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the proxy does with each SOAP call: faults first, then what vcsim lacks, then vcsim itself, corrected.

A changing call is answered only after the world has seen its effect, so that the split-brain watch misses no instant.
"""

from __future__ import annotations

import dataclasses
import re
import threading
import typing as t
from collections.abc import Callable

from pyVmomi import vim

from ansible_collections.ferragosto.dr.extensions.twin.vsphere import views
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.animator import Animator
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.autostart import PREFIX, Autostart
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.proxy import CutConnection, Forward, Upstream
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.rules import Rule, Rules
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.session import LAB_USER, Sessions
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.site import post_event
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.soap import (
    Answer,
    Call,
    empty_answer,
    fault_answer,
    session_of,
    task_answer,
    task_of,
    text_of,
)
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.tasks import TaskDesk, fault_named
from ansible_collections.ferragosto.dr.extensions.twin.world.model import HostState, Phase, Power
from ansible_collections.ferragosto.dr.extensions.twin.world.world import World

_READS = {
    "RetrieveProperties",
    "RetrievePropertiesEx",
    "ContinueRetrievePropertiesEx",
    "WaitForUpdatesEx",
    "CheckForUpdates",
}
_EVENT_READS = {"QueryEvents", "ReadNextEvents", "ReadPreviousEvents"}
_CENTER_ONLY = {"CloneVM_Task", "MigrateVM_Task", "SetField", "PostEvent"}


@dataclasses.dataclass(slots=True)
class Peculiarities:
    """How this endpoint differs from an ordinary vCenter."""

    is_agent: bool = False  # plays a standalone ESXi
    is_free: bool = False  # its licence forbids changes through the API
    reverts_config: bool = True  # a revert brings extraConfig, annotation and NICs back too, as real vSphere's does
    deaf: set[str] = dataclasses.field(default_factory=set)  # VMs (moid) that do not let themselves be powered off


class Gate:
    def __init__(self, vcsim_port: int, sessions: Sessions, world: World, animator: Animator, rules: Rules) -> None:
        self.vcsim_port, self.sessions, self.world, self.animator = vcsim_port, sessions, world, animator
        self.rules, self.autostart, self.desk = rules, Autostart(), TaskDesk(sessions)
        self.facts = views.Facts()
        self.peculiar = Peculiarities()
        self.die: Callable[[float], None] = lambda seconds: None
        self.blind_user = ""
        self.blind_port: Callable[[], int] = lambda: vcsim_port
        self._lock = threading.Lock()
        self._users: dict[str, str] = {}  # session -> user
        self._blind: set[str] = set()
        self._event_filters: dict[str, views.EventFilter] = {}  # collector -> its filter
        self._over = threading.Event()

    def end(self) -> None:
        self._over.set()
        self.desk.end()
        self.rules.clear()

    def port_for(self, session: str) -> int:
        return self.blind_port() if session in self._blind else self.vcsim_port

    # --- one call ----------------------------------------------------------------------------------------------------

    def soap(self, call: Call, forward: Forward) -> Answer:
        self.world.count(call.method)
        rule = self.rules.strike(call)
        answer = self._struck(rule, call, forward) if rule is not None else self._usual(call, forward)
        if self._over.is_set() and call.changes:
            raise CutConnection("the lab was reset")
        return answer

    def _struck(self, rule: Rule, call: Call, forward: Forward) -> Answer:
        action = rule.action
        if action == "fault":
            return fault_answer(rule.fault, rule.text, rule.details)
        if action == "delay":
            self._over.wait(rule.seconds)
            return self._usual(call, forward)
        if action == "session_lost":
            self.kill_sessions(call.session)
            return self._usual(call, forward)
        if action.endswith("_task"):
            return self._task(rule, call, forward)
        if action.endswith("_after"):
            self._usual(call, forward)
        if action.startswith("hold"):
            released = self.rules.released
            while not released.wait(0.5) and not self._over.is_set():
                pass
        elif action.startswith("die"):
            self.die(rule.seconds)
        raise CutConnection(f"{action} {call.method}")

    def _task(self, rule: Rule, call: Call, forward: Forward) -> Answer:
        user = self._user(call)
        if not call.method.endswith("_Task") or user is None:
            return self._usual(call, forward)
        error = None
        if rule.action == "failing_task":
            error = fault_named(rule.fault, rule.text, rule.details)
        happens = rule.action == "slow_task" or rule.effect
        seconds = 10.0**9 if rule.action == "endless_task" else rule.seconds
        return self._slowly(call, user, seconds, happens=happens, error=error)

    def _slowly(self, call: Call, user: str, seconds: float, *, happens: bool = True, error: t.Any = None) -> Answer:
        kind, moid = call.kind, call.moid
        if kind == "VirtualMachineSnapshot":
            kind, moid = "VirtualMachine", self.animator.vm_of(kind, moid) or moid
        entity = self.sessions.of().object(kind, moid)
        act = (lambda: self._later(call, user)) if happens else None
        task = self.desk.begin(user=user, method=call.method, entity=entity, seconds=seconds, act=act, error=error)
        return task_answer(call.method, task)

    def _later(self, call: Call, user: str) -> tuple[t.Any, t.Any]:
        """Send a call on in its user's name, long after it was made; the client may have logged out meanwhile."""
        upstream = Upstream(self.vcsim_port)
        headers = {
            "Content-Type": "text/xml; charset=utf-8",
            "SOAPAction": "urn:vim25/8.0.0.1",
            "Cookie": self.sessions.of(user).stub.cookie,
        }
        try:
            outcome: dict[str, t.Any] = {}
            answer = self.change(call, lambda *_: upstream.send("POST", "/sdk", call.body, headers), outcome)
        finally:
            upstream.close()
        if not answer.is_ok:
            text = text_of(answer.body, "faultstring") or "the call failed"
            return None, vim.fault.InvalidState(msg=text)
        return outcome.get("info.result"), outcome.get("info.error")

    def _usual(self, call: Call, forward: Forward) -> Answer:
        method = call.method
        if method == "Login":
            return self._login(call, forward)
        if call.session in self._blind:
            return forward()
        if self.peculiar.is_agent and method == "RetrieveServiceContent":
            answer = forward()
            return dataclasses.replace(answer, body=views.as_agent(answer.body))
        if call.kind == "HostAutoStartManager":
            return self._autostart(call, forward)
        if method in _READS or method == "Fetch":
            return self._read(call, forward)
        if method in _EVENT_READS or method == "CreateCollectorForEvents":
            return self._events(call, forward)
        return self._changing(call, forward) if call.changes or method in _CENTER_ONLY else forward()

    # --- sessions ----------------------------------------------------------------------------------------------------

    def _login(self, call: Call, forward: Forward) -> Answer:
        user = text_of(call.body, "userName") or ""
        is_blind = bool(self.blind_user) and user == self.blind_user
        answer = forward(self.blind_port()) if is_blind else forward()
        session = session_of(answer)
        if session:
            with self._lock:
                self._users[session] = user
                if is_blind:
                    self._blind.add(session)
        return answer

    def kill_sessions(self, session: str | None = None) -> int:
        """End one client's session with vcsim, or all of them; returns how many."""
        with self._lock:
            doomed = [s for s in self._users if session in (None, s) and s not in self._blind]
            for one in doomed:
                del self._users[one]
        manager = self.sessions.of().content.sessionManager
        ended = 0
        for one in doomed:
            try:
                manager.TerminateSession([one])
                ended += 1
            except vim.fault.NotFound:
                pass  # it had logged out
        return ended

    def _user(self, call: Call) -> str | None:
        """The caller's name; None without a session, and then vcsim itself says NotAuthenticated."""
        return self._users.get(call.session)

    # --- reads -------------------------------------------------------------------------------------------------------

    def _read(self, call: Call, forward: Forward) -> Answer:
        body, managers = call.body, list[str]()
        if PREFIX.encode() in body:
            left, managers = self.autostart.split_read(body)
            if left is None:
                # something must be asked, or an expired session would stay unnoticed
                if self._user(call) is None:
                    return fault_answer("NotAuthenticated", "The session is not authenticated.")
                return self._read_managers(call.method, managers)
            body = left
        answer = forward(None, body)
        if not answer.is_ok:
            return answer
        facts = self._facts()
        if call.method == "Fetch":
            content = views.correct_one(answer.body, call.kind, call.moid, facts)
        else:
            content = views.correct(answer.body, facts)
        if b'"ArrayOfEvent"' in content:
            content, dummy, dummy = views.correct_events(
                content, self._event_filters.get(call.moid, views.EventFilter())
            )
        if managers:
            rows = self.autostart.read_objects(managers, self._host_of())
            if call.method == "RetrieveProperties":
                rows = rows.replace(b"<objects>", b"<returnval>").replace(b"</objects>", b"</returnval>")
                content = re.sub(rb"(</RetrievePropertiesResponse>)", rows + rb"\1", content)
            else:
                content = re.sub(rb"(</returnval></RetrievePropertiesExResponse>)", rows + rb"\1", content)
        return dataclasses.replace(answer, body=content)

    def _read_managers(self, method: str, managers: list[str]) -> Answer:
        from ansible_collections.ferragosto.dr.extensions.twin.vsphere.soap import answer

        rows = self.autostart.read_objects(managers, self._host_of()).decode()
        if method == "RetrieveProperties":
            rows = rows.replace("<objects>", "<returnval>").replace("</objects>", "</returnval>")
        else:
            rows = f"<returnval>{rows}</returnval>"
        return answer(f'<{method}Response xmlns="urn:vim25">{rows}</{method}Response>')

    def _events(self, call: Call, forward: Forward) -> Answer:
        if call.method == "CreateCollectorForEvents":
            body, wanted = views.widen_event_filter(call.body)
            answer = forward(None, body)
            collector = text_of(answer.body, "returnval")
            if collector:
                self._event_filters[collector] = dataclasses.replace(wanted, most=1000)
            return answer
        if call.method == "QueryEvents":
            body, wanted = views.widen_event_filter(call.body)
            answer = forward(None, body)
            return dataclasses.replace(answer, body=views.correct_events(answer.body, wanted)[0])
        while True:
            answer = forward()
            wanted = self._event_filters.get(call.moid, views.EventFilter())
            content, were, are = views.correct_events(answer.body, wanted)
            if are or not were:
                # an empty page would tell the client that it has reached the end
                return dataclasses.replace(answer, body=content)

    def _facts(self) -> views.Facts:
        with self.world.lock:
            for moid, facts in self.facts.hosts.items():
                name = self.animator.built.host_names[moid]
                facts.is_lost = self.world.hosts[name].state is not HostState.UP
                running = [c for c in self.world.copies.values() if c.host == name and c.power is Power.ON]
                facts.memory_used_mb = 2048 + sum(self.animator.built.memory_mb.get(c.id, 0) for c in running)
        return self.facts

    def _host_of(self) -> dict[str, str]:
        """VM id -> id of the host it is on."""
        built = self.animator.built
        with self.world.lock:
            return {
                built.moids[c.id]: built.hosts.get(c.host, "")
                for c in self.world.copies.values()
                if c.id in built.moids
            }

    # --- changes -----------------------------------------------------------------------------------------------------

    def _changing(self, call: Call, forward: Forward) -> Answer:
        user = self._user(call)
        if user is None:
            return forward()
        refusal = self._refused(call)
        if refusal is not None:
            return refusal
        vm = self.animator.vm_of(call.kind, call.moid)
        if call.method == "ShutdownGuest" and vm is not None:
            return self._shutdown(call, vm, user, forward)
        if vm in self.peculiar.deaf and call.method == "PowerOffVM_Task":
            error = vim.fault.InvalidState(msg="The attempted operation cannot be performed in the current state.")
            return self._slowly(call, user, 0.0, happens=False, error=error)
        if call.method == "RelocateVM_Task":
            error = self._cannot_reach_disks(call, vm)
            seconds = 0.0 if error else self.world.timing.relocate_s
            return self._slowly(call, user, seconds, happens=error is None, error=error)
        answer = self.change(call, forward)
        if call.method == "RebootGuest" and answer.is_ok and vm is not None:
            self._do(vm, user, "ResetVM_Task")
        return answer

    def _cannot_reach_disks(self, call: Call, vm: str | None) -> t.Any:
        """Hosts have own datastores: a VM that changes its host must change its datastore. vcsim would not mind."""
        host, built = text_of(call.body, "host"), self.animator.built
        store = text_of(call.body, "datastore")
        if host is None:
            return None
        if store is None and vm is not None:
            session = self.sessions.of()
            shown = session.read([session.object("VirtualMachine", vm)], ["datastore"])[vm]["datastore"]
            store = shown[0]._moId
        if store == built.datastores.get(built.host_names.get(host, "")):
            return None
        return vim.fault.InaccessibleDatastore(
            name=store or "", msg="The datastore is not accessible from the target host."
        )

    def change(self, call: Call, forward: Forward, outcome: dict[str, t.Any] | None = None) -> Answer:
        """Let a changing call through and wait until the world has seen its effect."""
        with self.animator.acting:
            answer = forward()
            if answer.is_ok:
                self._settle(call, answer, {} if outcome is None else outcome)
        return answer

    def _settle(self, call: Call, answer: Answer, outcome: dict[str, t.Any]) -> None:
        task = task_of(answer.body)
        if task is not None:
            session = self.sessions.of()
            outcome.update(session.await_task(session.object("Task", task)))
            if outcome["info.state"] == "error":
                return
        if call.method in ("RevertToSnapshot_Task", "RevertToCurrentSnapshot_Task"):
            self._stop_reverted(call)
            if self.peculiar.reverts_config:
                self.animator.restore(call.kind, call.moid)
        self.animator.acted(call.method, call.kind, call.moid, outcome.get("info.result"))

    def _stop_reverted(self, call: Call) -> None:
        """A snapshot without memory leaves the VM powered off when it is reverted to; vcsim lets it run."""
        vm = self.animator.vm_of(call.kind, call.moid)
        if vm is not None and self.world.copy(self.animator.built.copies[vm]).power is Power.ON:
            self._do(vm, LAB_USER, "PowerOffVM_Task")

    def _do(self, vm: str, user: str, method: str) -> None:
        with self.animator.acting:
            session = self.sessions.of(user)
            session.finish(getattr(session.object("VirtualMachine", vm), method)())
            self.animator.look(vm)

    def _shutdown(self, call: Call, vm: str, user: str, forward: Forward) -> Answer:
        copy = self.world.copy(self.animator.built.copies[vm])
        if copy.power is not Power.ON:
            return forward()
        if copy.phase is not Phase.RUNNING or not copy.has_tools:
            return fault_answer("ToolsUnavailable", "VMware Tools is not running in this virtual machine.")
        post_event(
            self.sessions.of(),
            "VmGuestShutdownEvent",
            self.sessions.of().object("VirtualMachine", vm),
            copy.name,
            user=user,
        )
        if vm not in self.peculiar.deaf:
            self.animator.shutdown_guest(vm, user)
        return empty_answer("ShutdownGuest")

    def _autostart(self, call: Call, forward: Forward) -> Answer:
        if self._user(call) is None:
            return forward()
        if call.method == "ReconfigureAutostart":
            return self._refused(call) or self.autostart.reconfigure(call, self._host_of())
        answer = self.autostart.fetch(call, self._host_of()) if call.method == "Fetch" else None
        return answer or forward()

    def _refused(self, call: Call) -> Answer | None:
        """What the licence, the edition or a lost host forbids."""
        if self.peculiar.is_free and call.changes:
            return fault_answer("RestrictedVersion", "fault.RestrictedVersion.summary")
        if self.peculiar.is_agent and (call.method in _CENTER_ONLY or call.method == "RelocateVM_Task"):
            return fault_answer("NotSupported", "The operation is not supported on the object.")
        vm = self.animator.vm_of(call.kind, call.moid)
        lost = {self.animator.built.hosts[h.name] for h in self.world.hosts.values() if h.state is not HostState.UP}
        touched = {self._host_of().get(vm or "", "")}
        target = text_of(call.body, "host") if call.method == "RelocateVM_Task" else None
        if call.changes and lost & (touched | {target or ""}):
            return fault_answer(
                "HostNotConnected", "Unable to communicate with the remote host, since it is disconnected."
            )
        return None
