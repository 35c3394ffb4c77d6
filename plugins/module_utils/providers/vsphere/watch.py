# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Watching the properties of one object with the server's own long poll."""

from __future__ import annotations

import contextlib
import typing as t
from collections.abc import Callable, Iterable, Sequence

from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import DROPPED, NotSent
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.sdk import vim, vmodl

if t.TYPE_CHECKING:
    from pyVmomi.VmomiSupport import ManagedObject


def raise_if_logged_out(missing: Sequence[vmodl.query.PropertyCollector.MissingProperty]) -> None:
    """Without a session the property collector does not fail: it says so of each property, and shows none."""
    for one in missing:
        if isinstance(one.fault, vim.fault.NotAuthenticated):
            raise one.fault


class Watch:
    """A property filter on one object and the values it has told so far."""

    def __init__(
        self, collector: Callable[[], vmodl.query.PropertyCollector], obj: ManagedObject, paths: Sequence[str]
    ) -> None:
        self._collector = collector  # asked for at each call, whose errors are minded: it goes with its session
        kinds = vmodl.query.PropertyCollector
        self._obj = obj
        self._spec = kinds.FilterSpec(
            objectSet=[kinds.ObjectSpec(obj=obj)], propSet=[kinds.PropertySpec(type=type(obj), pathSet=list(paths))]
        )
        self._filter: vmodl.query.PropertyCollector.Filter | None = None
        self._orphans: list[vmodl.query.PropertyCollector.Filter] = []
        self._is_answered = True
        self._version = ""
        self.seen: dict[str, t.Any] = {}

    @property
    def is_current(self) -> bool:
        return self._filter is not None

    def forget(self) -> None:
        """Start anew at the next ``ask``: the session or the connection is gone, and perhaps the filter with it."""
        if self._filter is not None:
            self._orphans.append(self._filter)
        self._filter = None
        self._version = ""

    def ask(self, wait_s: int) -> None:
        """Wait for news at most so long. Raises whatever the call raises."""
        self._is_answered = False
        if self._filter is None:
            self._filter = self._collector().CreateFilter(self._spec, False)
            self.seen = {}
        options = vmodl.query.PropertyCollector.WaitOptions(maxWaitSeconds=wait_s)
        update = self._collector().WaitForUpdatesEx(self._version, options)
        if update is None:
            self._look()
            return
        self._is_answered = True
        self._version = update.version
        for of_filter in update.filterSet:
            for changed in of_filter.objectSet:
                if changed.obj._moId == self._obj._moId:
                    raise_if_logged_out(changed.missingSet)
                    self._merge(changed.changeSet)

    def _look(self) -> None:
        """Read everything after a wait without news.

        Perhaps there is none; or the session is gone; or the news went to an earlier wait whose connection was cut.
        """
        answer = self._collector().RetrievePropertiesEx([self._spec], vmodl.query.PropertyCollector.RetrieveOptions())
        self._is_answered = True
        for one in answer.objects if answer is not None else ():
            raise_if_logged_out(one.missingSet)
            self.seen = {each.name: each.val for each in one.propSet if each.val is not None}

    def _merge(self, changes: Iterable[vmodl.query.PropertyCollector.Change]) -> None:
        for change in changes:
            if change.op in ("assign", "add") and change.val is not None:
                self.seen[change.name] = change.val
            else:
                self.seen.pop(change.name, None)

    def destroy(self) -> None:
        """Take the filters off the server, unless it does not answer: they end with the session anyway."""
        self.forget()
        while self._orphans and self._is_answered:
            with contextlib.suppress(vmodl.MethodFault, NotSent, *DROPPED):
                self._orphans.pop().Destroy()
