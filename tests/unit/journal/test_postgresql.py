# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The schema and every statement the journal uses are written for PostgreSQL too; a running server comes later."""

from __future__ import annotations

import typing as t

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from ansible_collections.ferragosto.dr.plugins.module_utils.journal import engine, url
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.schema import tables
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.store import SqlJournal
from ansible_collections.ferragosto.dr.tests.unit.journal.kit import NOW_S, VM, ours

DIALECT = postgresql.dialect()


def in_postgresql(statement: t.Any) -> str:
    return " ".join(str(statement.compile(dialect=DIALECT)).split())


def test_the_tables_are_made_for_postgresql() -> None:
    made = {table.name: in_postgresql(CreateTable(table)) for table in tables().metadata.sorted_tables}
    assert set(made) == {"meta", "record", "lease", "observation"}
    assert "seq BIGINT NOT NULL" in made["record"]
    assert "at_s DOUBLE PRECISION NOT NULL" in made["record"]
    assert "PRIMARY KEY (key, name)" in made["observation"]
    indexes = [in_postgresql(CreateIndex(i)) for i in tables().record.indexes]
    assert "CREATE INDEX record_vm_key_seq ON record (vm_key, seq)" in indexes


def test_every_statement_compiles_for_postgresql(journal: SqlJournal) -> None:
    used: list[t.Any] = []
    sa.event.listen(journal._engine, "before_execute", lambda _c, statement, *_rest: used.append(statement))
    journal.append(VM, "r1", "mark", {})
    journal.records(vm_key=VM, run_id="r1", kinds=("mark",), limit=3)
    journal.acquire(VM, ours())
    journal.acquire(VM, ours())
    journal.lease(VM)
    journal.release(VM, ours())
    journal.observe(VM, "x", 1, at_s=NOW_S)
    journal.observe(VM, "x", 2, at_s=NOW_S)
    journal.observation(VM, "x")
    journal.verify()
    said = [in_postgresql(statement) for statement in used if hasattr(statement, "compile")]
    assert len(said) >= 18
    locks = [text for text in said if text.endswith("FOR UPDATE")]
    assert len(locks) == 6  # each writer locks the one row of meta before it reads anything else
    assert {text.split()[0] for text in said} == {"SELECT", "INSERT", "UPDATE", "DELETE"}


def test_the_leases_clock_is_the_servers() -> None:
    assert in_postgresql(engine.server_clock()) == "SELECT EXTRACT(epoch FROM clock_timestamp()) AS anon_1"


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg"])
def test_the_url_names_the_driver_and_hides_the_password(scheme: str) -> None:
    parsed = url.parse(f"{scheme}://dr:hunter2@db.example:5433/journal")
    assert parsed.url is not None
    assert parsed.url.drivername == "postgresql+psycopg"
    assert (parsed.url.host, parsed.url.port, parsed.url.password) == ("db.example", 5433, "hunter2")
    assert "hunter2" not in parsed.shown
