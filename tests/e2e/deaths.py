# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A recovery played by its modules, in the order of its role, in a controller process that dies where a test says.

The role's own way through Ansible is killed in test_resume_after_kill.py; here every record of every way to promote can be the
last, because a death costs a process and not a playbook.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import multiprocessing
import os
import signal
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ansible.module_utils.testing import patch_module_args

from ansible_collections.ferragosto.dr.plugins.module_utils.journal.owner import owner_of
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.store import SqlJournal

MODULES = "ansible_collections.ferragosto.dr.plugins.modules."
CONTRACT = {"rto": "30m", "rpo": "24h"}
_SPAWN = multiprocessing.get_context("forkserver")
_SPAWN.set_forkserver_preload(
    [__name__, *(MODULES + name for name in ("journal", "recovery_plan_info", "replica", "vm_fence", "vm_migration"))]
)


class StoppedShort(Exception):
    """A module failed; its message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What the technician knows; goes to the controller process as it is."""

    about: dict[str, t.Any]  # the VM as a module of its platform is told of it
    host: str
    site: dict[str, t.Any]
    checks: list[dict[str, t.Any]]
    policy: dict[str, t.Any]
    accept: dict[str, str]
    journal_url: str
    alert_at_s: float


@dataclass(frozen=True, slots=True)
class Death:
    """Die right after the record of this number was committed, or right before it is written."""

    seq: int = 0
    is_before: bool = False
    met: str = ""  # instead: a file of what was died of before; die of the first record that is not among it


@dataclass(frozen=True, slots=True)
class End:
    exitcode: int
    said: str


def play(
    orders: Orders, folder: Path, *, what: str = "recover", death: Death | None = None, within_s: float = 90.0
) -> End:
    """Run ``recover`` or ``undo`` in a process of its own, to its end or its death."""
    said = folder / "said"
    said.unlink(missing_ok=True)
    process = _SPAWN.Process(target=_controller, args=(orders, what, death, str(said)))
    process.start()
    process.join(within_s)
    if process.exitcode is None:
        process.kill()
        process.join(10)
        raise AssertionError(f"{what} did not end within {within_s:.0f} s")
    return End(process.exitcode, said.read_text(encoding="utf-8") if said.exists() else "")


def _controller(orders: Orders, what: str, death: Death | None, said: str) -> None:
    if death is not None:
        _arm(death)
    hands = Hands(orders)
    try:
        outcome = hands.recover() if what == "recover" else hands.undo()
    except StoppedShort as short:
        Path(said).write_text(str(short), encoding="utf-8")
        os._exit(1)
    Path(said).write_text(outcome, encoding="utf-8")
    os._exit(0)


def _arm(death: Death) -> None:
    journal: t.Any = SqlJournal
    write = journal._append
    written: list[t.Any] = []

    def note(self_: t.Any, *args: t.Any) -> t.Any:
        if death.is_before and _next_seq(self_) == death.seq:
            os.kill(os.getpid(), signal.SIGKILL)
        record = write(self_, *args)
        written.append(record)
        return record

    journal._append = note
    for name in ("append", "acquire"):
        setattr(journal, name, _then_die(getattr(journal, name), written, death))


def _next_seq(journal: t.Any) -> int:
    newest = journal.records(limit=1)
    return newest[-1].seq + 1 if newest else 1


def _is_due(record: t.Any, death: Death) -> bool:
    if not death.met:
        return bool(record.seq == death.seq) and not death.is_before
    met, told = Path(death.met), tell(record)
    if told in met.read_text(encoding="utf-8").splitlines():
        return False
    with met.open("a", encoding="utf-8") as out:
        out.write(told + "\n")
    return True


def tell(record: t.Any) -> str:
    """Say a record of the journal in a few words."""
    words = (
        str(record.body.get(key) or "") for key in ("op", "phase", "step", "target", "where", "attempt", "outcome")
    )
    return " | ".join([record.kind, *(word for word in words if word)])


def _then_die(method: t.Callable[..., t.Any], written: list[t.Any], death: Death) -> t.Callable[..., t.Any]:
    def call(*args: t.Any, **more: t.Any) -> t.Any:
        result = method(*args, **more)
        # The transaction is over by now: what was written is on the disk.
        if any(_is_due(record, death) for record in written):
            os.kill(os.getpid(), signal.SIGKILL)
        written.clear()
        return result

    return call


