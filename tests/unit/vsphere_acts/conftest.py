# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real vcsim with two hosts in an HA cluster, VMs made for each test, and a log that remembers like the journal does."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import os
import re
import select
import subprocess
import time
import typing as t
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pyVmomi import vim

from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Pair, Power, RecoveryPoint, Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import EndpointSpec, Former
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Step, StepDone, run_steps
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.read import refresh
from ansible_collections.ferragosto.dr.tools.get_simulators import get_simulator

HOST_A, HOST_B = "DC0_C0_H0", "DC0_C0_H1"
STORE_A, STORE_B, ONLY_B = "esx1-disks", "esx2-disks", "esx2-scratch"
ODD_NAME = "gestionale {{ 'è' }} \"Über\" 'ня'"
_numbers = itertools.count(1)


class Clock:
    def now_s(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass
class Memory:
    """A StepLog in memory; ``former`` gathers the first facts of the intents, as the journal's reader does."""

    intents: list[tuple[str, Mapping[str, t.Any]]] = field(default_factory=list)
    open: set[str] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)

    def intent(self, step: Step, before: Mapping[str, t.Any]) -> None:
        self.intents.append((step.name, before))
        self.open.add(step.name)

    def result(self, step: Step, after: Mapping[str, t.Any], *, error: str | None, took_s: float) -> None:
        self.open.discard(step.name)
        if error:
            self.errors.append(error)

    def is_dangling(self, step: Step) -> bool:
        return step.name in self.open

    def former(self) -> Former:
        first: dict[str, t.Any] = {}
        for _name, before in self.intents:
            for key in ("nics", "power", "has_autostart", "has_ha", "host", "datastores", "current_point"):
                if before.get(key) is not None:
                    first.setdefault(key, before[key])
        if "datastores" in first:
            first["datastores"] = tuple(first["datastores"])
        return Former(**first)


class Killed(Exception):
    """The controller died here."""


def run(steps: Iterable[Step], log: Memory | None = None, *, kill_after: int | None = None) -> list[StepDone]:
    """Run steps as the modules do; ``kill_after`` lets the controller die after so many acts, before their result."""
    memory, acts = log if log is not None else Memory(), itertools.count(1)
    if kill_after is None:
        return run_steps(steps, log=memory, now_s=time.time, progress=lambda words: None, guard=lambda: None)

    def deadly(step: Step) -> Step:
        def act() -> None:
            step.act()
            if next(acts) == kill_after:
                raise Killed

        return Step(name=step.name, target=step.target, calls=step.calls, look=step.look, act=act, next=step.next)

    return run_steps(
        (deadly(step) for step in steps), log=memory, now_s=time.time, progress=lambda words: None, guard=lambda: None
    )


def acted(done: Iterable[StepDone]) -> list[str]:
    return [step.step for step in done if step.changed]


