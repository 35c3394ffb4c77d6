# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's own way into vcsim: sessions in any user's name, and the few calls that the builder and the animator need.

vcsim accepts any name in an unverified SAML token (LoginByToken), so the lab can act as "mario.rossi" although the endpoint
itself knows one user with a password.
"""

from __future__ import annotations

import http.client
import re
import threading
import time
import typing as t
from xml.sax.saxutils import escape

from pyVmomi import SoapStubAdapter, vim, vmodl

LAB_USER = "lab-animator"  # the proxy keeps what this user did out of every client's sight
PATHS = (
    "name",
    "config.instanceUuid",
    "config.hardware.device",
    "config.extraConfig",
    "config.annotation",
    "runtime.powerState",
    "runtime.host",
    "summary.runtime.bootTime",
    "snapshot",
)

_ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
    "<soapenv:Header>{header}</soapenv:Header><soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>"
)
_TOKEN = (
    '<Security xmlns="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"><Assertion>'
    "<Subject><NameID>{user}</NameID></Subject></Assertion></Security>"
)
_LOGIN = '<LoginByToken xmlns="urn:vim25"><_this type="SessionManager">SessionManager</_this></LoginByToken>'


class Session:
    """A session of one user with vcsim, past the proxy."""

    def __init__(self, port: int, user: str = LAB_USER) -> None:
        self.user, self._port = user, port
        self._stub = SoapStubAdapter(host="127.0.0.1", port=-port, path="/sdk", version="vim.version.v8_0_0_1")
        self._stub.cookie = _login(port, user)
        # its stubs say "may be absent" of every manager
        self.content: t.Any = vim.ServiceInstance("ServiceInstance", self._stub).RetrieveContent()
        self.stub = self._stub
        self.datacenter: t.Any = self.content.rootFolder.childEntity[0]

    def object(self, kind: str, moid: str) -> t.Any:
        """The managed object with this id, e.g. ``object("VirtualMachine", "vm-42")``."""
        return getattr(vim if hasattr(vim, kind) else vim.vm, kind)(moid, self._stub)

    def read(self, objects: t.Sequence[t.Any], paths: t.Sequence[str]) -> dict[str, dict[str, t.Any]]:
        """Read properties in one call; moid -> path -> value. What is unset, or gone, is absent."""
        if not objects:
            return {}
        collector = vmodl.query.PropertyCollector
        spec = collector.FilterSpec(
            objectSet=[collector.ObjectSpec(obj=o) for o in objects],
            propSet=[collector.PropertySpec(type=type(objects[0]), pathSet=list(paths))],
        )
        try:
            answer = self.content.propertyCollector.RetrievePropertiesEx([spec], collector.RetrieveOptions())
        except vmodl.fault.ManagedObjectNotFound:
            if len(objects) == 1:
                return {}
            return {moid: row for o in objects for moid, row in self.read([o], paths).items()}
        return {o.obj._moId: {p.name: p.val for p in o.propSet} for o in (answer.objects if answer else [])}

    def all_vms(self) -> list[vim.VirtualMachine]:
        view = self.content.viewManager.CreateContainerView(self.content.rootFolder, [vim.VirtualMachine], True)
        try:
            return list(self.read([view], ["view"])[view._moId].get("view", []))
        finally:
            view.Destroy()

    def end_task_with(self, task: vim.Task, result: t.Any) -> None:
        """Let a task of ours succeed with a managed object as its result, which pyvmomi would write in a type of its own."""
        body = (
            f'<SetTaskState xmlns="urn:vim25"><_this type="Task">{task._moId}</_this><state>success</state>'
            f'<result xsi:type="ManagedObjectReference" type="{type(result)._wsdlName}">{result._moId}</result></SetTaskState>'
        )
        status, answer, dummy = _post(self._port, _ENVELOPE.format(header="", body=body), self._stub.cookie)
        if status != 200:
            raise RuntimeError(f"vcsim refused the end of {task._moId}: {answer[:300]}")

    def finish(self, task: vim.Task, within_s: float = 10.0) -> t.Any:
        """Wait for a task of vcsim (they end within milliseconds); returns its result, raises its fault."""
        info = self.await_task(task, within_s)
        if info["info.state"] == "error":
            raise info["info.error"]
        return info.get("info.result")

    def await_task(self, task: vim.Task, within_s: float = 10.0) -> dict[str, t.Any]:
        deadline = time.monotonic() + within_s
        while True:
            row = self.read([task], ["info.state", "info.error", "info.result"]).get(task._moId, {})
            if row.get("info.state") in ("success", "error"):
                return row
            if time.monotonic() > deadline:
                raise TimeoutError(f"vcsim's {task._moId} did not end within {within_s:.0f} s: {row}")
            time.sleep(0.001)

    def set(self, vm: vim.VirtualMachine, properties: dict[str, t.Any]) -> None:
        """Set properties that real vSphere measures, by vcsim's ``SET.`` hook. Never a boolean: that kills vcsim."""
        if any(isinstance(v, bool) for v in properties.values()):
            raise TypeError(f"a boolean SET. path kills vcsim: {properties}")
        options = [vim.option.OptionValue(key=f"SET.{path}", value=value) for path, value in properties.items()]
        self.finish(vm.ReconfigVM_Task(vim.vm.ConfigSpec(extraConfig=options)))


class Sessions:
    """One session per user name, opened when first needed."""

    def __init__(self, port: int) -> None:
        self._port, self._lock, self._open = port, threading.Lock(), dict[str, Session]()

    def of(self, user: str = LAB_USER) -> Session:
        with self._lock:
            if user not in self._open:
                self._open[user] = Session(self._port, user)
            return self._open[user]


def _login(port: int, user: str) -> str:
    envelope = _ENVELOPE.format(header=_TOKEN.format(user=escape(user)), body=_LOGIN)
    status, answer, cookies = _post(port, envelope, "")
    cookie = re.search(r"vmware_soap_session=[^;]+", cookies)
    if status != 200 or cookie is None:
        raise RuntimeError(f"vcsim refused a session for {user}: {status} {answer[:400]}")
    return cookie.group(0)


def _post(port: int, envelope: str, cookie: str) -> tuple[int, str, str]:
    """Status, body and Set-Cookie of one SOAP call."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        headers = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": "urn:vim25/8.0.0.1", "Cookie": cookie}
        connection.request("POST", "/sdk", envelope.encode(), headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace"), answer.getheader("Set-Cookie") or ""
    finally:
        connection.close()
