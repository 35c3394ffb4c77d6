# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything that may befall a lab: each verb is a method here, and a POST on the lab's control door."""

from __future__ import annotations

import typing as t
from dataclasses import asdict

from ansible_collections.ferragosto.dr.extensions.twin.world.model import Role, Service

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.vsphere.lab import VsphereLab

PERSON = "marco.rinaldi"


class Control:
    VERBS = frozenset(
        "crash hang corrupt begin_story service power_off power_on disconnect_nics connect_nics run_job world violations accidents "
        "calls log reset endpoint_down endpoint_up certificate".split()
    )

    def __init__(self, lab: VsphereLab) -> None:
        self._lab = lab

    # --- guests ------------------------------------------------------------------------------------------------------

    def crash(self, vm: str, role: str = "production") -> None:
        """Blue screen once; the next boot is sound."""
        self._lab.world.crash(self._copy_id(vm, role))
        self._settle()

    def hang(self, vm: str, role: str = "production") -> None:
        self._lab.world.hang(self._copy_id(vm, role))
        self._settle()

    def corrupt(self, vm: str, since_s: float = 0.0) -> None:
        """Let the production copy's data be rotten since so many seconds: blue screen now, and again at every boot."""
        self._lab.world.corrupt(vm, since_s=self._lab.world.clock.now_s() - since_s)
        self._settle()

    def begin_story(self) -> str:
        """Play the story of the lab file; returns the VM it happens to."""
        story = self._lab.wish.story
        if story is None:
            raise ValueError("the lab file tells no story: add `story: {vm: ..., rotten_since: 2h}`")
        self.corrupt(story.vm, story.rotten_since_s)
        return story.vm

    def service(self, vm: str, mode: str) -> None:
        """What the application does: ok, error (503), hanging, down."""
        self._lab.world.set_service(vm, Service(mode))
        self._settle()

    # --- other people's hands ----------------------------------------------------------------------------------------

    def power_off(self, vm: str, role: str = "production", user: str = PERSON) -> None:
        """Power a copy off in another user's name, as the event log then tells."""
        self._act(vm, role, user, "PowerOffVM_Task")

    def power_on(self, vm: str, role: str = "production", user: str = PERSON) -> None:
        self._act(vm, role, user, "PowerOnVM_Task")

    def disconnect_nics(self, vm: str, role: str = "production", user: str = PERSON) -> None:
        self._set_nics(vm, role, user, is_connected=False)

    def connect_nics(self, vm: str, role: str = "production", user: str = PERSON) -> None:
        self._set_nics(vm, role, user, is_connected=True)

    # --- the endpoint ------------------------------------------------------------------------------------------------

    def endpoint_down(self) -> None:
        """The endpoint dies: connections are cut and refused. vcsim and the guests live on."""
        self._lab.proxy.shut()

    def endpoint_up(self) -> None:
        self._lab.proxy.open()

    def certificate(self, kind: str = "good") -> None:
        """Serve a "good", "expired" or "foreign" certificate from now on."""
        self._lab.proxy.tls = self._lab.certificate(kind)
        self._lab.proxy.cut()

    def reset(self) -> None:
        self._lab.reset()

    # --- what is so --------------------------------------------------------------------------------------------------

    def world(self) -> dict[str, t.Any]:
        return self._lab.world.snapshot()

    def violations(self) -> list[dict[str, t.Any]]:
        return [asdict(v) for v in self._lab.world.violations]

    def accidents(self) -> list[dict[str, t.Any]]:
        with self._lab.world.lock:
            return [asdict(a) for a in self._lab.world.accidents]

    def calls(self) -> dict[str, int]:
        """How often each SOAP method came through the proxy."""
        with self._lab.world.lock:
            return dict(self._lab.world.calls)

    def log(self) -> list[tuple[float, str]]:
        with self._lab.world.lock:
            return list(self._lab.world.log)

    def run_job(self, vm: str) -> bool:
        raise NotImplementedError

    # --- inner -------------------------------------------------------------------------------------------------------

    def _copy_id(self, vm: str, role: str) -> str:
        return self._lab.world.copy_of(vm, Role(role)).id

    def _settle(self) -> None:
        """Let the pages follow at once; vcsim follows within the animator's next turn."""
        self._lab.pages.refresh()

    def _act(self, vm: str, role: str, user: str, method: str, *args: t.Any) -> None:
        lab, moid = self._lab, self._lab.built.moids[self._copy_id(vm, role)]
        with lab.animator.acting:
            session = lab.session_as(user)
            session.finish(getattr(session.object("VirtualMachine", moid), method)(*args))
            lab.animator.look(moid)

    def _set_nics(self, vm: str, role: str, user: str, *, is_connected: bool) -> None:
        from pyVmomi import vim

        moid = self._lab.built.moids[self._copy_id(vm, role)]
        session = self._lab.session_as(user)
        devices = session.read([session.object("VirtualMachine", moid)], ["config.hardware.device"])[moid][
            "config.hardware.device"
        ]
        changes = []
        for device in devices:
            if isinstance(device, vim.vm.device.VirtualEthernetCard):
                device.connectable.connected = device.connectable.startConnected = is_connected
                changes.append(vim.vm.device.VirtualDeviceSpec(operation="edit", device=device))
        self._act(vm, role, user, "ReconfigVM_Task", vim.vm.ConfigSpec(deviceChange=changes))
