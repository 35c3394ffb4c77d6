# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The real client over the real datacenter of the twin, without a network between them and on a clock that tests turn."""

from __future__ import annotations

import itertools
import typing as t
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.guests import Guest
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.nodes import Node
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.timing import PveTiming
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.volumes import Storage
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import ROUTES, Call, PveError
from ansible_collections.ferragosto.dr.extensions.twin.world.clock import TurnedClock
from ansible_collections.ferragosto.dr.extensions.twin.world.model import Copy, Timing
from ansible_collections.ferragosto.dr.extensions.twin.world.world import World
from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Pair, RecoveryPoint, Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import EndpointSpec, Former, SiteSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Step, StepDone, run_steps
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import ssh
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.ends import Ends
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.sdk import ResourceException

A, B = "pve1", "pve2"
GIB = 2**30
RUN = "20260815T021400Z-1f3a9c"
VMID = 100
_AGENT = "/agent/ping"


class Clock:
    """Whoever sleeps on it lets the world go on."""

    def __init__(self, turned: TurnedClock) -> None:
        self.turned = turned
        self.datacenters: list[Datacenter] = []

    def now_s(self) -> float:
        return self.turned.now_s()

    def sleep(self, seconds: float) -> None:
        end_s = self.now_s() + seconds
        while (left_s := end_s - self.now_s()) > 0:
            self.turned.turn(min(left_s, 0.5))
            for datacenter in self.datacenters:
                datacenter.tick()


@dataclass
class Sent:
    method: str
    path: str
    params: Mapping[str, t.Any]


@dataclass
class Fault:
    """What befalls the first call that fits: an answer lost after the effect, or an error before or after it."""

    fits: Callable[[str, str], bool]
    kind: str  # drop | before | after | not_sent
    error: PveError = field(default_factory=lambda: PveError(500, "got some fault"))


class Direct(Client):
    """P1's client whose calls are carried out by the datacenter at once, by the door of one node."""

    def __init__(self, spec: EndpointSpec, datacenter: Datacenter, clock: Clock) -> None:
        super().__init__(spec, clock=clock, progress=lambda words: None)
        self.datacenter, self.door = datacenter, spec.node
        self.sent: list[Sent] = []
        self.faults: list[Fault] = []
        self.denied: set[tuple[str, str]] = set()

    @property
    def session(self) -> t.Any:
        raise AssertionError("no network here")

    @property
    def calls(self) -> int:
        return len(self.sent)

    def _call(self, method: str, path: str, params: dict[str, t.Any]) -> t.Any:
        if method != "GET" and not path.endswith(_AGENT):
            self.sent.append(Sent(method, path, {k: v for k, v in params.items() if v is not None}))
        fault = next((f for f in self.faults if method != "GET" and f.fits(method, path)), None)
        if fault is not None:
            self.faults.remove(fault)
        try:
            if fault is not None and fault.kind == "before":
                raise fault.error
            found = self._carry_out(method, path, params)
            if fault is not None and fault.kind == "after":
                raise fault.error
        except PveError as refused:
            self.clock.sleep(refused.delay_s)
            raise ResourceException(refused.status, "", refused.text, refused.errors or None) from None
        if fault is not None and fault.kind == "drop":
            raise ConnectionResetError("dropped")
        return found

    def _carry_out(self, method: str, path: str, params: dict[str, t.Any]) -> t.Any:
        if not self.datacenter.node_is_up(self.door):
            raise ConnectionRefusedError("down")
        route, args = ROUTES.find(method, "/" + path.strip("/"))
        node = args.get("node", "") if route.is_proxied else self.door
        if route.is_proxied and not self.datacenter.node_is_up(node):
            raise PveError(595, "No route to host")
        words = {k: int(v) if isinstance(v, bool) else v for k, v in params.items() if v is not None}
        call = Call(
            method=method,
            path=path,
            template=route.template,
            args=args,
            params={k: str(v) for k, v in words.items()},
            user="dr@pve",
            token_id="ansible",
            node=node,
            door_node=self.door,
            may=lambda where, privilege: (where, privilege) not in self.denied,
        )
        return self.datacenter.carry_out(route, call)


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
            for key in ("nics", "power", "has_autostart", "has_ha", "host"):
                if before.get(key) is not None:
                    first.setdefault(key, before[key])
        return Former(**first)


