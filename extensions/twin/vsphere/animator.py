# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The animator: carries what vcsim shows into the world, and what happens to guests back into vcsim."""

from __future__ import annotations

import contextlib
import http.client
import logging
import os
import threading
import typing as t
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pyVmomi import vim, vmodl

from ansible_collections.ferragosto.dr.extensions.twin.vsphere.session import LAB_USER, PATHS, Session, Sessions
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.site import (
    Built,
    guest_properties,
    nics_of,
    post_event,
    utc,
)
from ansible_collections.ferragosto.dr.extensions.twin.world.model import (
    Copy,
    GuestChange,
    HostState,
    Phase,
    Power,
    Role,
)
from ansible_collections.ferragosto.dr.extensions.twin.world.world import UnknownThing, World

_LOG = logging.getLogger(__name__)
_POWER = {"poweredOn": Power.ON, "poweredOff": Power.OFF, "suspended": Power.SUSPENDED}


@dataclass(frozen=True, slots=True)
class _Kept:
    """The part of a VM's configuration that a snapshot holds and that a recovery cares for."""

    extra: dict[str, str]
    annotation: str
    plugs: dict[int, bool]  # NIC key -> startConnected


class Animator:
    """One per vcsim. ``acting`` is held around every call that changes vcsim until the world has seen its effect."""

    def __init__(self, world: World, sessions: Sessions, built: Built, after_look: Callable[[], None]) -> None:
        self.world, self.built, self.acting = world, built, threading.RLock()
        self._sessions, self._after_look = sessions, after_look
        self._boot_times: dict[str, t.Any] = {}
        self._points: dict[str, str] = {}  # snapshot moid -> VM moid
        self._current_point: dict[str, str] = {}
        self._kept: dict[str, _Kept] = {}  # snapshot moid -> the configuration it holds
        self._shutdown_by: dict[str, str] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="animator", daemon=True)

    # --- life --------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self.look_all()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        with self.world.lock:
            self.world.changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                for change in self.world.tick():
                    self._show(change)
                self._after_look()
            except (OSError, http.client.HTTPException, vmodl.MethodFault, LookupError, RuntimeError):
                # vcsim may have been ended under us by a reset; a real fault must stay visible in the lab's log
                if self._stop.is_set():
                    return
                _LOG.exception("the animator stumbled")
            self.world.await_change(0.5)

    # --- vcsim -> world ----------------------------------------------------------------------------------------------

    def look(self, moid: str) -> None:
        """Read one VM again and tell the world."""
        session = self._sessions.of()
        row = session.read([session.object("VirtualMachine", moid)], PATHS).get(moid)
        self._take(moid, row)
        self._after_look()

    def look_all(self) -> None:
        session = self._sessions.of()
        rows = session.read(session.all_vms(), PATHS)
        for moid in [*rows, *(m for m in list(self.built.copies) if m not in rows)]:
            self._take(moid, rows.get(moid))
        self._after_look()

    def vm_of(self, kind: str, moid: str) -> str | None:
        """The VM that a call on this object is about."""
        if kind == "VirtualMachine":
            return moid
        return self._points.get(moid) if kind == "VirtualMachineSnapshot" else None

    def acted(self, method: str, kind: str, moid: str, result: t.Any) -> None:
        """Take over the effect of a call that vcsim has done: data states first, then what it shows now."""
        vm = self.vm_of(kind, moid)
        if method == "CloneVM_Task" and result is not None:
            self._cloned(moid, result._moId)
        if vm is None or vm not in self.built.copies:
            self.look_all()
            return
        copy_id = self.built.copies[vm]
        if method == "RelocateVM_Task":
            self._move_files(vm)
        with contextlib.suppress(UnknownThing):
            if method in ("CreateSnapshot_Task", "CreateSnapshotEx_Task") and result is not None:
                self.world.point_made(copy_id, result._moId)
            elif method == "RevertToSnapshot_Task":
                self.world.reverted(copy_id, moid)
            elif method == "RevertToCurrentSnapshot_Task" and vm in self._current_point:
                self.world.reverted(copy_id, self._current_point[vm])
        self.look(vm)

    def _take(self, moid: str, row: dict[str, t.Any] | None) -> None:
        copy_id = self.built.copies.get(moid)
        if copy_id is None:
            return
        if row is None:
            del self.built.copies[moid]
            self.world.remove_copy(copy_id)
            return
        copy = self.world.copy(copy_id)
        host = self.built.host_names.get(row["runtime.host"]._moId, row["runtime.host"]._moId)
        if self.world.hosts[copy.host].state is HostState.DEAD:
            return  # what vCenter still shows of a dead host is the past
        booted = row.get("summary.runtime.bootTime")
        power = _POWER[row["runtime.powerState"]]
        last = self._boot_times.get(moid)
        self.world.observe(
            copy_id,
            power=power,
            host=host,
            nics=nics_of(row.get("config.hardware.device", ()), self.built.networks),
            was_restarted=power is Power.ON and copy.power is Power.ON and last is not None and booted != last,
        )
        self._boot_times[moid] = booted
        self._take_points(moid, copy_id, row.get("snapshot"), row)

    def _take_points(self, moid: str, copy_id: str, tree: t.Any, row: dict[str, t.Any]) -> None:
        found, waiting = [], list(tree.rootSnapshotList) if tree else []
        while waiting:
            node = waiting.pop()
            waiting.extend(node.childSnapshotList or [])
            found.append(node.snapshot._moId)
            self._points[node.snapshot._moId] = moid
            if node.snapshot._moId not in self._kept:
                self._kept[node.snapshot._moId] = _kept(row)
        self.world.points_seen(copy_id, found)
        if tree and tree.currentSnapshot:
            self._current_point[moid] = tree.currentSnapshot._moId

    def restore(self, kind: str, moid: str) -> None:
        """Bring back the configuration that a snapshot holds, after a revert to it: vcsim leaves it as it is."""
        vm_moid = self.vm_of(kind, moid)
        point = moid if kind == "VirtualMachineSnapshot" else self._current_point.get(moid, "")
        if vm_moid is None or point not in self._kept:
            return
        session, kept = self._sessions.of(), self._kept[point]
        vm = session.object("VirtualMachine", vm_moid)
        row = session.read([vm], PATHS)[vm_moid]
        now = _kept(row)
        extra = {**dict.fromkeys(now.extra.keys() - kept.extra.keys(), ""), **kept.extra}
        edits = []
        for device in row.get("config.hardware.device", ()):
            if isinstance(device, vim.vm.device.VirtualEthernetCard) and device.key in kept.plugs:
                plug: t.Any = device.connectable
                if plug.startConnected != kept.plugs[device.key]:
                    plug.startConnected = kept.plugs[device.key]
                    edits.append(vim.vm.device.VirtualDeviceSpec(operation="edit", device=device))
        options = [vim.option.OptionValue(key=k, value=v) for k, v in extra.items() if now.extra.get(k) != v]
        if options or edits or now.annotation != kept.annotation:
            spec = vim.vm.ConfigSpec(extraConfig=options, deviceChange=edits, annotation=kept.annotation)
            session.finish(vm.ReconfigVM_Task(spec))

    def _move_files(self, moid: str) -> None:
        """Let the files follow a relocated VM: vcsim changes its datastore and leaves the paths where they were."""
        session = self._sessions.of()
        vm = session.object("VirtualMachine", moid)
        row = session.read([vm], ["datastore", "config.files", "config.hardware.device", "layoutEx"])[moid]
        stores = type(row["datastore"])(row["datastore"][-1:])  # a plain list has no wire type
        store = session.read(stores, ["name"])[stores[0]._moId]["name"]
        edits = []
        for device in row["config.hardware.device"]:
            if isinstance(device, vim.vm.device.VirtualDisk):
                backing: t.Any = device.backing
                self._move_disk(backing.fileName, store)
                backing.fileName = _on(store, backing.fileName)
                backing.datastore = None
                edits.append(vim.vm.device.VirtualDeviceSpec(operation="edit", device=device))
        paths = {
            f"config.files.{word}": _on(store, path)
            for word in ("vmPathName", "snapshotDirectory", "suspendDirectory", "logDirectory")
            if (path := getattr(row["config.files"], word))
        }
        paths["summary.config.vmPathName"] = paths["config.files.vmPathName"]
        for file in row["layoutEx"].file:
            file.name = _on(store, file.name)
        session.finish(vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=edits)))
        # vcsim counts an edited disk as one more
        session.set(
            vm,
            {**paths, "layoutEx": row["layoutEx"], "datastore": stores, "summary.config.numVirtualDisks": len(edits)},
        )
        # once more: vcsim looked at the old layout while it took over the new one
        session.set(vm, {"datastore": stores})

    def _move_disk(self, path: str, store: str) -> None:
        for name in (path, path.replace(".vmdk", "-flat.vmdk")):
            old, new = self._file(name), self._file(_on(store, name))
            if old != new and old.exists():
                new.parent.mkdir(parents=True, exist_ok=True)
                new.touch()
                os.truncate(new, old.stat().st_size)
                old.unlink()

    def _file(self, path: str) -> Path:
        store, dummy, rest = path.removeprefix("[").partition("] ")
        return self.built.folders[store] / rest

    def _cloned(self, source_moid: str, moid: str) -> None:
        session = self._sessions.of()
        row = session.read([session.object("VirtualMachine", moid)], PATHS)[moid]
        source = self.world.copy(self.built.copies[source_moid])
        uuid = row["config.instanceUuid"]
        self.built.copies[moid], self.built.moids[uuid] = uuid, moid
        self.built.memory_mb[uuid] = self.built.memory_mb.get(source.id, 0)
        host = self.built.host_names[row["runtime.host"]._moId]
        data = self.world.data_of(source)
        self.world.add_copy(Copy(id=uuid, vm=source.vm, name=row["name"], role=Role.CLONE, host=host, data=data))
        self.look(moid)

    # --- world -> vcsim ----------------------------------------------------------------------------------------------

    def shutdown_guest(self, moid: str, user: str) -> bool:
        """Ask a guest to shut down in a user's name; False: there are no tools that could."""
        copy_id = self.built.copies[moid]
        self._shutdown_by[copy_id] = user
        return self.world.shutdown_asked(copy_id)

    def _show(self, change: GuestChange) -> None:
        """Push a guest's phase into vcsim: its present one, which may be newer than the change."""
        with contextlib.suppress(UnknownThing, vmodl.fault.ManagedObjectNotFound):
            copy = self.world.copy(change.copy)
            moid = self.built.moids[change.copy]
            session = self._sessions.of()
            vm = session.object("VirtualMachine", moid)
            if change.phase is Phase.OFF and change.before is Phase.SHUTTING_DOWN:
                self._halted(moid, self._shutdown_by.pop(change.copy, LAB_USER))
            if self.world.hosts[copy.host].state is HostState.DEAD:
                return  # vCenter keeps showing what it saw last
            shown = guest_properties(
                copy.phase, has_tools=copy.has_tools, address=self.built.addresses.get(copy.vm, "")
            )
            if copy.phase is Phase.BOOTING and copy.booted_at_s is not None:
                shown["runtime.bootTime"] = utc(copy.booted_at_s)
            session.set(vm, shown)
            if change.phase is Phase.CRASHED:
                post_event(session, "VmGuestOSCrashedEvent", vm, copy.name)

    def _halted(self, moid: str, user: str) -> None:
        with self.acting, contextlib.suppress(vim.fault.InvalidPowerState):
            session: Session = self._sessions.of(user)
            session.finish(session.object("VirtualMachine", moid).PowerOffVM_Task())
            self.look(moid)


def _kept(row: dict[str, t.Any]) -> _Kept:
    plugs = {}
    for device in row.get("config.hardware.device", ()):
        if isinstance(device, vim.vm.device.VirtualEthernetCard) and device.connectable is not None:
            plugs[device.key] = bool(device.connectable.startConnected)
    extra = {str(o.key): str(o.value) for o in row.get("config.extraConfig", ())}
    return _Kept(extra, row.get("config.annotation") or "", plugs)


def _on(datastore: str, path: str) -> str:
    """The same path on another datastore."""
    return f"[{datastore}]{path.partition(']')[2]}"
