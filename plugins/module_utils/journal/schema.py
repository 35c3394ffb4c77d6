# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tables, for SQLite and PostgreSQL alike."""

from __future__ import annotations

import functools
import typing as t
from dataclasses import dataclass

from ansible_collections.ferragosto.dr.plugins.module_utils.journal.chain import GENESIS
from ansible_collections.ferragosto.dr.plugins.module_utils.journal.library import sa

if t.TYPE_CHECKING:
    from sqlalchemy import Column, Connection, MetaData, Table

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """``meta`` is one row: the schema's version and the head of the chain. Every writer locks it first."""

    metadata: MetaData
    meta: Table
    record: Table
    lease: Table
    observation: Table


@functools.cache
def tables() -> Tables:
    metadata = sa.MetaData()
    return Tables(
        metadata=metadata,
        meta=_meta(metadata),
        record=_record(metadata),
        lease=_lease(metadata),
        observation=_observation(metadata),
    )


def create(connection: Connection, *, now_s: float) -> None:
    """Make the tables of an empty journal."""
    known = tables()
    known.metadata.create_all(connection)
    first = {"id": 1, "schema_version": VERSION, "created_at_s": now_s, "head_seq": 0, "head_hash": GENESIS}
    connection.execute(sa.insert(known.meta).values(**first))


def _meta(metadata: MetaData) -> Table:
    return sa.Table(
        "meta",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("schema_version", sa.Integer, nullable=False),
        sa.Column("created_at_s", sa.Double, nullable=False),
        sa.Column("head_seq", sa.BigInteger, nullable=False),
        _text("head_hash"),
        sa.CheckConstraint("id = 1", name="meta_is_one_row"),
    )


def _record(metadata: MetaData) -> Table:
    return sa.Table(
        "record",
        metadata,
        # INTEGER is SQLite's row id itself: the walk in order of seq then needs no second index.
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
        sa.Column("at_s", sa.Double, nullable=False),
        _text("vm_key"),
        _text("run_id"),
        _text("kind"),
        _text("body"),  # canonical JSON: the text that was hashed
        _text("hash"),
        sa.Index("record_vm_key_seq", "vm_key", "seq"),
        sa.Index("record_run_id_seq", "run_id", "seq"),
    )


def _lease(metadata: MetaData) -> Table:
    return sa.Table(
        "lease",
        metadata,
        sa.Column("vm_key", sa.Text, primary_key=True),
        _text("host"),
        _text("boot_id"),
        sa.Column("pid", sa.BigInteger, nullable=False),
        _text("started"),
        sa.Column("worker_pid", sa.BigInteger, nullable=False),
        _text("worker_started"),
        sa.Column("expires_at_s", sa.Double, nullable=False),
    )


def _observation(metadata: MetaData) -> Table:
    return sa.Table(
        "observation",
        metadata,
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        _text("value"),  # canonical JSON, so that equal values are equal texts
        sa.Column("first_at_s", sa.Double, nullable=False),
        sa.Column("last_at_s", sa.Double, nullable=False),
    )


def _text(name: str) -> Column[str]:
    return sa.Column(name, sa.Text, nullable=False)