def run_module(name: str, given: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Run one module in this process, argument spec, provider and wire included; an option that is None is not given."""
    out = io.StringIO()
    args = {key: value for key, value in given.items() if value is not None}
    with patch_module_args(args), contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        importlib.import_module(MODULES + name).main()
    result: dict[str, t.Any] = json.loads(out.getvalue())
    return result


class Hands:
    """The modules, called in the order of the roles recover and undo."""

    def __init__(self, orders: Orders) -> None:
        self.orders = orders
        own = owner_of(os.getpid())
        self._context = {"host": own.host, "boot_id": own.boot_id, "pid": own.pid, "started": own.started}

    def module(self, name: str, **args: t.Any) -> dict[str, t.Any]:
        given = {"site": self.orders.site, "journal": self.orders.journal_url, "run_context": self._context, **args}
        result = run_module(name, given)
        if result.get("failed"):
            raise StoppedShort(f"{name}: {result['msg']}")
        return result

    def recover(self) -> str:
        orders, about = self.orders, self.orders.about
        said: dict[str, t.Any] = {"policy": orders.policy, "accept": orders.accept}
        alert_at = str(orders.alert_at_s)
        self.module("journal", **about, state="open", op="recover", alert_at=alert_at, contract=CONTRACT)
        card = self._card()
        self.module("journal", **about, state="decided", card=card, accept=orders.accept)
        steps = card["decision"]["steps"]
        outcome = card["decision"]["outcome"]
        promoted: dict[str, t.Any] = {}
        if "fence" in steps:
            self.module("vm_fence", **about, **said)
        if "promote" in steps:
            more = {"contract": CONTRACT, "fault_at": card["fault_at_s"], **said}
            promoted = self.module("replica", **about, state="failover", **more)
        copy = promoted.get("copy", {}).get("id") or card["replica_id"]
        if "verify" in steps:
            self._verify("replica", copy, orders.site["replica"]["node"])
        if "reverse" in steps:
            self.module("replication", **about, state="reversed", **said)
        if "migrate" in steps:
            mode = card["policy"]["migration_mode"]
            self.module("vm_migration", **about, to="production", mode=mode, policy=orders.policy)
        if "verify_home" in steps:
            self._verify("home", copy, orders.site["production"]["node"])
        if "reprotect" in steps:
            self.module("replication", **about, state="reversed", **said)
        if {"fence", "promote", "verify", "migrate", "verify_home", "reprotect"} & set(steps):
            outcome = "recovered_home" if "verify_home" in steps else "recovered_on_replica"
        self.module("journal", **about, state="closed", outcome=outcome, why=card["decision"]["reason"])
        return str(outcome)

    def undo(self) -> str:
        about = self.orders.about
        begun = self.module("journal", **about, state="open", op="undo", contract=CONTRACT)
        seen = self.module("replica_info", **about, contract=CONTRACT)["replica"]["state"]
        if seen == "failback" or "migrate" in begun["resumed_phases"]:
            self.module("vm_migration", **about, to="replica", policy=self.orders.policy)
        else:
            self.module("replica", **about, state="ready", contract=CONTRACT)
        self.module("journal", **about, state="closed", outcome="undone", why=f"from {seen}")
        return "undone"

    def _card(self) -> dict[str, t.Any]:
        orders = self.orders
        item = {
            "host": orders.host,
            **orders.about,
            "site": orders.site,
            "checks": orders.checks,
            "contract": CONTRACT,
        }
        item |= {"policy": orders.policy, "accept": orders.accept, "alert_at": str(orders.alert_at_s)}
        found: dict[str, t.Any] = self.module("recovery_plan_info", site=None, vms=[item])["cards"][orders.host]
        return found

    def _verify(self, where: str, copy: str, node: str) -> None:
        asked = {"checks": self.orders.checks, "deadline": 30, "expected_copy": copy, "expected_host": node}
        service = self.module("service_info", **self.orders.about, **asked)["service"]
        self.module("journal", **self.orders.about, state="verified", where=where, service=service)
        if service["answers"] is False:
            raise StoppedShort(f"verify {where}: {service['reason']}")
