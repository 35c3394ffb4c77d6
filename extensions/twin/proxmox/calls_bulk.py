# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""API calls that act on many guests at once."""

from __future__ import annotations

import re
import typing as t
from dataclasses import replace

from ansible_collections.ferragosto.dr.extensions.twin.proxmox import calls_power, migration
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.tasks import Body, Task
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import ROUTES, Call, PveError

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter

_BULK = "/cluster/bulk-action/guest"
Act: t.TypeAlias = "t.Callable[[Datacenter, Call], str]"


def _register(word: str, kind: str, act: Act, privilege: str) -> None:
    def handler(datacenter: Datacenter, call: Call) -> str:
        ids = [int(i) for i in re.split(r"[,; ]+", str(call.params.get("vms", ""))) if i] or sorted(datacenter.guests)
        chosen = [i for i in ids if i in datacenter.guests]
        for vmid in chosen:
            call.require(f"/vms/{vmid}", privilege)
        words = {key.replace("force-stop", "forceStop"): value for key, value in call.params.items()}

        def body(task: Task) -> Body:
            """Each guest by its own task, on its own node; a failure is a warning here."""
            upids, failed = [], 0
            for vmid in chosen:
                node = datacenter.guests[vmid].node
                one = replace(call, args={"vmid": str(vmid), "node": node}, node=node, params=words)
                try:
                    upids.append(act(datacenter, one))
                except PveError as refused:
                    task.say(f"{vmid}: {refused.text}")
                    failed += 1
            while any(datacenter.tasks.tasks[upid].is_running for upid in upids):
                yield 0.2
            ended = [datacenter.tasks.tasks[upid].status for upid in upids]
            return failed + sum(not (status == "OK" or status.startswith("WARNINGS: ")) for status in ended)

        return datacenter.tasks.start(call.door_node, kind, "", body, call)

    ROUTES.add("POST", f"{_BULK}/{word}")(handler)


_register("start", "bulkstart", calls_power.start, "VM.PowerMgmt")
_register("shutdown", "bulkshutdown", calls_power.shutdown, "VM.PowerMgmt")
_register("suspend", "bulksuspend", calls_power.suspend, "VM.PowerMgmt")
_register("migrate", "bulkmigrate", migration.migrate, "VM.Migrate")
