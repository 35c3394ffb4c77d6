# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The journal on SQL: records, leases, observations. Every write is one exclusive transaction."""

from __future__ import annotations

import contextlib
import json
import typing as t
from collections.abc import Iterator, Mapping, Sequence

from ansible_collections.ferragosto.dr.plugins.module_utils.core import runs
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import JournalFault
from ansible_collections.ferragosto.dr.plugins.module_utils.core.owner import Owner
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import (
    ChainReport,
    Clock,
    Lease,
    Observation,
    Record,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.journal import chain, leases
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.body import plain
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.engine import (
    reading,
    server_now_s,
    writing,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.faults import told
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.leases import Claim
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.library import sa
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.owner import is_running, owner_of
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.schema import tables

if t.TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Row


class SqlJournal:
    """The Journal of ports.py; made by ``open_journal``. Threads may share it, forked processes may not."""

    def __init__(
        self, engine: Engine, *, shown: str, clock: Clock, is_read_only: bool = False, secret: str | None = None
    ) -> None:
        self.shown = shown
        self.is_read_only = is_read_only
        self._engine = engine
        self._clock = clock
        self._secret = secret
        self._ours: dict[str, Owner] = {}

    # --- records

    def append(self, vm_key: str, run_id: str, kind: str, body: Mapping[str, t.Any]) -> Record:
        clean = plain(body)
        with self._writing(f"write a {kind!r} record") as (connection, head):
            return self._append(connection, head, vm_key, run_id, kind, clean)

    def records(
        self,
        *,
        vm_key: str | None = None,
        run_id: str | None = None,
        kinds: Sequence[str] = (),
        limit: int | None = None,
    ) -> Sequence[Record]:
        with self._reading("read the records") as connection:
            return _select(connection, vm_key=vm_key, run_id=run_id, kinds=kinds, limit=limit)

    def verify(self) -> ChainReport:
        table = tables().record
        with self._reading("verify the chain of records") as connection:
            head = connection.execute(sa.select(tables().meta)).one()
            # No row above the head: on PostgreSQL, records written since would otherwise look like a broken chain.
            wanted = sa.select(table).order_by(table.c.seq)
            if connection.dialect.name == "postgresql":
                wanted = wanted.where(table.c.seq <= head.head_seq)
            rows = connection.execution_options(yield_per=500).execute(wanted)
            return chain.walk(t.cast("Iterator[chain.Row]", rows), head_seq=head.head_seq, head_hash=head.head_hash)

    # --- leases

    def acquire(self, vm_key: str, owner: Owner, *, lease_s: float = 60.0) -> Lease:
        with self._writing(f"take the lease of {vm_key}") as (connection, head):
            now_s = self._lease_now_s(connection)
            skew_s = now_s - self._clock.now_s()
            row = _lease_row(connection, vm_key)
            holder = _owner(row)
            expires_at_s = row.expires_at_s if row is not None else 0.0
            claim = leases.judge(holder, owner, expires_at_s=expires_at_s, now_s=now_s, is_running=is_running)
            if claim is Claim.HELD:
                self._ours.pop(vm_key, None)
                return Lease(vm_key=vm_key, owner=holder or owner, expires_at_s=expires_at_s - skew_s, is_ours=False)
            _write_lease(connection, vm_key, owner, now_s + lease_s, is_new=row is None)
            if holder is not None and claim.is_takeover:
                self._note_takeover(connection, head, vm_key, holder, owner, claim)
        self._ours[vm_key] = owner
        return Lease(
            vm_key=vm_key,
            owner=owner,
            expires_at_s=now_s + lease_s - skew_s,
            is_ours=True,
            taken_over_from=holder if claim.is_takeover else None,
        )

    def release(self, vm_key: str, owner: Owner) -> None:
        with self._writing(f"release the lease of {vm_key}") as (connection, _head):
            holder = _owner(_lease_row(connection, vm_key))
            if holder is not None and leases.is_same_controller(holder, owner):
                connection.execute(sa.delete(tables().lease).where(tables().lease.c.vm_key == vm_key))
        self._ours.pop(vm_key, None)

    def lease(self, vm_key: str) -> Lease | None:
        with self._reading(f"read the lease of {vm_key}") as connection:
            row = _lease_row(connection, vm_key)
            now_s = self._lease_now_s(connection)
        holder = _owner(row)
        if row is None or holder is None:
            return None
        ours = self._ours.get(vm_key)
        is_ours = ours is not None and leases.is_same_controller(holder, ours)
        claim = leases.judge(holder, owner_of(), expires_at_s=row.expires_at_s, now_s=now_s, is_running=is_running)
        if claim.is_takeover or now_s >= row.expires_at_s:
            return None
        skew_s = now_s - self._clock.now_s()
        return Lease(vm_key=vm_key, owner=holder, expires_at_s=row.expires_at_s - skew_s, is_ours=is_ours)

    # --- observations

    def observe(self, key: str, name: str, value: t.Any, *, at_s: float) -> Observation:
        clean = plain({name: value}, key)[name]
        text = chain.canonical(clean)
        table = tables().observation
        here = sa.and_(table.c.key == key, table.c.name == name)
        with self._writing(f"note {name} of {key}") as (connection, _head):
            row = connection.execute(sa.select(table).where(here)).one_or_none()
            if row is None:
                fresh = {"key": key, "name": name, "value": text, "first_at_s": at_s, "last_at_s": at_s}
                connection.execute(sa.insert(table).values(**fresh))
                return Observation(value=clean, first_at_s=at_s, last_at_s=at_s)
            first_at_s = row.first_at_s if row.value == text else at_s
            # An older look that arrives late must not turn the clock back.
            last_at_s = max(at_s, row.last_at_s) if row.value == text else at_s
            moved = {"value": text, "first_at_s": first_at_s, "last_at_s": last_at_s}
            connection.execute(sa.update(table).where(here).values(**moved))
            return Observation(value=clean, first_at_s=first_at_s, last_at_s=last_at_s)

    def observation(self, key: str, name: str) -> Observation | None:
        table = tables().observation
        with self._reading(f"read {name} of {key}") as connection:
            wanted = sa.select(table).where(table.c.key == key, table.c.name == name)
            row = connection.execute(wanted).one_or_none()
        if row is None:
            return None
        return Observation(value=json.loads(row.value), first_at_s=row.first_at_s, last_at_s=row.last_at_s)

    def close(self) -> None:
        self._engine.dispose()

    # --- inside a transaction

    def _append(
        self, connection: Connection, head: Row[t.Any], vm_key: str, run_id: str, kind: str, body: Mapping[str, t.Any]
    ) -> Record:
        fields = {"seq": head.head_seq + 1, "at_s": float(self._clock.now_s()), "vm_key": vm_key}
        fields |= {"run_id": run_id, "kind": kind}
        digest = chain.link(head.head_hash, body=body, **fields)
        connection.execute(sa.insert(tables().record).values(body=chain.canonical(body), hash=digest, **fields))
        connection.execute(sa.update(tables().meta).values(head_seq=fields["seq"], head_hash=digest))
        return Record(body=body, hash=digest, **fields)

    def _note_takeover(
        self, connection: Connection, head: Row[t.Any], vm_key: str, holder: Owner, owner: Owner, claim: Claim
    ) -> None:
        run = runs.open_run(_select(connection, vm_key=vm_key, kinds=("run_opened", "run_closed")))
        body = {"from": leases.owner_dict(holder), "by": leases.owner_dict(owner), "why": str(claim)}
        self._append(connection, head, vm_key, run.run_id if run is not None else "", "lease_taken_over", body)

    def _lease_now_s(self, connection: Connection) -> float:
        """Ask the one clock that all controllers share; with SQLite they share a machine, and its clock will do."""
        now_s = server_now_s(connection)
        return self._clock.now_s() if now_s is None else now_s

    @contextlib.contextmanager
    def _reading(self, what: str) -> Iterator[Connection]:
        with told(what, self.shown, secret=self._secret), reading(self._engine) as connection:
            yield connection

    @contextlib.contextmanager
    def _writing(self, what: str) -> Iterator[tuple[Connection, Row[t.Any]]]:
        if self.is_read_only:
            raise JournalFault(
                what=f"{what} ({self.shown})",
                why="the journal was opened for reading only",
                next="this is a defect of the module: report it with this message; nothing was written",
            )
        with told(what, self.shown, secret=self._secret), writing(self._engine) as opened:
            yield opened


def _select(
    connection: Connection,
    *,
    vm_key: str | None = None,
    run_id: str | None = None,
    kinds: Sequence[str] = (),
    limit: int | None = None,
) -> list[Record]:
    table = tables().record
    wanted = sa.select(table).order_by(table.c.seq.desc()).limit(limit)
    if vm_key is not None:
        wanted = wanted.where(table.c.vm_key == vm_key)
    if run_id is not None:
        wanted = wanted.where(table.c.run_id == run_id)
    if kinds:
        wanted = wanted.where(table.c.kind.in_(kinds))
    return [_record(row) for row in reversed(connection.execute(wanted).all())]


def _record(row: Row[t.Any]) -> Record:
    try:
        body = json.loads(row.body)
    except ValueError as error:
        raise JournalFault(
            what=f"read record {row.seq}",
            why="its body is not JSON: somebody changed the journal",
            next="check the chain with journal_info, keep a copy of the file, and start with a new journal",
        ) from error
    return Record(
        seq=row.seq, at_s=row.at_s, vm_key=row.vm_key, run_id=row.run_id, kind=row.kind, body=body, hash=row.hash
    )


def _lease_row(connection: Connection, vm_key: str) -> Row[t.Any] | None:
    return connection.execute(sa.select(tables().lease).where(tables().lease.c.vm_key == vm_key)).one_or_none()


def _owner(row: Row[t.Any] | None) -> Owner | None:
    if row is None:
        return None
    return Owner(
        host=row.host,
        boot_id=row.boot_id,
        pid=row.pid,
        started=row.started,
        worker_pid=row.worker_pid,
        worker_started=row.worker_started,
    )


def _write_lease(connection: Connection, vm_key: str, owner: Owner, expires_at_s: float, *, is_new: bool) -> None:
    table = tables().lease
    values = {**leases.owner_dict(owner), "expires_at_s": expires_at_s}
    if is_new:
        connection.execute(sa.insert(table).values(vm_key=vm_key, **values))
    else:
        connection.execute(sa.update(table).where(table.c.vm_key == vm_key).values(**values))