class Killed(Exception):
    """The controller died here."""


def run(
    steps: Iterable[Step],
    clock: Clock,
    log: Memory | None = None,
    *,
    kill_after: int | None = None,
    kill_before: int | None = None,
) -> list[StepDone]:
    """Run steps as the modules do; the controller may die just before or just after one of its acts."""
    memory, acts = log if log is not None else Memory(), itertools.count(1)

    def deadly(step: Step) -> Step:
        def act() -> None:
            number = next(acts)
            if number == kill_before:
                raise Killed
            step.act()
            if number == kill_after:
                raise Killed

        return Step(name=step.name, target=step.target, calls=step.calls, look=step.look, act=act, next=step.next)

    return run_steps(
        (deadly(step) for step in steps),
        log=memory,
        now_s=clock.now_s,
        progress=lambda words: None,
        guard=lambda: None,
    )


def acted(done: Iterable[StepDone]) -> list[str]:
    return [step.step for step in done if step.changed]


class Bench:
    """A two-node cluster with one protected, replicated, running VM, and our hands on it."""

    def __init__(
        self, *, has_qdevice: bool = False, has_job: bool = True, config: Mapping[str, str] | None = None
    ) -> None:
        self.turned = TurnedClock()
        self.clock = Clock(self.turned)
        self.world = World(self.turned, Timing.fast())
        self.datacenter = Datacenter(
            "luca",
            self.world,
            nodes=[Node(name=A, number=1), Node(name=B, number=2)],
            has_qdevice=has_qdevice,
            timing=PveTiming.fast(),
        )
        self.clock.datacenters.append(self.datacenter)
        shelf = self.datacenter.shelf.storages
        size = {A: 1024 * GIB, B: 1024 * GIB}
        shelf["tank"] = Storage(id="tank", kind="zfspool", content="images,rootdir", total_bytes=size)
        shelf["pbs"] = Storage(id="pbs", kind="pbs", content="backup", total_bytes={"": 4096 * GIB}, is_shared=True)
        self.spec = SiteSpec(
            name="luca-sede",
            provider="proxmox",
            production=EndpointSpec(api_host="pve1.example", node=A),
            replica=EndpointSpec(
                api_host="pve2.example",
                node=B,
                ssh_user="root",
                ssh_key_path="key",
                ssh_known_hosts_path="known_hosts",
            ),
        )
        self.at_a = Direct(self.spec.production, self.datacenter, self.clock)
        self.at_b = Direct(self.spec.replica, self.datacenter, self.clock)
        self.ends = Ends(production=self.at_a, replica=self.at_b, spec=self.spec)
        self._make(dict(config or {}), has_job=has_job)
        self.at_a.sent.clear()

    def _make(self, config: dict[str, str], *, has_job: bool) -> None:
        wanted = {
            "vmid": VMID,
            "name": "gestionale",
            "memory": 8192,
            "cores": 4,
            "ostype": "win11",
            "bios": "ovmf",
            "machine": "pc-q35-9.0",
            "scsihw": "virtio-scsi-single",
            "agent": "1",
            "onboot": 1,
            "tags": "erp;windows",
            "description": "Il gestionale.\nChiamare Luca.",
            "smbios1": "uuid=7a0d3b1e-5c7f-4b1e-9d55-0c8f7f6b2a11",
            "scsi0": "tank:32,iothread=1",
            "scsi1": "tank:64",
            "ide2": "none,media=cdrom",
            "net0": "virtio=BC:24:11:0A:0B:0C,bridge=vmbr0,firewall=1",
            "net1": "virtio=BC:24:11:0A:0B:0D,bridge=vmbr0,link_down=1",
            **config,
        }
        self.at_a.run("make it", "POST", f"/nodes/{A}/qemu", within_s=60, **wanted)
        self.at_a.run("start it", "POST", f"/nodes/{A}/qemu/{VMID}/status/start", within_s=60)
        self.clock.sleep(2)
        if has_job:
            self.at_a.send(
                "POST",
                "/cluster/replication",
                id=f"{VMID}-0",
                type="local",
                target=B,
                schedule="*/15",
                comment="nightly",
            )
            for dummy in range(60):  # an hour, seen coarsely
                self.turned.turn(60)
                self.datacenter.tick()
            self.clock.sleep(3)  # the run that has just begun ends

    # --- what is there ------------------------------------------------------------------------------------------------

    @property
    def guest(self) -> Guest:
        return self.datacenter.guests[VMID]

    def shape(self) -> dict[str, t.Any]:
        """The whole cluster, as far as an undo must bring it back."""
        found: dict[str, t.Any] = {
            "guests": {g.vmid: (g.node, dict(g.config)) for g in self.datacenter.guests.values()},
            "jobs": {
                j.id: (j.target, j.source, j.is_disabled, j.comment, j.schedule)
                for j in self.datacenter.replication.jobs.values()
            },
            "volumes": sorted(key for key in self.datacenter.shelf.volumes),
            "running": sorted(self.datacenter.machines.running),
            "ha": {s.vmid: s.request for s in self.datacenter.ha.services.values()},
        }
        return found

    def vm(self) -> Vm:
        from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Power

        row = self.at_b.get("/cluster/resources", type="vm")
        mine = next(r for r in row if r["vmid"] == VMID)
        return Vm(id=str(VMID), handle=str(VMID), name="gestionale", host=mine["node"], power=Power.ON, stamps={})

    def last_sync_s(self) -> int:
        rows = self.at_a.get(f"/nodes/{self.guest.node}/replication", guest=VMID)
        return int(rows[0]["last_sync"])

    def point(self) -> RecoveryPoint:
        at_s = self.last_sync_s()
        return RecoveryPoint(id=f"pvesr:{VMID}-0@{at_s}", name=f"replication {VMID}-0", created_at_s=at_s)

    def pair(self) -> Pair:
        """Both copies as the site's reader shows them."""
        from ansible_collections.ferragosto.dr.plugins.module_utils.core.resolve import resolve

        reading = self.site().read(deep=("gestionale",))
        is_over = any(stamps_of(g).get(stamps.PHASE) == "committed" for g in self.datacenter.guests.values())
        known = None if is_over else (str(VMID), f"replica:{VMID}")
        return resolve(reading, vm="gestionale", known_ids=known, known_runs=(RUN,))

    def site(self) -> t.Any:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.site import ProxmoxSite

        site = ProxmoxSite(self.spec, clock=self.clock, progress=lambda words: None)
        site._production, site._replica = self.at_a, self.at_b
        return site

    def copy(self, vmid: int) -> Copy:
        return self.datacenter.copy_of(self.datacenter.guests[vmid])

    def promoted(self) -> Guest | None:
        """The clone or restored VM that is there."""
        return next((g for g in self.datacenter.guests.values() if g.vmid != VMID), None)

    def wait(self, seconds: float) -> None:
        self.clock.sleep(seconds)

    @property
    def sent(self) -> list[Sent]:
        return sorted([*self.at_a.sent, *self.at_b.sent], key=lambda s: s.path)

    def forget_calls(self) -> None:
        self.at_a.sent.clear()
        self.at_b.sent.clear()

    def no_harm(self, *, accepted: frozenset[str] = frozenset()) -> None:
        """Two copies never served at once, and nothing happened that a person would regret and had not accepted."""
        assert self.world.violations == ()
        assert [a for a in self.world.accidents if a.kind not in accepted] == []


