# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every call that the twin knows is made once by proxmoxer, and its reply held against the API's schema by two validators."""

from __future__ import annotations

import re
import typing as t

from proxmoxer.tools import Tasks  # type: ignore[import-untyped]

from ansible_collections.ferragosto.dr.extensions.twin.lab import wait_for
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.calls_access import ACCESS_ROUTES
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import ROUTES
from ansible_collections.ferragosto.dr.tests.e2e.third.judge import Judge
from ansible_collections.ferragosto.dr.tests.e2e.third.kit import Stranger

# Nobody can check what is in these replies: the API's schema says nothing of it. Both of the replication are among them.
_AGENT = "/nodes/{node}/qemu/{vmid}/agent"
UNTYPED = {
    "GET /access/permissions",
    "GET /cluster/config/nodes",
    "GET /cluster/config/qdevice",
    "GET /cluster/ha/resources",
    "GET /cluster/ha/status/manager_status",
    "GET /cluster/log",
    "GET /cluster/options",
    *(f"GET {_AGENT}/get-{what}" for what in ("fsinfo", "host-name", "osinfo", "time", "timezone", "users")),
    f"GET {_AGENT}/info",
    f"GET {_AGENT}/network-get-interfaces",
    *(f"POST {_AGENT}/{what}" for what in ("fsfreeze-status", "ping", "shutdown")),
    "GET /nodes/{node}/qemu/{vmid}",
    "GET /nodes/{node}/qemu/{vmid}/rrddata",
    "GET /nodes/{node}/qemu/{vmid}/snapshot/{snapname}",
    "GET /nodes/{node}/qemu/{vmid}/snapshot/{snapname}/config",
    "GET /nodes/{node}/qemu/{vmid}/status",
    "GET /nodes/{node}/replication",
    "GET /nodes/{node}/replication/{id}",
    "GET /nodes/{node}/replication/{id}/status",
    "GET /nodes/{node}/tasks/{upid}",
    "GET /storage",
    "GET /storage/{storage}",
}
# What a call needs besides the words of its path.
MORE: dict[str, dict[str, t.Any]] = {
    "/nodes/{node}/qemu": {"full": 1},
    "/nodes/{node}/qemu/{vmid}/feature": {"feature": "snapshot"},
    "/nodes/{node}/qemu/{vmid}/rrddata": {"timeframe": "hour"},
    "/nodes/{node}/tasks": {"source": "all", "limit": 500},
}


def test_every_reply_of_the_twin_fits_the_schema(stranger: Stranger, judge: Judge) -> None:
    life = Life(stranger)
    life.furnish()
    life.read_everything()
    life.change_everything()
    known = {f"{route.method} {route.template}" for route in (*ROUTES.routes, *ACCESS_ROUTES.routes)}
    assert judge.judged | judge.untyped == known, "calls that this test does not make"
    assert judge.untyped == UNTYPED
    assert judge.violations == []


