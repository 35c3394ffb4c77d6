# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One VM under our hands, wherever in its cluster it is: read afresh, change one thing, read afresh.

Every act of this provider is made here into a ``Step``, so that all of them share what is easy to forget: a task of an earlier,
killed controller may still run, a VM may have changed its node, and a configuration may have been changed by somebody else
between our reading and our writing.
"""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import DrError, ProviderFault, SiteUnreachable
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Power, Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Sight, Step
from ansible_collections.ferragosto.dr.plugins.module_utils.core.waiting import wait_until
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import keepsake, tags, wire
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.client import Client, TaskEnd
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.faults import Kind, NoSuchVm, VendorFault

CONFIG_WITHIN_S = 60.0
CHANGED_MEANWHILE_TRIES = 3
IGNORED = "ignored"  # HA neither starts, stops nor moves it, and keeps its settings

Json: t.TypeAlias = "Mapping[str, t.Any]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One VM as the cluster's list of resources shows it: little, but also of a node that is dead."""

    vmid: int
    node: str
    name: str
    status: str
    tags: str

    @property
    def stamps(self) -> dict[str, str]:
        return tags.stamps_of(self.tags)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """All that a VM's node shows of it at one moment. ``config`` holds what is in force, in the vendor's words.

    Not ``is_there``: no node of the cluster has a VM of this id.
    """

    vmid: int
    node: str
    config: Json = field(default_factory=dict)
    status: Json = field(default_factory=dict)
    is_there: bool = True

    @property
    def power(self) -> Power:
        if not self.is_there:
            return Power.OFF
        return wire.to_power(self.status)

    @property
    def lock(self) -> str:
        return str(self.config.get("lock") or self.status.get("lock") or "")

    @property
    def stamps(self) -> dict[str, str]:
        return tags.stamps_of(self.config.get("tags"))

    @property
    def nets(self) -> dict[str, str]:
        """NICs in the vendor's words: {"net0": "virtio=...,bridge=vmbr0"}."""
        return keepsake.nets_of(self.config)

    @property
    def ha_state(self) -> str:
        """The state that HA is asked to keep it in; "" when HA has nothing to do with it."""
        ha = self.status.get("ha")
        if not isinstance(ha, Mapping) or not wire.truth(ha.get("managed")):
            return ""
        return str(ha.get("state") or "started")

    @property
    def is_in_ha(self) -> bool:
        """Tell whether power acts go through HA, and HA acts by itself."""
        return self.ha_state not in ("", IGNORED)

    def has_run(self, run_id: str) -> bool:
        return self.stamps.get(stamps.RUN) == run_id


Look: t.TypeAlias = Callable[[Sheet], bool]


def never(sheet: Sheet) -> bool:
    return False