class Sim:
    """One vcsim process, and hands of our own in it."""

    def __init__(self, program: Path, scratch: Path, *flags: str) -> None:
        # vcsim appends vCenter's own domain to the name by itself
        self._user = "tester" if "-esx" in flags else "tester@vsphere.local"
        self._process = subprocess.Popen(
            [str(program), "-l", "127.0.0.1:0", "-username", "tester", "-password", "pass", "-stdinexit", *flags],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(scratch / "vcsim.stderr").open("wb"),
            env={**os.environ, "TMPDIR": str(scratch)},
        )
        self.scratch = scratch
        self.port = self._await_port()
        self.client = self.new_client()

    def new_client(self) -> Client:
        spec = EndpointSpec(
            api_host="127.0.0.1",
            api_port=self.port,
            api_user=self._user,
            api_password="pass",
            validate_certs=False,
        )
        return Client(spec, clock=Clock(), progress=lambda words: None)

    def end(self) -> None:
        self.client.close()
        self._process.kill()
        self._process.wait(timeout=5)

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def _await_port(self) -> int:
        out, said, deadline = self._process.stdout, b"", time.monotonic() + 30
        assert out is not None
        while time.monotonic() < deadline:
            if select.select([out], [], [], 0.1)[0]:
                said += os.read(out.fileno(), 4096)
                if found := re.search(rb"127\.0\.0\.1:(\d+)", said):
                    return int(found[1])
        raise RuntimeError("vcsim did not tell its port")

    # --- the site -----------------------------------------------------------------------------------------------------

    def host(self, name: str) -> t.Any:
        return self._named(vim.HostSystem, name)

    def store(self, name: str) -> t.Any:
        return self._named(vim.Datastore, name)

    def cluster(self) -> t.Any:
        return self._named(vim.ClusterComputeResource, "DC0_C0")

    def _named(self, kind: type, name: str) -> t.Any:
        found = [one for one, shown in self.client.survey([kind], {kind: ("name",)}) if shown["name"] == name]
        assert len(found) == 1, f"{len(found)} of {name}"
        return found[0]

    def add_store(self, name: str, *hosts: str) -> None:
        """vcsim dies when it touches a VM whose files lie on a datastore that its host does not know, and it moves no files:
        so a datastore that a VM leaves must be known to the host it goes to."""
        folder = self.scratch / name
        folder.mkdir()
        for host in hosts:
            manager = self.client.retrieve([self.host(host)], ["configManager.datastoreSystem"])
            system = next(iter(manager.values()))["configManager.datastoreSystem"]
            with contextlib.suppress(vim.fault.DuplicateName):
                system.CreateLocalDatastore(name, str(folder))

    def task(self, start: Callable[[], vim.Task]) -> t.Any:
        return self.client.run_task("prepare the test", start, within_s=10)

    def make_vm(self, name: str, *, host: str, store: str = "LocalDS_0", nics: tuple[bool, ...] = (True,)) -> str:
        """Make a VM with one disk and a NIC for each flag (starts connected); return its handle."""
        number = next(_numbers)
        change: t.Any = vim.vm.device.VirtualDeviceSpec
        devices = [
            change(
                operation="add",
                device=vim.vm.device.VirtualLsiLogicController(key=1000, busNumber=0, sharedBus="noSharing"),
            )
        ]
        disk = vim.vm.device.VirtualDisk(key=-1, controllerKey=1000, unitNumber=0, capacityInKB=1024)
        disk.backing = vim.vm.device.VirtualDisk.FlatVer2BackingInfo(diskMode="persistent", fileName=f"[{store}]")
        devices.append(change(operation="add", fileOperation="create", device=disk))
        for starts in nics:
            nic = vim.vm.device.VirtualVmxnet3(key=-10)
            nic.backing = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName="VM Network")
            nic.connectable = vim.vm.device.VirtualDevice.ConnectInfo(
                startConnected=starts, connected=starts, allowGuestControl=True
            )
            devices.append(change(operation="add", device=nic))
        spec = vim.vm.ConfigSpec(
            name=f"{name} {number}",
            guestId="otherGuest",
            memoryMB=64,
            numCPUs=1,
            deviceChange=devices,
            files=vim.vm.FileInfo(vmPathName=f"[{store}] vm-{number}/vm-{number}.vmx"),
        )
        cluster = self.cluster()
        pool = self.client.retrieve([cluster], ["resourcePool"])[cluster._moId]["resourcePool"]
        folder = self._named(vim.Folder, "vm")
        return str(self.task(lambda: folder.CreateVM_Task(spec, pool, self.host(host)))._moId)

    def raw(self, handle: str) -> vim.VirtualMachine:
        return t.cast("vim.VirtualMachine", self.client.object(vim.VirtualMachine, handle))

    def vm(self, handle: str) -> Vm:
        return refresh(self.client, Vm(id=handle, handle=handle, name=handle, host="", power=Power.UNKNOWN))

    # --- what happens to VMs ------------------------------------------------------------------------------------------

    def power(self, handle: str, *, is_on: bool) -> None:
        raw = self.raw(handle)
        self.task(raw.PowerOnVM_Task if is_on else raw.PowerOffVM_Task)

    def snapshot(self, handle: str, name: str) -> str:
        raw = self.raw(handle)
        return str(self.task(lambda: raw.CreateSnapshot_Task(name, "", False, False))._moId)

    def extra(self, handle: str, **values: t.Any) -> None:
        """Set properties that real vSphere measures: ``guest__toolsRunningStatus``; or plain keys with a dot in them."""
        options = [
            vim.option.OptionValue(key=f"SET.{key.replace('__', '.')}", value=value) for key, value in values.items()
        ]
        raw = self.raw(handle)
        self.task(lambda: raw.ReconfigVM_Task(vim.vm.ConfigSpec(extraConfig=options)))

    def guest_lives(self, handle: str) -> None:
        self.extra(
            handle,
            guestHeartbeatStatus=vim.ManagedEntity.Status("green"),
            guest__toolsRunningStatus="guestToolsRunning",
            guest__toolsVersionStatus2="guestToolsCurrent",
        )

    def guest_crashed(self, handle: str) -> None:
        self.extra(
            handle,
            guestHeartbeatStatus=vim.ManagedEntity.Status("red"),
            guest__toolsRunningStatus="guestToolsNotRunning",
            guest__toolsVersionStatus2="guestToolsCurrent",
        )

    def endless_task(self, handle: str, kind: str) -> vim.Task:
        """A task on this VM that nobody works on, until ``end_task``."""
        if "tests" not in {e.key for e in self._extensions()}:
            words = vim.Description(label="tests", summary="tests")
            kinds = [
                vim.Extension.TaskTypeInfo(taskID=each)
                for each in ("VirtualMachine.powerOff", "VirtualMachine.powerOn")
            ]
            extension = vim.Extension(
                key="tests", description=words, version="1", taskList=kinds, lastHeartbeatTime=now()
            )
            self._there(self.client.content.extensionManager).RegisterExtension(extension)
        manager = self._there(self.client.content.taskManager)
        task = manager.CreateTask(self.raw(handle), kind, "tester", True, None, None).task
        self.extra(handle, recentTask=t.cast("t.Any", vim.Task).Array([task]))
        return t.cast("vim.Task", task)

    @staticmethod
    def _there(manager: t.Any) -> t.Any:
        assert manager is not None
        return manager

    def _extensions(self) -> list[vim.Extension]:
        manager = self._there(self.client.content.extensionManager)
        return list(self.client.retrieve([manager], ["extensionList"])[manager._moId].get("extensionList") or ())

    def post_crash(self, handle: str) -> None:
        raw = self.raw(handle)
        host = self.client.retrieve([raw], ["runtime.host"])[handle]["runtime.host"]
        crash = vim.event.VmGuestOSCrashedEvent(
            key=0,
            chainId=0,
            createdTime=now(),
            userName="",
            vm=vim.event.VmEventArgument(vm=raw, name="x"),
            host=vim.event.HostEventArgument(host=host, name="x"),
            template=False,
        )
        self.client.call("post", self._there(self.client.content.eventManager).PostEvent, crash, None)

    def ha_override(self, handle: str) -> str | None:
        """The restart priority of the VM's own, as the cluster shows it."""
        cluster = self.cluster()
        config = self.client.retrieve([cluster], ["configurationEx"])[cluster._moId]["configurationEx"]
        for own in config.dasVmConfig or ():
            if own.key._moId == handle:
                priority = str(own.dasSettings.restartPriority)
                return None if priority == "clusterRestartPriority" else priority
        return None

    def set_ha_override(self, handle: str, priority: str) -> None:
        info = vim.cluster.DasVmConfigInfo(
            key=self.raw(handle), dasSettings=vim.cluster.DasVmSettings(restartPriority=priority)
        )
        change = vim.cluster.DasVmConfigSpec(operation="add", info=info)
        cluster = self.cluster()
        self.task(
            lambda: cluster.ReconfigureComputeResource_Task(vim.cluster.ConfigSpecEx(dasVmConfigSpec=[change]), True)
        )

    def shape(self, handle: str) -> dict[str, t.Any]:
        """Everything that an undo must bring back."""
        paths = ["config.extraConfig", "config.annotation", "config.hardware.device", "snapshot"]
        shown = self.client.retrieve([self.raw(handle)], paths)[handle]
        vm = self.vm(handle)
        return {
            "power": vm.power,
            "nics": {n.key: (n.network, n.mac, n.is_connected, n.starts_connected) for n in vm.nics},
            "points": [(p.id, p.name, p.created_at_s) for p in vm.points],
            "current": vm.current_point,
            "extra": sorted((o.key, str(o.value)) for o in shown.get("config.extraConfig") or ()),
            "devices": sorted(device.key for device in shown["config.hardware.device"]),
            "ha": self.ha_override(handle),
            "host": vm.host,
        }


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