class Life:
    """A site with everything in it: tags, snapshots, a pool, HA with a rule, a running backup; then everything done to it."""

    def __init__(self, stranger: Stranger) -> None:
        self.stranger, self.client = stranger, stranger.by_password()
        self.here, self.there = self.client.nodes(stranger.production), self.client.nodes(stranger.replica)
        self.vmid = stranger.vmid("solo")
        self.vm = self.here.qemu(self.vmid)
        self.kept, self.upid = "", ""

    def done(self, upid: str, *, is_ok: bool = True) -> str:
        ended = Tasks.blocking_status(self.client, upid, timeout=20, polling_interval=0.05)
        assert ended is not None, upid
        assert (ended["exitstatus"] == "OK") is is_ok, ended
        return str(ended["exitstatus"])

    def furnish(self) -> None:
        self.vm.config.put(tags="dr.run.abc,clinic", description="about: solo")
        for name in ("one", "two"):
            self.done(self.vm.snapshot.post(snapname=name, description=f"number {name}"))
        self.vm.snapshot("one").config.put(description="the first")
        self.client.pools.post(poolid="clinic", comment="of the clinic")
        self.client.pools("clinic").put(vms=self.vmid)
        service = f"vm:{self.stranger.vmid('db')}"
        self.client.cluster.ha.resources.post(sid=service, state="started", comment="kept up", max_restart=2)
        rule = {"rule": "at-home", "type": "node-affinity", "resources": service, "nodes": self.stranger.production}
        self.client.cluster.ha.rules.post(strict=1, **rule)
        self.upid = self.here.vzdump.post(vmid=self.vmid, storage="pbs", mode="snapshot")
        self.done(self.upid)
        kept = self.here.storage("pbs").content.get(content="backup", vmid=self.vmid)
        self.kept = max(kept, key=lambda row: row["ctime"])["volid"]

    def read_everything(self) -> None:
        words = {
            "node": self.stranger.production,
            "vmid": str(self.vmid),
            "snapname": "one",
            "upid": self.upid,
            "storage": "pbs",
            "volume": self.kept,
            "poolid": "clinic",
            "sid": f"vm:{self.stranger.vmid('db')}",
            "rule": "at-home",
        }
        for route in (*ROUTES.routes, *ACCESS_ROUTES.routes):
            if route.method == "GET":
                words["id"] = "backup-nightly" if "/backup/" in route.template else f"{self.vmid}-0"
                path = re.sub(r"{(\w+)}", lambda found: words[found[1]], route.template)
                self.client(path.strip("/")).get(**MORE.get(route.template, {}))
        self.vm.config.get(snapshot="one")
        self.here.storage("local-zfs").content.get()
        self.client.pools.get(poolid="clinic")

    def change_everything(self) -> None:
        for part in (self.options, self.power, self.snapshots, self.moves, self.copies, self.backups, self.cluster):
            part()

    def options(self) -> None:
        self.done(self.vm.config.post(cores=3))
        assert {row["key"] for row in self.vm.pending.get() if "pending" in row} == {"cores"}
        self.vm.config.put(revert="cores")
        self.vm.agent.ping.post()
        self.vm.agent("fsfreeze-status").post()
        assert self.vm.monitor.post(command="info status") is not None
        assert self.vm.vncproxy.post(websocket=1)["port"]

    def power(self) -> None:
        self.done(self.vm.status.reboot.post(timeout=10))
        self.done(self.vm.status.suspend.post())
        self.done(self.vm.status.resume.post())
        self.done(self.vm.status.reset.post())
        self.alive()
        self.vm.agent("shutdown").post()
        wait_for(lambda: self.vm.status.current.get()["status"] == "stopped", 10, "the guest's own shutdown")
        self.done(self.vm.status.start.post())
        self.alive()
        self.done(self.vm.status.shutdown.post(timeout=10))
        self.done(self.vm.status.start.post())
        self.done(self.vm.status.stop.post())

    def alive(self) -> None:
        self.stranger.await_serving("solo", self.stranger.production)

    def snapshots(self) -> None:
        self.done(self.vm.snapshot("two").rollback.post())
        for name in ("one", "two"):
            self.done(self.vm.snapshot(name).delete())

    def moves(self) -> None:
        replication, job = self.client.cluster.replication, f"{self.vmid}-0"
        self.here.replication(job)("schedule_now").post()
        replication(job).put(disable=1, comment="for now")
        replication(job).put(delete="disable,comment")
        self.done(self.vm.migrate.post(target=self.stranger.replica))
        self.done(self.there.qemu(self.vmid).migrate.post(target=self.stranger.production))
        replication(job).delete(force=1)
        replication.post(id=job, type="local", target=self.stranger.replica, schedule="*/15")
        self.done(self.other("lost").remote_migrate.post(**REMOTE), is_ok=False)

    def other(self, vm: str) -> t.Any:
        return self.here.qemu(self.stranger.vmid(vm))

    def copies(self) -> None:
        self.done(self.vm.clone.post(newid=9000, name="copy", full=1))
        self.done(self.here.qemu.post(vmid=9001, name="made", memory=512, scsi0="local-zfs:1"))
        self.done(self.here.qemu(9001).template.post())
        for vmid in (9000, 9001):
            self.done(self.here.qemu(vmid).delete(purge=1))

    def backups(self) -> None:
        volume = self.here.storage("pbs").content(self.kept)
        volume.put(notes="of this morning", protected=1)
        volume.put(protected=0)
        self.done(volume.delete())
        self.stranger.bench.control.rule(action="stuck_task", target="vzdump")
        upid = self.here.vzdump.post(vmid=self.stranger.vmid("web1"), storage="pbs")
        self.here.tasks(upid).delete()
        assert self.done(upid, is_ok=False) == "interrupted by signal"

    def cluster(self) -> None:
        bulk, vms = self.client.cluster("bulk-action").guest, str(self.stranger.vmid("web2"))
        self.done(bulk.shutdown.post(vms=vms, timeout=10))
        self.done(bulk.start.post(vms=vms))
        self.done(bulk.suspend.post(vms=vms))
        self.done(bulk.migrate.post(vms=self.vmid, target=self.stranger.replica, online=1))
        self.client.pools("clinic").put(vms=self.vmid, delete=1)
        self.client.pools("clinic").delete()
        ha, sid = self.client.cluster.ha, f"vm:{self.stranger.vmid('db')}"
        ha.rules("at-home").put(type="node-affinity", strict=0)
        ha.rules("at-home").delete()
        ha.resources(sid).put(max_restart=3)
        ha.resources(sid).migrate.post(node=self.stranger.replica)
        ha.resources(sid).relocate.post(node=self.stranger.production)
        ha.resources(sid).delete()


REMOTE = {
    "target-endpoint": "host=192.0.2.1,apitoken=PVEAPIToken=a@pve!b=00000000-0000-0000-0000-000000000000",
    "target-storage": "local-zfs",
    "target-bridge": "vmbr0",
}


def test_judge_sees_what_does_not_fit(judge: Judge) -> None:
    """A judge that finds no fault in anything would prove nothing."""
    for call, data, words in (
        ("GET /nodes/{node}/qemu/{vmid}/status/current", {"status": "asleep", "vmid": 100}, "'asleep' is not one of"),
        ("GET /nodes/{node}/qemu/{vmid}/status/current", {"vmid": 100, "ha": {}}, "'status' is a required property"),
        ("GET /nodes/{node}/tasks/{upid}/status", [], "is not of type 'object'"),
        ("GET /cluster/replication", [{"id": "100-0", "type": "remote", "guest": 100}], "is not one of"),
        ("POST /nodes/{node}/qemu/{vmid}/status/start", None, "is not of type 'string'"),
        ("GET /nodes/{node}/qemu/{vmid}/nothing", {}, "no such call"),
    ):
        method, template = call.split(" ")
        strict = Judge(judge.schema)
        strict.reply(method, template, data)
        assert any(words in line for line in strict.violations), (call, strict.violations)
    judge.schema.violations.clear()
