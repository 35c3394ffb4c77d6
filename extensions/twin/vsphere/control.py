# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything that may befall a lab: each verb is a method here, and a POST on the lab's control door."""

from __future__ import annotations

import typing as t

from pyVmomi import vim

from ansible_collections.ferragosto.dr.extensions.twin.control import PERSON, BaseControl
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.rules import Rule
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.session import LAB_USER
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.site import post_event, utc
from ansible_collections.ferragosto.dr.extensions.twin.world.model import HostState

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.vsphere.lab import VsphereLab


class Control(BaseControl):
    VERBS = BaseControl.VERBS | frozenset(
        "certificate clear_rules connect_nics disconnect_nics edition endpoint_down endpoint_up host_back host_lost "
        "job kill_sessions power_off power_on refuse_power_off rule rules run_job".split()
    )
    _lab: VsphereLab

    def __init__(self, lab: VsphereLab) -> None:
        super().__init__(lab)
        self._fell: set[str] = set()  # copies that were on when their host was lost

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

    # --- hosts -------------------------------------------------------------------------------------------------------

    def host_lost(self, node: str, is_dead: bool = True) -> None:
        """A physical host goes: dead (its VMs with it), or only cut off from its vCenter (its VMs live on).

        vCenter goes on showing the VMs' last power state, as it does.
        """
        lab = self._lab
        with lab.animator.acting:
            self._fell.update({c.id for c in lab.world.host_lost(node, is_dead=is_dead)})
            self._show_connection(node, "disconnected")
        lab.pages.refresh()

    def host_back(self, node: str) -> list[str]:
        """The host returns. What was dead is off now; autostart and HA start what they are told to. Returns their names."""
        lab = self._lab
        started = []
        with lab.animator.acting:
            was_dead = lab.world.hosts[node].state is HostState.DEAD
            session = lab.session_as(LAB_USER)
            here = [c for c in lab.world.copies.values() if c.host == node and c.id in lab.built.moids]
            for copy in here if was_dead else ():
                vm = session.object("VirtualMachine", lab.built.moids[copy.id])
                if session.read([vm], ["runtime.powerState"])[vm._moId]["runtime.powerState"] == "poweredOn":
                    session.finish(vm.PowerOffVM_Task())
            lab.world.host_back(node)
            self._show_connection(node, "connected")
            lab.animator.look_all()
            for copy in here if was_dead else ():
                moid = lab.built.moids[copy.id]
                by_ha = copy.id in self._fell and self._has_ha(moid)
                if by_ha or lab.gate.autostart.starts(lab.built.hosts[node], moid):
                    vm = session.object("VirtualMachine", moid)
                    session.finish(vm.PowerOnVM_Task())
                    post_event(session, "VmPoweredOnEvent", vm, copy.name)
                    lab.animator.look(moid)
                    started.append(copy.name)
            self._fell -= {c.id for c in here}
        return started

    # --- the replication product -------------------------------------------------------------------------------------

    def job(self, vm: str, is_enabled: bool) -> None:
        """Enable or disable the nightly job, as its own console would."""
        self._lab.world.set_job(vm, is_enabled=is_enabled)

    def run_job(self, vm: str) -> bool:
        """Let tonight's replication job run now; False when it is disabled. A promoted replica is rolled back by it."""
        lab = self._lab
        with lab.animator.acting:
            ran = lab.world.run_job(vm)
            if ran is None:
                return False
            job, dummy = ran
            session = lab.session_as(LAB_USER)
            moid = lab.built.moids[job.target]
            replica = session.object("VirtualMachine", moid)
            if session.read([replica], ["runtime.powerState"])[moid]["runtime.powerState"] == "poweredOn":
                session.finish(replica.PowerOffVM_Task())
            copy = lab.world.copy(job.target)
            if copy.vendor_points:
                newest = session.object("VirtualMachineSnapshot", copy.vendor_points[-1])
                session.finish(newest.RevertToSnapshot_Task())
            name = f"Restore Point {utc(lab.world.clock.now_s()):%Y-%m-%d %H:%M:%S}"
            made = session.finish(
                replica.CreateSnapshot_Task(name, "made by the nightly replication job", False, False)
            )
            lab.world.point_made(job.target, made._moId, by_vendor=True)
            lab.animator.look(moid)
        return True

    # --- faults ------------------------------------------------------------------------------------------------------

    def rule(self, method: str, action: str, vm: str | None = None, role: str = "production", **more: t.Any) -> int:
        """Strike calls to come (see rules.ACTIONS): ``nth``, ``count``, ``seconds``, ``fault``, ``text``, ``details``, ``effect``.

        ``vm`` and ``role`` narrow it to one copy. Returns the rule's number for ``clear_rules``.
        """
        moid = self._lab.built.moids[self._copy_id(vm, role)] if vm else more.pop("moid", None)
        return self._lab.gate.rules.add(Rule(method=method, action=action, moid=moid, **more))

    def clear_rules(self, rule: int | None = None) -> None:
        self._lab.gate.rules.clear(rule)

    def rules(self) -> list[dict[str, t.Any]]:
        """All rules, each with how often it was seen and has struck."""
        return self._lab.gate.rules.rows()

    def refuse_power_off(self, vm: str, role: str = "production", refuses: bool = True) -> None:
        """Let one copy ignore guest shutdowns and fail hard power-offs with InvalidState."""
        moid = self._lab.built.moids[self._copy_id(vm, role)]
        deaf = self._lab.gate.peculiar.deaf
        deaf.add(moid) if refuses else deaf.discard(moid)

    def edition(self, is_agent: bool = False, is_free: bool = False, reverts_config: bool = True) -> None:
        """Play another product: a standalone ESXi's API, a licence whose API is read-only, vcsim's revert (disks alone)."""
        peculiar = self._lab.gate.peculiar
        peculiar.is_agent, peculiar.is_free, peculiar.reverts_config = is_agent, is_free, reverts_config

    def kill_sessions(self) -> int:
        """End every client's session: their next call gets NotAuthenticated. Returns how many."""
        return self._lab.gate.kill_sessions()

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

    # --- inner -------------------------------------------------------------------------------------------------------

    def _show_connection(self, node: str, state: str) -> None:
        lab, session = self._lab, self._lab.session_as(LAB_USER)
        shown: dict[str, t.Any] = {"runtime.connectionState": vim.VirtualMachine.ConnectionState(state)}
        if state == "disconnected":
            shown["guestHeartbeatStatus"] = vim.ManagedEntity.Status("gray")
        for copy in list(lab.world.copies.values()):
            if copy.host == node and copy.id in lab.built.moids:
                session.set(session.object("VirtualMachine", lab.built.moids[copy.id]), shown)

    def _has_ha(self, moid: str) -> bool:
        """Whether vSphere HA restarts this VM after its host was lost."""
        lab, session = self._lab, self._lab.session_as(LAB_USER)
        if lab.built.cluster is None:
            return False
        cluster = session.object("ClusterComputeResource", lab.built.cluster)
        config = session.read([cluster], ["configurationEx"])[cluster._moId]["configurationEx"]
        if not config.dasConfig.enabled:
            return False
        for own in config.dasVmConfig or ():
            if own.key._moId == moid and own.dasSettings is not None:
                return bool(own.dasSettings.restartPriority != "disabled")
        return True

    def _act(self, vm: str, role: str, user: str, method: str, *args: t.Any) -> None:
        lab, moid = self._lab, self._lab.built.moids[self._copy_id(vm, role)]
        with lab.animator.acting:
            session = lab.session_as(user)
            session.finish(getattr(session.object("VirtualMachine", moid), method)(*args))
            lab.animator.look(moid)

    def _set_nics(self, vm: str, role: str, user: str, *, is_connected: bool) -> None:
        moid = self._lab.built.moids[self._copy_id(vm, role)]
        session = self._lab.session_as(user)
        devices = session.read([session.object("VirtualMachine", moid)], ["config.hardware.device"])[moid][
            "config.hardware.device"
        ]
        changes = []
        for device in devices:
            if isinstance(device, vim.vm.device.VirtualEthernetCard):
                plug: t.Any = device.connectable
                plug.connected = plug.startConnected = is_connected
                changes.append(vim.vm.device.VirtualDeviceSpec(operation="edit", device=device))
        self._act(vm, role, user, "ReconfigVM_Task", vim.vm.ConfigSpec(deviceChange=changes))