@pytest.fixture(scope="session")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sim]:
    flags = "-dc 1 -cluster 1 -host 2 -standalone-host 0 -vm 0 -ds 1 -pg 0".split()
    found = Sim(get_simulator("vcsim"), tmp_path_factory.mktemp("vcsim"), *flags)
    try:
        cluster = found.cluster()
        das = vim.cluster.ConfigSpecEx(dasConfig=vim.cluster.DasConfigInfo(enabled=True))
        found.task(lambda: cluster.ReconfigureComputeResource_Task(das, True))
        found.add_store(STORE_A, HOST_A, HOST_B)
        found.add_store(STORE_B, HOST_A, HOST_B)
        found.add_store(ONLY_B, HOST_B)
        yield found
    finally:
        found.end()


@dataclass
class Protected:
    """A production VM that runs, and its replica with three recovery points, at rest."""

    sim: Sim
    production: str
    replica: str
    points: tuple[str, ...]

    def pair(self) -> Pair:
        return Pair(
            name="gestionale",
            production=self.sim.vm(self.production),
            replica=self.sim.vm(self.replica),
            production_node=HOST_A,
            replica_node=HOST_B,
        )

    def point(self, number: int = -1) -> RecoveryPoint:
        wanted = self.points[number]
        return next(p for p in self.sim.vm(self.replica).points if p.id == wanted)


@pytest.fixture
def protected(sim: Sim) -> Protected:
    production = sim.make_vm(ODD_NAME, host=HOST_A, nics=(True, False))
    sim.power(production, is_on=True)
    replica = sim.make_vm(f"{ODD_NAME}_replica", host=HOST_B, nics=(True, False))
    points = tuple(sim.snapshot(replica, f"Restore Point {night}") for night in (1, 2, 3))
    sim.guest_lives(replica)
    return Protected(sim=sim, production=production, replica=replica, points=points)
