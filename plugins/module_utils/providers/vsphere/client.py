# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One session with one vSphere endpoint: bulk reads, single calls, tasks and waits, every error in our words.

Use one client from one thread at a time. Reads are repeated a bounded number of times when the connection drops; a changing
call never is: its answer counts as lost, and the caller reads the state again. A call that the server refused because the
session was gone did not happen, so it is made again after a fresh login.
"""

from __future__ import annotations

import contextlib
import functools
import math
import typing as t
from collections.abc import Callable, Iterable, Mapping, Sequence

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput, DrError, ProviderFault
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Clock, EndpointSpec, Progress
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import DROPPED, NotSent
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.network import answer_lost
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere import faults
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.sdk import require_pyvmomi, vim, vmodl
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.transport import Stub, Unreadable
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.watch import Watch, raise_if_logged_out

if t.TYPE_CHECKING:
    from pyVmomi.VmomiSupport import ManagedObject

__all__ = ["Client", "vim", "vmodl"]

T = t.TypeVar("T")
Properties: t.TypeAlias = "dict[str, t.Any]"

READ_RETRIES = 2
WAIT_RETRIES = 4
RETRY_PAUSE_S = 0.5
MAX_POLL_S = 10.0  # a long poll ends well before the socket's own time limit


class Client:
    """Connects on first use; ``close`` logs out."""

    def __init__(self, spec: EndpointSpec, *, clock: Clock, progress: Progress) -> None:
        self.spec = spec
        self.address = faults.address_of(spec)
        self.clock_offset_s = 0.0  # endpoint's clock minus ours, as seen at the last login
        self.clock = clock
        self.progress = progress
        self._stub: Stub | None = None
        self._content: vim.ServiceInstanceContent | None = None
        self.known: dict[str, Properties] = {}  # hosts, datastores, networks by handle, as last read (see read.py)
        self._logins = 0
        self._views: dict[tuple[type, ...], tuple[int, ManagedObject]] = {}
        self._waiting: tuple[int, vmodl.query.PropertyCollector | None] = (0, None)

    def __repr__(self) -> str:
        return f"<vSphere {self.address} as {self.spec.api_user}>"

    @property
    def content(self) -> vim.ServiceInstanceContent:
        if self._content is None:
            self._connect()
        return t.cast("vim.ServiceInstanceContent", self._content)

    @property
    def is_vcenter(self) -> bool:
        return str(self.content.about.apiType) == "VirtualCenter"

    @property
    def about(self) -> str:
        about = self.content.about
        return f"{about.apiType} {about.version}"

    @property
    def calls(self) -> int:
        """SOAP round trips so far."""
        return self._stub.calls if self._stub else 0

    def object(self, kind: type, handle: str) -> t.Any:
        self.content  # noqa: B018  (connects)
        return kind(handle, self._stub)

    # --- reads ------------------------------------------------------------------------------------------------------

    def retrieve(self, objects: Sequence[ManagedObject], paths: Sequence[str]) -> dict[str, Properties]:
        """Read the same paths of some objects, by handle, in one call. An unset path is absent."""
        return self.retrieve_each([(found, paths) for found in objects])

    def retrieve_each(self, wanted: Iterable[tuple[ManagedObject, Sequence[str]]]) -> dict[str, Properties]:
        """Read different paths of different objects in one call, by handle."""
        collector = vmodl.query.PropertyCollector
        specs = [
            collector.FilterSpec(
                objectSet=[collector.ObjectSpec(obj=found)],
                propSet=[collector.PropertySpec(type=type(found), pathSet=list(paths))],
            )
            for found, paths in wanted
        ]
        if not specs:
            return {}
        read = functools.partial(self._pages, lambda: specs, None)
        return {found._moId: properties for found, properties in self.read_call("read properties", read)}

    def view(
        self, kinds: Sequence[type], paths_by_kind: Mapping[type, Sequence[str]], page: int = 500
    ) -> dict[str, Properties]:
        """Read all objects of some kinds, by handle: 1 + pages round trips, 1 less when the view is there already."""
        return {found._moId: properties for found, properties in self.survey(kinds, paths_by_kind, page)}

    def survey(
        self, kinds: Sequence[type], paths_by_kind: Mapping[type, Sequence[str]], page: int = 500
    ) -> list[tuple[ManagedObject, Properties]]:
        """As ``view``, with the objects themselves. The container view lives as long as the session."""

        def specs() -> list[vmodl.query.PropertyCollector.FilterSpec]:
            collector = vmodl.query.PropertyCollector
            walk = collector.TraversalSpec(type=vim.view.ContainerView, path="view", skip=False)
            return [
                collector.FilterSpec(
                    objectSet=[collector.ObjectSpec(obj=self._container(tuple(kinds)), skip=True, selectSet=[walk])],
                    propSet=[collector.PropertySpec(type=kind, pathSet=list(paths_by_kind[kind])) for kind in kinds],
                )
            ]

        read = functools.partial(self._pages, specs, page)
        try:
            return self.read_call("read the inventory", read)
        except faults.VendorFault as fault:
            # Some servers tell of a session that is gone by not finding its view
            if fault.kind != "ManagedObjectNotFound" or self._views.pop(tuple(kinds), None) is None:
                raise
        return self.read_call("read the inventory", read)

    def read_call(self, what: str, function: Callable[..., T], *args: t.Any) -> T:
        """Make a call that changes nothing; it is repeated when the connection drops."""
        return self._perform(what, function, args, is_read=True)

    # --- acts -------------------------------------------------------------------------------------------------------

    def call(self, what: str, function: Callable[..., T], *args: t.Any) -> T:
        """Make any plain API call, once."""
        return self._perform(what, function, args, is_read=False)

    def run_task(
        self,
        what: str,
        start: Callable[[], vim.Task],
        *,
        within_s: float,
        hindrance: Callable[[], ProviderFault | None] = lambda: None,
        look_every_s: float = MAX_POLL_S,
    ) -> t.Any:
        """Start a task, wait for its end and return its result.

        Once started, whatever hinders the waiting is a lost answer: the task may still have its effect. ``hindrance`` is asked
        while the task runs, each ``look_every_s``: a fault that it returns is raised as it is, for the task would never end.
        """
        deadline = self.clock.now_s() + within_s
        task = self.call(what, start)
        shown, asked_at_s = 0, float("-inf")
        hindered: list[ProviderFault] = []

        def ended(seen: Mapping[str, t.Any]) -> Mapping[str, t.Any] | None:
            nonlocal shown, asked_at_s
            percent = seen.get("info.progress")
            if percent is not None and percent // 25 > shown // 25:
                shown = percent
                self.progress(f"{what}: {percent} %")
            if seen.get("info.state") in ("success", "error"):
                return seen
            if self.clock.now_s() - asked_at_s >= look_every_s:
                hindered.extend(found for found in (hindrance(),) if found is not None)
                asked_at_s = self.clock.now_s()
            return seen if hindered else None

        # info as a whole cannot be read everywhere: some servers name an entity there that pyvmomi refuses
        paths = ("info.state", "info.error", "info.progress", "info.result")
        try:
            seen = self.wait_for(task, paths, ended, within_s=deadline - self.clock.now_s(), look_every_s=look_every_s)
        except DrError as cause:
            raise answer_lost(what, f"task {task._moId} was started, then: {cause.why}", cause.next) from cause
        if hindered:
            raise hindered[0]
        if seen is None:
            raise answer_lost(
                what,
                f"task {task._moId} at {self.address} did not end within {within_s:.0f} s; it was left running",
                f"watch or cancel task {task._moId} in vSphere, then run the same command: it reads the state first",
            )
        if seen.get("info.state") == "error":
            raise faults.from_vendor(what, seen.get("info.error"), self.spec)
        return seen.get("info.result")

    # --- waits ------------------------------------------------------------------------------------------------------

    def wait_for(
        self,
        obj: ManagedObject,
        paths: Sequence[str],
        until: Callable[[Mapping[str, t.Any]], T | None],
        *,
        within_s: float,
        look_every_s: float = MAX_POLL_S,
    ) -> T | None:
        """Wait until ``until`` (given all properties seen so far) returns something; None when time is up.

        ``until`` is asked after every change, and at least each ``look_every_s``. The server tells of changes, nothing is
        polled; a killed session or a dropped connection is mended a bounded number of times.
        """
        deadline = self.clock.now_s() + within_s
        poll_s = max(1.0, min(look_every_s, MAX_POLL_S, self.spec.timeout_s / 2))
        watch = Watch(self._waiting_collector, obj, paths)
        hindrances = 0
        try:
            while True:
                left_s = deadline - self.clock.now_s()
                try:
                    watch.ask(max(0, math.ceil(min(poll_s, left_s))))
                    hindrances = 0
                except vim.fault.NotAuthenticated:
                    hindrances += 1
                    if hindrances > WAIT_RETRIES:
                        raise answer_lost("wait", f"{self.address} ends every new session at once") from None
                    self._login()
                    watch.forget()
                except vmodl.query.InvalidCollectorVersion:
                    watch.forget()
                except vmodl.MethodFault as fault:
                    hindrances += 1
                    if not self._has_lost_collector(fault) or hindrances > WAIT_RETRIES:
                        raise faults.from_vendor("wait", fault, self.spec) from fault
                    watch.forget()
                except (NotSent, *DROPPED) as dropped:
                    hindrances += 1
                    cause = dropped.cause if isinstance(dropped, NotSent) else dropped
                    if hindrances > WAIT_RETRIES or left_s <= 0:
                        raise faults.from_network("wait", cause, self.spec) from cause
                    watch.forget()
                    self.clock.sleep(min(RETRY_PAUSE_S * hindrances, left_s))
                    continue
                found = until(watch.seen) if watch.is_current else None
                if found is not None:
                    return found
                if left_s <= 0:
                    return None
        finally:
            watch.destroy()

    def close(self) -> None:
        """Log out. Never raises: the session would die by itself."""
        if self._stub is not None and self._content is not None:
            with contextlib.suppress(vmodl.MethodFault, NotSent, *DROPPED):
                _there(self._content.sessionManager).Logout()
        if self._stub is not None:
            self._stub.DropConnections()  # type: ignore[no-untyped-call]
        self._content = None
        self._views.clear()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        require_pyvmomi()
        self._require_account()
        what = f"connect to {self.address}"
        self._stub = self._stub or Stub(self.spec)
        instance = vim.ServiceInstance("ServiceInstance", self._stub)
        try:
            content = instance.RetrieveContent()
            if content is None:  # some web page: well-formed, and not one word of vSphere's in it
                raise Unreadable("no service content")
            self._login(content)
            asked_s = self.clock.now_s()
            server_s = instance.CurrentTime().timestamp()
        except NotSent as not_sent:
            raise faults.from_network(what, not_sent.cause, self.spec) from not_sent.cause
        except vmodl.MethodFault as fault:
            raise faults.from_vendor(what, fault, self.spec) from fault
        except DROPPED as cause:
            raise faults.from_network(what, cause, self.spec) from cause
        self.clock_offset_s = server_s - (asked_s + self.clock.now_s()) / 2
        self._content = content

    def _login(self, content: vim.ServiceInstanceContent | None = None) -> None:
        manager = _there((content or self.content).sessionManager)
        try:
            manager.Login(self.spec.api_user or "", self.spec.api_password or "", None)
        except (vim.fault.InvalidLogin, vim.fault.InvalidLocale, vim.fault.NoPermission) as fault:
            # without the cause: pyvmomi's frames hold the password
            raise faults.wrong_login(self.spec, fault) from None
        self._logins += 1

    def _require_account(self) -> None:
        for option in ("api_user", "api_password"):
            if not getattr(self.spec, option):
                raise BadInput(
                    what=f"log in to {self.address}",
                    why=f"{option} is not set for this endpoint (vSphere knows no API tokens)",
                    next=f"set {option} in dr_site (the password from a vault or the environment)",
                )

    def _perform(self, what: str, function: Callable[..., T], args: Sequence[t.Any], *, is_read: bool) -> T:
        self.content  # noqa: B018  (connects)
        drops, logins = 0, self._logins
        while True:
            try:
                return function(*args)
            except vim.fault.NotAuthenticated as fault:
                if self._logins > logins:
                    raise faults.from_vendor(what, fault, self.spec) from fault
                self._log_in_again(what)
            except vmodl.MethodFault as fault:
                raise faults.from_vendor(what, fault, self.spec) from fault
            except NotSent as not_sent:
                raise faults.from_network(what, not_sent.cause, self.spec) from not_sent.cause
            except DROPPED as cause:
                if not is_read:
                    words = faults.from_network(what, cause, self.spec)
                    raise answer_lost(what, f"sent, but no answer came: {words.why}", words.next) from cause
                drops += 1
                if drops > READ_RETRIES or isinstance(cause, TimeoutError):
                    raise faults.from_network(what, cause, self.spec) from cause
                self.clock.sleep(RETRY_PAUSE_S)

    def _log_in_again(self, what: str) -> None:
        try:
            self._login()
        except NotSent as not_sent:
            raise faults.from_network(what, not_sent.cause, self.spec) from not_sent.cause
        except vmodl.MethodFault as fault:
            raise faults.from_vendor(what, fault, self.spec) from fault
        except DROPPED as cause:
            raise faults.from_network(what, cause, self.spec) from cause

    def _waiting_collector(self) -> vmodl.query.PropertyCollector:
        """Return the session's own collector for waits.

        The default one is each session's on vSphere, but in vcsim all sessions share the place where its news goes: of several
        that wait, one is told.
        """
        login, collector = self._waiting
        if collector is None or login != self._logins:
            collector = self.content.propertyCollector.CreatePropertyCollector()
            self._waiting = (self._logins, collector)
        return collector

    def _has_lost_collector(self, fault: vmodl.MethodFault) -> bool:
        """Tell whether the fault says that our collector is gone, as it goes with its session; then forget it."""
        _login, collector = self._waiting
        gone = getattr(fault, "obj", None)
        if collector is None or gone is None or gone._moId != collector._moId:
            return False
        self._waiting = (0, None)
        return True

    def _container(self, kinds: tuple[type, ...]) -> ManagedObject:
        """Return the session's view of these kinds; a view dies with its session."""
        login, view = self._views.get(kinds, (0, None))
        if view is None or login != self._logins:
            content = self.content
            view = _there(content.viewManager).CreateContainerView(content.rootFolder, list(kinds), True)
            self._views[kinds] = (self._logins, view)
        return view

    def _pages(
        self, specs: Callable[[], list[vmodl.query.PropertyCollector.FilterSpec]], page: int | None
    ) -> list[tuple[ManagedObject, Properties]]:
        collector = self.content.propertyCollector
        options = vmodl.query.PropertyCollector.RetrieveOptions(maxObjects=page)
        found: list[tuple[ManagedObject, Properties]] = []
        answer = collector.RetrievePropertiesEx(specs(), options)
        while answer is not None:
            for one in answer.objects:
                raise_if_logged_out(one.missingSet)
            found += [
                (one.obj, {each.name: each.val for each in one.propSet if each.val is not None})
                for one in answer.objects
            ]
            if not answer.token:
                break
            answer = collector.ContinueRetrievePropertiesEx(answer.token)
        return found


def _there(manager: T | None) -> T:
    """A manager that every vCenter and ESXi has, although its type says optional."""
    if manager is None:
        raise AttributeError("the server offers no session or view manager")
    return manager
