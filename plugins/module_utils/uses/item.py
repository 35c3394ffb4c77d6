# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One protected VM as the inventory describes it, its words read and checked."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.ferragosto.dr.plugins.module_utils.core import checks, ids, points, words
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import DrError


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """The ``dr_*`` variables of one inventory host, typed. ``site`` stays as given: only the provider reads it."""

    host: str
    is_in_play: bool
    site: Mapping[str, t.Any]
    vm: str
    replica: Mapping[str, t.Any] | None
    choice: points.Choice
    checks: tuple[checks.Check, ...]
    address: str
    contract: words.Contract
    policy: words.Policy
    accept: words.Accept
    client: words.Client
    priority: int
    depends_on: tuple[str, ...]
    alert_at_s: float
    approved_by: str

    @property
    def vm_key(self) -> str:
        return ids.vm_key(self.site["name"], self.vm)

    @property
    def isolated(self) -> frozenset[str]:
        return frozenset(self.site.get("isolated_networks") or ())


def read_items(given: Sequence[Mapping[str, t.Any]], *, now_s: float) -> list[Item]:
    """Read all items; the first wrong word is an error that also names the host."""
    found = []
    for one in given:
        try:
            found.append(_read(one, now_s))
        except DrError as error:
            raise type(error)(what=f"{one['host']}: {error.what}", why=error.why, next=error.next) from error
    return found


def read_choice(word: str, *, now_s: float) -> points.Choice:
    """Read a ``recovery_point`` option: "latest", a time (the newest point before it), or an id."""
    if word == "latest":
        return "latest"
    if word[:4].isdigit() and "-" in word:
        return {"before": words.alert_at(word, now_s=now_s, variable="recovery_point")}
    return {"id": word}


def _read(one: Mapping[str, t.Any], now_s: float) -> Item:
    words.refuse_unknown_variables(one.get("given") or ())
    client = words.client(one.get("client"))
    if one.get("replica") is not None:
        words.replica_rule(one["replica"])
    checks.read_witnesses(one["site"].get("witnesses"), "dr_site.witnesses")
    return Item(
        host=one["host"],
        is_in_play=bool(one.get("in_play", True)),
        site=one["site"],
        vm=one["vm"],
        replica=one.get("replica"),
        choice=read_choice(one.get("recovery_point") or "latest", now_s=now_s),
        checks=checks.read_checks(one.get("checks")),
        address=one.get("address") or one["host"],
        contract=words.contract(one.get("contract")),
        policy=words.policy(one.get("policy")),
        accept=words.accept(one.get("accept")),
        client=client,
        priority=words.priority(one.get("priority")),
        depends_on=words.names(one.get("depends_on")),
        alert_at_s=words.alert_at(one.get("alert_at"), now_s=now_s, zone=client.timezone),
        approved_by=one.get("approved_by") or "",
    )