class Machine:
    """``node`` is where it was last seen; a VM that moved is found again. ``vm_id`` is its id in the journal."""

    def __init__(self, client: Client, vmid: int, *, name: str, node: str, vm_id: str = "") -> None:
        self.client, self.vmid, self.name, self.node = client, vmid, name, node
        self.vm_id = vm_id or str(vmid)

    @classmethod
    def of(cls, client: Client, vm: Vm) -> Machine:
        """Take the VM that a read showed; only its identity is used, all facts are read again."""
        return cls(client, vmid_of(vm), name=vm.name, node=vm.host, vm_id=vm.id)

    @property
    def target(self) -> str:
        """Name it in the journal: without its node, which an act may change."""
        return f"{self.name} (VM {self.vmid})"

    @property
    def path(self) -> str:
        return f"/nodes/{self.node}/qemu/{self.vmid}"

    # --- reads --------------------------------------------------------------------------------------------------------

    def now(self) -> Sheet:
        """Read configuration and status, on whatever node it is by now."""
        try:
            return self._sheet()
        except NoSuchVm:
            row = self.row()
            if row is None or row.node == self.node:
                return Sheet(vmid=self.vmid, node=self.node, is_there=False)
        self.node = row.node
        try:
            return self._sheet()
        except NoSuchVm:  # gone between two reads
            return Sheet(vmid=self.vmid, node=self.node, is_there=False)

    def row(self) -> Row | None:
        return next((row for row in rows(self.client) if row.vmid == self.vmid), None)

    def pending_config(self) -> Json:
        """Return the configuration as the next start will find it."""
        return t.cast("Json", self.client.get(f"{self.path}/config"))

    def vm(self, sheet: Sheet) -> Vm:
        return Vm(id=self.vm_id, handle=str(self.vmid), name=self.name, host=sheet.node, power=sheet.power)

    def _sheet(self) -> Sheet:
        config = self.client.get(f"{self.path}/config", current=True)
        status = self.client.get(f"{self.path}/status/current")
        return Sheet(vmid=self.vmid, node=self.node, config=config or {}, status=status or {})

    # --- acts ---------------------------------------------------------------------------------------------------------

    def run(self, what: str, method: str, path: str, *, within_s: float, **params: t.Any) -> TaskEnd:
        """Start a task and wait for its end."""
        return self.client.run(f"{what} of {self.target}", method, path, within_s=within_s, **params)

    def put(self, what: str, change: Callable[[Sheet], Mapping[str, t.Any]]) -> None:
        """Write what ``change`` makes of the configuration as it is now; "" takes a setting out. Nothing to change: no call.

        The digest that was read goes with it: what somebody else wrote meanwhile is read, not overwritten.
        """
        for left in reversed(range(CHANGED_MEANWHILE_TRIES)):
            sheet = self.now()
            wanted = {key: value for key, value in change(sheet).items() if _differs(sheet.config, key, value)}
            if not wanted:
                return
            params = {key: value for key, value in wanted.items() if value != ""}
            gone = ",".join(sorted(key for key, value in wanted.items() if value == ""))
            try:
                self.client.send(
                    "PUT",
                    f"{self.path}/config",
                    **params,
                    delete=gone or None,
                    digest=sheet.config.get("digest"),
                )
                return
            except VendorFault as fault:
                if fault.kind is not Kind.CHANGED_MEANWHILE or not left:
                    raise explained(fault, f"{what} of {self.target}") from fault

    def step(
        self,
        name: str,
        *,
        calls: Sequence[str],
        is_done: Look,
        act: Callable[[], None],
        next: str,
        tasks: Sequence[str] = (),
        on_nodes: Callable[[], Iterable[str]] | None = None,
        task_vmid: int | None = None,
        within_s: float = CONFIG_WITHIN_S,
        more: Callable[[Sheet], Mapping[str, t.Any]] = lambda sheet: {},
    ) -> Step:
        """Return the step. ``tasks`` are the types of the tasks that ``act`` starts, by default on the VM's own node and id.

        ``more`` adds facts to what the look has seen.
        """
        started_s: list[float] = []  # when ``act`` began: its time is not given twice

        def look() -> Sight:
            if tasks:
                # First the tasks, then the state: read the other way round, one may end unseen between the two.
                left_s = within_s if not started_s else started_s[0] + within_s - self.client.clock.now_s()
                nodes = set(on_nodes()) if on_nodes is not None else {self.node}
                outlast(self.client, nodes, task_vmid or self.vmid, tasks, within_s=left_s)
            sheet = self.now()
            return Sight(is_done=is_done(sheet), seen={**facts(self.vm_id, sheet), **more(sheet)})

        def act_in_time() -> None:
            started_s[:] = [self.client.clock.now_s()]
            act()

        return Step(name=name, target=self.target, calls=tuple(calls), look=look, act=act_in_time, next=next)

    def await_sheet(self, is_there: Look, *, within_s: float) -> Sheet | None:
        """Wait until the VM is as wanted: HA answers when it was asked, not when it has done it."""

        def look() -> Sheet | None:
            sheet = self.now()
            return sheet if is_there(sheet) else None

        return wait_until(look, within_s=within_s, clock=self.client.clock)


# --- the cluster around it -------------------------------------------------------------------------------------------


