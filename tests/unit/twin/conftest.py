# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lab of Luca's site for every test file here, brought back to its first state before each test."""

from __future__ import annotations

import ssl
import typing as t
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyVim.connect import SmartConnect
from pyVmomi import vim, vmodl

from ansible_collections.ferragosto.dr.extensions.twin.vsphere import Timing, VsphereLab
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.lab import wait_for
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.simulator import SimulatorMissing, find_vcsim

ROOT = Path(__file__).resolve().parents[3]
LUCA = ROOT / "clients" / "luca"
QUICK = Timing(boot_s=0.15, crash_after_s=0.1, shutdown_s=0.15, relocate_s=0.3, write_interval_s=0.05)


class Client:
    """What a third party sees of a lab: a pyvmomi session through the TLS proxy, and a guest's page."""

    def __init__(self, lab: VsphereLab, user: str | None = None, password: str | None = None) -> None:
        self.lab = lab
        host, port = lab.endpoint
        self.si = SmartConnect(
            host=host,
            port=port,
            user=user or lab.user,
            pwd=password or lab.password,
            sslContext=ssl.create_default_context(cafile=str(lab.ca_path)),
        )
        self.content = self.si.RetrieveContent()

    def all(self, kind: type) -> dict[str, t.Any]:
        view = self.content.viewManager.CreateContainerView(self.content.rootFolder, [kind], True)
        try:
            return {entity.name: entity for entity in view.view}
        finally:
            view.Destroy()

    def vm(self, name: str) -> t.Any:
        return self.all(vim.VirtualMachine)[name]

    def host(self, name: str) -> t.Any:
        return self.all(vim.HostSystem)[name]

    def finish(self, task: t.Any, within_s: float = 5.0) -> t.Any:
        wait_for(lambda: task.info.state in ("success", "error"), within_s, f"the end of {task._moId}")
        if task.info.state == "error":
            raise task.info.error
        return task.info.result

    def events(self, vm: t.Any, *kinds: str, **more: t.Any) -> list[t.Any]:
        wanted = vim.event.EventFilterSpec
        spec = wanted(entity=wanted.ByEntity(entity=vm, recursion="self"), eventTypeId=list(kinds), **more)
        return list(self.content.eventManager.QueryEvents(spec))

    def page(self, vm: str) -> str:
        """The body of a VM's health page, "refused", "cut", or the HTTP status."""
        url = f"http://127.0.0.1:{self.lab.pages.port(vm)}/health"
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            return str(error.code)
        except urllib.error.URLError as error:
            return "refused" if isinstance(error.reason, ConnectionRefusedError) else f"failed: {error.reason}"
        except (TimeoutError, ConnectionError) as error:
            return f"failed: {error!r}"

    def await_page(self, vm: str, text: str, within_s: float = 5.0) -> None:
        wait_for(lambda: text in self.page(vm), within_s, f"{text!r} on the page of {vm}, it says {self.page(vm)}")

    def changes_until(self, obj: t.Any, path: str, value: str, within_s: float = 5.0) -> list[str]:
        """Wait with WaitForUpdatesEx until a property has a value; returns the values seen."""
        wire = vmodl.query.PropertyCollector
        collector = self.content.propertyCollector.CreatePropertyCollector()
        spec = wire.FilterSpec(
            objectSet=[wire.ObjectSpec(obj=obj)], propSet=[wire.PropertySpec(type=type(obj), pathSet=[path])]
        )
        collector.CreateFilter(spec, True)
        seen: list[str] = []
        version = ""
        while not seen or seen[-1] != value:
            update = collector.WaitForUpdatesEx(version, wire.WaitOptions(maxWaitSeconds=int(within_s)))
            if update is None:
                raise TimeoutError(f"{path} did not become {value}; it was {seen}")
            version = update.version
            seen.extend(str(c.val) for f in update.filterSet for o in f.objectSet for c in o.changeSet)
        return seen


@pytest.fixture(scope="session")
def vcsim() -> None:
    try:
        find_vcsim()
    except SimulatorMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def shared_lab(vcsim: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VsphereLab]:
    with VsphereLab.start(LUCA, timing=QUICK, state_dir=tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture
def lab(shared_lab: VsphereLab) -> VsphereLab:
    shared_lab.reset()
    return shared_lab


@pytest.fixture
def client(lab: VsphereLab) -> Client:
    return Client(lab)