@pytest.fixture
def bench(ssh_by_model: list[str]) -> Bench:
    return Bench()


@pytest.fixture
def ssh_by_model(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Carry the node's commands out in the datacenter; the real SSH has tests of its own."""
    said: list[str] = []

    def carry_out(self: ssh.NodeShell, what: str, argv: list[str]) -> str:
        said.append(" ".join(argv))
        datacenter = next(iter(_datacenters))
        node = self.spec.node
        if argv[:2] == ["pvecm", "expected"]:
            datacenter.expected_votes(node, int(argv[2]))
        elif argv[0] == "mv":
            vmid = int(argv[1].rpartition("/")[2].removesuffix(".conf"))
            try:
                datacenter.move_config(vmid, argv[2].split("/")[4], by_node=node)
            except PveError as refused:
                from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import ProviderFault

                raise ProviderFault(what=what, why=refused.text, next="look") from refused
        return ""

    monkeypatch.setattr(ssh.NodeShell, "_run", carry_out)
    monkeypatch.setattr(Bench, "__init__", _remembering(Bench.__init__))
    _datacenters.clear()
    return said


_datacenters: list[Datacenter] = []


def _remembering(make: Callable[..., None]) -> Callable[..., None]:
    def init(self: Bench, *args: t.Any, **words: t.Any) -> None:
        make(self, *args, **words)
        _datacenters[:] = [self.datacenter]

    return init


def moment(kill: str, number: int) -> tuple[int | None, int | None]:
    """Return (kill_after, kill_before) for the word that a test is parametrized by."""
    return (number, None) if kill == "kill_after" else (None, number)


class Story:
    """The acts of a recovery in the order of the procedure, on one bench."""

    def __init__(self, bench: Bench, way: str, point: RecoveryPoint | None = None) -> None:
        self.bench, self.way = bench, way
        self.point = point or bench.point()
        self.fenced, self.log = Memory(), Memory()

    def corrupt(self) -> None:
        """Let the guest's data rot, from after the last replication on."""
        self.bench.world.corrupt(self.bench.guest.vm, since_s=self.bench.clock.now_s())

    def fence(self) -> list[str]:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.fence import fence

        return acted(run(fence(self.bench.at_b, self.bench.vm(), run_id=RUN), self.bench.clock, self.fenced))

    def promote(
        self, *, pair: Pair | None = None, kill_after: int | None = None, kill_before: int | None = None
    ) -> list[str]:
        """Promote; the controller may die after or before so many acts."""
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.promote import promote

        steps = promote(
            self.bench.ends,
            pair or self.bench.pair(),
            self.point,
            way=self.way,
            run_id=RUN,
            guest_within_s=30.0,
            clock=self.bench.clock,
        )
        return acted(run(steps, self.bench.clock, self.log, kill_after=kill_after, kill_before=kill_before))

    def undo(self, **kill: int) -> list[str]:
        """As core.promotion.undo does: the promotion, then the fence, then power."""
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.fence import unfence
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.power import power_on
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.settle import undo_promotion

        bench = self.bench
        log = Memory()
        steps = undo_promotion(bench.ends, bench.pair(), self.log.former(), run_id=RUN)
        done = acted(run(steps, bench.clock, log, **kill))
        run(unfence(bench.at_b, bench.vm(), self.fenced.former()), bench.clock)
        run(power_on(bench.at_b, bench.vm()), bench.clock)
        return done

    def commit(self) -> list[str]:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.settle import commit

        return acted(run(commit(self.bench.ends, self.bench.pair(), run_id=RUN), self.bench.clock))

    def migrate(self, to: str, mode: str = "live", **kill: int) -> list[str]:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.migrate import (
            end_migration,
            migrate,
        )

        replica = self.bench.pair().replica
        assert replica is not None
        log = Memory()
        steps = migrate(self.bench.ends, replica, to=to, mode=mode, run_id=RUN)
        done = acted(run(steps, self.bench.clock, log, **kill))
        phase = "failback" if to == "production" else "failover"
        return done + acted(run(end_migration(self.bench.ends, replica, run_id=RUN, phase=phase), self.bench.clock))

    def replicate(self, state: str, *, is_loss_accepted: bool = False) -> list[str]:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.replication import set_replication

        steps = set_replication(
            self.bench.ends, self.bench.pair(), state=state, run_id=RUN, is_loss_accepted=is_loss_accepted
        )
        return acted(run(steps, self.bench.clock))


def twice(bench: Bench) -> list[tuple[str, str, tuple[str, ...]]]:
    """Changing calls that were made more than once."""
    made = [
        (s.method, s.path, tuple(sorted(f"{k}={v}" for k, v in s.params.items() if k != "digest"))) for s in bench.sent
    ]
    return sorted({one for one in made if made.count(one) > 1})


def stamps_of(guest: Guest) -> dict[str, str]:
    from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import tags

    return tags.stamps_of(guest.config.get("tags"))


__all__ = [
    "RUN",
    "VMID",
    "A",
    "B",
    "Bench",
    "Clock",
    "Fault",
    "Killed",
    "Memory",
    "PveError",
    "Story",
    "acted",
    "moment",
    "run",
    "stamps",
    "stamps_of",
    "twice",
]