def rows(client: Client) -> list[Row]:
    """List every VM of the cluster, those of dead nodes too."""
    shown = client.get("/cluster/resources", type="vm") or []
    return [
        Row(
            vmid=int(row["vmid"]),
            node=str(row.get("node") or ""),
            name=str(row.get("name") or ""),
            status=str(row.get("status") or ""),
            tags=str(row.get("tags") or ""),
        )
        for row in shown
        if row.get("type") == "qemu" and row.get("vmid") is not None
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Votes:
    """Which nodes the cluster sees, and whether it may write. A single node without a cluster may always."""

    is_quorate: bool
    online: frozenset[str]
    known: frozenset[str]

    def is_dead(self, node: str) -> bool:
        return node in self.known and node not in self.online


def votes(client: Client) -> Votes:
    shown = client.get("/cluster/status") or []
    nodes = [row for row in shown if row.get("type") == "node"]
    cluster = next((row for row in shown if row.get("type") == "cluster"), None)
    return Votes(
        is_quorate=cluster is None or bool(int(cluster.get("quorate") or 0)),
        online=frozenset(str(row.get("name")) for row in nodes if int(row.get("online") or 0)),
        known=frozenset(str(row.get("name")) for row in nodes),
    )


def active_tasks(client: Client, node: str, kinds: Iterable[str], vmid: int | None = None) -> list[str]:
    """Return the tasks of these types that run on a node now."""
    wanted = set(kinds)
    shown = client.get(f"/nodes/{node}/tasks", source="active", vmid=vmid) or []
    return [
        str(row["upid"])
        for row in shown
        if row.get("type") in wanted
        and not row.get("endtime")
        and (vmid is None or str(row.get("id") or "") == str(vmid))
    ]


def outlast(client: Client, nodes: Iterable[str], vmid: int | None, kinds: Iterable[str], *, within_s: float) -> bool:
    """Wait for the end of running tasks of these types, started by whomever; tell whether there was one.

    How they end does not matter here: the state is read next.
    """
    deadline = client.clock.now_s() + within_s
    found = False
    for node in sorted(nodes):
        try:
            running = active_tasks(client, node, kinds, vmid)
        except (SiteUnreachable, VendorFault) as fault:
            if isinstance(fault, VendorFault) and fault.kind is not Kind.NODE_SILENT:
                raise
            continue  # a dead node runs nothing
        for upid in running:
            found = True
            await_running(client, node, upid, kinds, within_s=max(0.0, deadline - client.clock.now_s()))
    return found


def await_running(client: Client, node: str, upid: str, kinds: Iterable[str], *, within_s: float) -> None:
    """Wait for the end of one task, good or bad. Raises a lost answer only where it is still seen running."""
    try:
        client.await_task("wait for the running task", upid, within_s=within_s)
    except ProviderFault as fault:
        if fault.is_answer_lost and _still_runs(client, node, upid, kinds):
            raise


def _still_runs(client: Client, node: str, upid: str, kinds: Iterable[str]) -> bool:
    """Tell whether a task is seen running: nothing may be started beside it. What a dead node ran is over."""
    try:
        return upid in active_tasks(client, node, kinds)
    except (SiteUnreachable, VendorFault):
        return False


def explained(fault: DrError, what: str) -> DrError:
    """Return the fault with what was tried in our words before the vendor's call."""
    fault.what = f"{what} ({fault.what})"
    return fault


def facts(vm_id: str, sheet: Sheet) -> dict[str, t.Any]:
    """Return what the journal keeps of a VM; the first intent of a run is what undo restores (``ports.Former``)."""
    if not sheet.is_there:
        return {"id": vm_id, "is_there": False}
    nets = sheet.nets
    return {
        "id": vm_id,
        "power": sheet.power.value,
        "nics": {key: {"is_connected": up, "starts_connected": up} for key, up in keepsake.links(nets).items()},
        "has_autostart": wire.truth(sheet.config.get("onboot")),
        "has_ha": sheet.is_in_ha,
        "host": sheet.node,
        "stamps": sheet.stamps,
        "lock": sheet.lock,
        "question": None,
    }


def vmid_of(vm: Vm) -> int:
    """Return the VM's number; the disks of a replica and a leftover have that of their VM in their id."""
    return int(vm.handle or vm.id.rpartition(":")[2])


def _differs(config: Json, key: str, value: t.Any) -> bool:
    if value == "":
        return key in config
    if isinstance(value, bool):
        return key not in config or wire.truth(config[key]) != value
    return str(config.get(key, "")) != str(value)
