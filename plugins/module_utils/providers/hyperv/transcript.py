# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Transcripts of a site: what both hosts answer to every reading script, word for word, to be held against the twin.

Nothing here changes anything: reads, and questions with -WhatIf. A host that does not answer has a transcript that says so.
"""

from __future__ import annotations

import hashlib
import typing as t
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import DrError
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import (
    EndpointSpec,
    Transcript,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import events, wire
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.client import Client, Row, TwoHosts
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.masking import Mask, without_secrets
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts import (
    failover,
    reading,
    replication,
    verifying,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts.script import Script

FORMAT = "ferragosto.dr transcript 1"
NOBODY = "00000000-0000-4000-8000-000000000000"  # how a host refuses an id that it does not have
WIDTH, HEIGHT = 80, 60  # as Hyper-V Manager's own preview: enough to tell the format
MOST_EVENTS = 100


class HypervRecorder(TwoHosts):
    """Implements ``core.ports.Recorder``."""

    def record(self, vms: Collection[str], *, is_masked: bool, asks_what_if: bool) -> tuple[Transcript, ...]:
        ends = [("production", self._production)]
        if self._replica is not self._production:
            ends.append(("replica", self._replica))
        with ThreadPoolExecutor(max_workers=2) as both:
            tapes = list(both.map(lambda end: self._tape(end[1], vms, asks_what_if), ends))
        mask = Mask()
        for tape in tapes:
            mask.learn(tape.answers)
        for (name, client), tape in zip(ends, tapes, strict=True):
            _hide(mask, self.name, client.spec)
            body: Row = {
                "format": FORMAT,
                "provider": "hyperv",
                "site": self.name,
                "end": name,
                "is_masked": is_masked,
                "error": tape.error,
                "scripts": tape.scripts,
                "answers": tape.answers,
            }
            tape.body = without_secrets(
                mask.masked(body) if is_masked else body, self._spec.production, self._spec.replica
            )
        return tuple(
            Transcript(site=self.name, end=name, error=tape.error, vms=tuple(tape.seen), body=tape.body)
            for (name, dummy), tape in zip(ends, tapes, strict=True)
        )

    def _tape(self, client: Client, vms: Collection[str], asks_what_if: bool) -> Tape:
        tape = Tape(client)
        try:
            _play(tape, {name.casefold() for name in vms}, asks_what_if)
        except DrError as fault:  # the host fell silent, or let nobody in: what was recorded before stays
            tape.error = str(fault)
        return tape


def _hide(mask: Mask, site: str, spec: EndpointSpec) -> None:
    """Know what an error of ours may say of an endpoint."""
    mask.hide(site, "site")
    for kind, value in (
        ("host", spec.api_host),
        ("host", spec.node),
        ("user", spec.api_user),
        ("host", spec.replica_server),
    ):
        mask.hide(value or "", kind)


class Tape:
    """What one host answered so far."""

    def __init__(self, client: Client) -> None:
        self.answers: list[Row] = []
        self.scripts: dict[str, Row] = {}
        self.seen: list[str] = []  # VMs, by name and by id
        self.error = ""
        self.body: Mapping[str, t.Any] = {}
        self._client = client

    def say(self, what: str) -> None:
        self._client.progress(f"{self._client.address}: {what}")

    def ask(self, script: Script, **parameters: t.Any) -> Row:
        """Ask the host, and note what it says; returns the data, {} where it refused."""
        digest = hashlib.sha256(script.text.encode()).hexdigest()
        self.scripts[script.name] = {"sha256": digest, "text": script.text}
        began_s = self._client.clock.now_s()
        answer = self._client.ask(script, **parameters)
        took_s = round(self._client.clock.now_s() - began_s, 3)
        row: Row = {"script": script.name, "sha256": digest, "parameters": parameters, "took_s": took_s}
        data = answer.get("data")
        is_ok = answer.get("ok") is True
        row |= (
            {"now": answer.get("now"), "data": data}
            if is_ok
            else {"now": answer.get("now"), "error": answer.get("error")}
        )
        self.answers.append(row)
        return data if is_ok and isinstance(data, dict) else {}


def _play(tape: Tape, vms: Collection[str], asks_what_if: bool) -> None:
    tape.say("the host itself")
    tape.ask(verifying.CONSOLE)
    site = tape.ask(reading.SITE)
    tape.ask(replication.RECEIVER)
    tape.ask(reading.MACHINE, id=NOBODY)
    sheets = [row for row in wire.rows(site.get("vms")) if wire.to_guid(row.get("id"))]
    _try_connection(tape, sheets)
    for sheet in sheets:
        guid, name = wire.to_guid(sheet.get("id")), str(sheet.get("name") or "")
        if not vms or guid in vms or name.casefold() in vms:
            tape.seen += [guid, name]
            tape.say(name)
            _play_vm(tape, guid, sheet, asks_what_if)


def _play_vm(tape: Tape, guid: str, sheet: Row, asks_what_if: bool) -> None:
    tape.ask(reading.MACHINE, id=guid)
    tape.ask(reading.GUEST, id=guid, ids=events.IDS, since="")
    tape.ask(reading.EVENTS, id=guid, ids=events.IDS, since="", limit=MOST_EVENTS)
    tape.ask(reading.THUMBNAIL, id=guid, width=WIDTH, height=HEIGHT)
    tape.ask(replication.TEST_STATE, id=guid)
    tape.ask(failover.CHECK, id=guid, point="", is_tried=False)
    if asks_what_if:
        points = [row for row in wire.rows(sheet.get("points")) if row.get("type") in wire.POINT_TYPES]
        for point in points[-1:]:
            tape.ask(failover.CHECK, id=guid, point=str(point.get("id")), is_tried=True)
        tape.ask(verifying.WHAT_IF, id=guid)


def _try_connection(tape: Tape, sheets: list[Row]) -> None:
    """Let the host try the connection to its replica server, as one of its own replications has it."""
    for sheet in sheets:
        relation = sheet.get("relation")
        if isinstance(relation, dict) and relation.get("mode") == "Primary" and relation.get("replica"):
            tape.ask(
                replication.TRY_CONNECTION,
                server=str(relation["replica"]),
                port=wire.whole(relation.get("port")),
                thumbprint=str(relation.get("thumbprint") or ""),
            )
            return
