# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find the two copies of a protected VM in what the hypervisors show, or say in words why they cannot be told apart."""

from __future__ import annotations

import difflib
import fnmatch
import re
import typing as t
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import (
    EndpointReading,
    Pair,
    SiteReading,
    Vm,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.stamps import Phase

KnownIds: t.TypeAlias = "tuple[str | None, str | None]"
_Key: t.TypeAlias = tuple[str, str, str]

_REPLICA_KEYS = ("name", "id", "match")


def resolve(
    reading: SiteReading,
    *,
    vm: str,
    replica: Mapping[str, object] | None = None,
    known_ids: KnownIds | None = None,
    known_runs: Collection[str] = (),
    isolated: Iterable[str] = (),
) -> Pair:
    """Find production copy and replica of ``vm`` (name or id).

    ``replica`` is the inventory's ``dr_replica``: one of name, id, match (a shell pattern), each with {vm} for the name
    of the production copy; without it the replica has the same name, on the replica node. ``known_ids`` are the ids
    (production, replica) of the journal's open run and win over names; a copy stamped by one of ``known_runs`` has taken
    the place of the replica that the run began with (a clone of it, a restored backup).
    An end that does not answer makes its copy None; a name that fits nothing or too much is BadInput.
    """
    if not vm.strip():
        raise BadInput(what="find the VM", why="dr_vm is empty", next="set dr_vm to the name or the id of the VM")
    _refuse_blindness(reading)
    rule = _rule(vm, replica)
    production_id, replica_id = known_ids or (None, None)
    field = _field(reading)
    production = _production(field, vm, rule, production_id, replica_id)
    word = production.name if production is not None else vm
    found, note = _replica(field, word, rule, production, replica_id, known_runs)
    return Pair(
        name=vm,
        production=production,
        replica=found,
        production_node=field.production_node or (production.host if production is not None else ""),
        replica_node=field.replica_node,
        is_production_reachable=reading.production.is_reachable,
        is_replica_reachable=reading.replica.is_reachable,
        isolated=frozenset(isolated),
        replica_note=note,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    """Where the search goes: all visible VMs once, and the names of the two nodes ("" = any host)."""

    vms: tuple[Vm, ...]
    reading: SiteReading
    production_node: str
    replica_node: str
    at_production: frozenset[_Key]
    at_replica: frozenset[_Key]

    def is_at_production(self, vm: Vm) -> bool:
        return _key(vm) in self.at_production

    def is_at_replica(self, vm: Vm) -> bool:
        return _key(vm) in self.at_replica

    def where(self) -> str:
        return " and ".join(_title(e) for e in self.reading.endpoints() if e.is_reachable)


def _field(reading: SiteReading) -> _Field:
    seen: dict[_Key, Vm] = {}  # every VM once, also when one vCenter is reached under two addresses
    for endpoint in reading.endpoints():
        for vm in endpoint.vms:
            seen.setdefault(_key(vm), vm)
    production_node, replica_node = _node(reading.production), _node(reading.replica)
    return _Field(
        vms=tuple(seen.values()),
        reading=reading,
        production_node=production_node,
        replica_node=replica_node,
        at_production=_keys_at(reading.production, production_node),
        at_replica=_keys_at(reading.replica, replica_node),
    )


def _keys_at(endpoint: EndpointReading, node: str) -> frozenset[_Key]:
    return frozenset(_key(v) for v in endpoint.vms if node in ("", v.host))


def _key(vm: Vm) -> _Key:
    # The id alone does not do: plain copies on two standalone hosts share it until someone answers "copied".
    return vm.id, vm.handle, vm.host


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """What ``dr_replica`` says: ``kind`` is name, id, match, or "" for a VM of the same name on the replica node."""

    kind: str
    text: str

    def for_name(self, name: str) -> _Rule:
        """Put the name of the production copy in place of {vm}; in a pattern its own * ? [ stand for themselves."""
        fitting = re.sub(r"([*?\[])", r"[\1]", name) if self.kind == "match" else name
        return replace(self, text=self.text.replace("{vm}", fitting))

    def fits(self, vm: Vm) -> bool:
        if self.kind == "id":
            return vm.id == self.text
        if self.kind == "match":
            return fnmatch.fnmatchcase(vm.name, self.text)
        return vm.name == self.text

    def __str__(self) -> str:
        return (
            f"dr_replica {self.kind} {self.text!r}" if self.kind else f"the name {self.text!r} (no dr_replica is set)"
        )


def _rule(vm: str, replica: Mapping[str, object] | None) -> _Rule:
    given = {key: value for key, value in (replica or {}).items() if value is not None}
    if not given:
        return _Rule(kind="", text="{vm}")
    wrong = ""
    if len(given) != 1 or next(iter(given)) not in _REPLICA_KEYS:
        wrong = "it takes exactly one of name, id, match"
    elif not isinstance(text := next(iter(given.values())), str) or not text.strip():
        wrong = "its value must be a text that is not empty"
    if wrong:
        raise BadInput(
            what=f"find the replica of {vm}",
            why=f"dr_replica is {given!r}, but {wrong}",
            next="write for example dr_replica: {match: '{vm}_replica*'}",
        )
    kind, text = next(iter(given.items()))
    return _Rule(kind=kind, text=str(text))


def _refuse_blindness(reading: SiteReading) -> None:
    """Refuse an empty answer: an account without rights sees no VM, and nothing seen is never healthy."""
    seen = [e for e in reading.endpoints() if e.is_reachable]
    if not seen or (reading.production.vms if reading.production.is_reachable else reading.replica.vms):
        return
    blind = reading.production if reading.production.is_reachable else reading.replica
    raise BadInput(
        what=f"read the VMs of site {reading.name}",
        why=f"the account sees 0 VMs on {_title(blind)}; an empty answer is never healthy",
        next=f"{blind.right or 'grant the account read on the VM folder (propagated to its children)'}, then run again",
    )


def _title(endpoint: EndpointReading) -> str:
    return f"{endpoint.address} ({endpoint.node})" if endpoint.node else endpoint.address


def _node(endpoint: EndpointReading) -> str:
    """Tell the host that this endpoint stands for, in the platform's own spelling; "" when any host may be meant."""
    names = [h.name for h in endpoint.hosts]
    if endpoint.node in names:
        return endpoint.node
    if len(names) == 1:
        return names[0]  # a standalone host is its own endpoint, whatever the inventory calls it
    if endpoint.node and names:
        raise BadInput(
            what=f"find the host {endpoint.node!r}",
            why=f"{endpoint.address} shows the hosts {_list(names)}",
            next=f"correct 'node' in dr_site{_nearest(endpoint.node, names)}",
        )
    return endpoint.node


# --- production ------------------------------------------------------------------------------------------------------


def _production(field: _Field, vm: str, rule: _Rule, known: str | None, replica_id: str | None) -> Vm | None:
    if not field.reading.production.is_reachable:
        return None
    others = [v for v in field.vms if v.id != replica_id] if replica_id != known else list(field.vms)
    if known:
        return _known_production(field, vm, known, others)
    machines = [v for v in others if not v.replica_of]
    named = [v for v in machines if v.id == vm] or [v for v in machines if v.name == vm]
    # A promoted replica of the same name that came home lies beside the fenced original: its stamp tells them apart.
    candidates = [v for v in named if not _is_promoted(v)] or [v for v in named if _is_committed(v)]
    # Between two steps of a way home both bear stamps; the one whose replica is seen beside it is the one that is left.
    candidates = candidates or [v for v in named if any(other.replica_of == v.id for other in field.vms)]
    at_home = [v for v in candidates if field.is_at_production(v)]
    found = _only(vm, at_home or [v for v in candidates if not _may_be_replica(field, rule, v)])
    if found is None:
        raise _unknown(field, vm, named)
    return found


def _known_production(field: _Field, vm: str, known: str, others: Sequence[Vm]) -> Vm | None:
    found = _nearest_first(others, lambda v: v.id == known, field.is_at_production)
    if found is not None and vm not in (found.id, found.name):
        raise _mismatch(vm, "production copy", known, f"that VM is now called {found.name!r} (on {found.host})")
    if found is None:
        usurper = next((v for v in others if v.name == vm and field.is_at_production(v) and not _is_promoted(v)), None)
        if usurper is not None:
            raise _mismatch(
                vm, "production copy", known, f"the VM called {vm!r} on {usurper.host} has the id {usurper.id}"
            )
    return found


def _is_promoted(vm: Vm) -> bool:
    return stamps.RUN in vm.stamps or stamps.PHASE in vm.stamps


def _is_committed(vm: Vm) -> bool:
    return vm.stamps.get(stamps.PHASE) == Phase.COMMITTED


def _may_be_replica(field: _Field, rule: _Rule, vm: Vm) -> bool:
    """Tell whether a VM away from home may be the replica; without dr_replica it always may, unless its disks are shown."""
    if not vm.handle:  # disks that a promotion in place left behind, wherever their configuration is now
        return False
    if any(v.replica_of and v.name == vm.name for v in field.vms):
        return False
    return field.is_at_replica(vm) and (not rule.kind or rule.for_name(vm.name).fits(vm))


def _only(word: str, candidates: Sequence[Vm]) -> Vm | None:
    if len(candidates) > 1:
        raise BadInput(
            what=f"find the VM {word}",
            why=f"{len(candidates)} VMs carry this name: {_list([_place(v) for v in candidates])}",
            next="give the id instead of the name in dr_vm",
        )
    return candidates[0] if candidates else None


def _unknown(field: _Field, vm: str, elsewhere: Sequence[Vm]) -> BadInput:
    seen = [v for v in field.vms if field.is_at_production(v)]
    place = field.production_node or field.reading.production.address
    why = (
        f"no VM of this name or id; {len(seen)} VMs are visible on {place}, {len(field.vms)} in all on {field.where()}"
    )
    if elsewhere:
        why += f"; the name is found on another host only: {_list([_place(v) for v in elsewhere])}"
        step = "if the production copy was moved there, set dr_replica so that the two can be told apart; "
        step += "if that is the replica and the production copy is gone, register the production copy again"
        return BadInput(what=f"find the VM {vm}", why=why, next=step)
    near = _nearest(vm, [v.name for v in field.vms])
    return BadInput(what=f"find the VM {vm}", why=why, next=f"correct dr_vm{near}")


def _mismatch(vm: str, role: str, known: str, but: str) -> BadInput:
    return BadInput(
        what=f"find the {role} of {vm}",
        why=f"the open run knows it by the id {known}, but {but}",
        next="make name and id agree again (or correct dr_vm / dr_replica), then run the same command",
    )


# --- replica ---------------------------------------------------------------------------------------------------------


def _replica(
    field: _Field, name: str, rule: _Rule, production: Vm | None, known: str | None, known_runs: Collection[str]
) -> tuple[Vm | None, str]:
    """Return the replica, or None with the reason in words."""
    rule = rule.for_name(name)
    mine = _key(production) if production is not None else None
    others = [v for v in field.vms if _key(v) != mine]
    made = [v for v in others if v.stamps.get(stamps.RUN, "") in known_runs and not _is_committed(v)]
    if known and (not made or any(v.id == known for v in others)):
        return _known_replica(field, name, rule, known, others)
    if len(made) == 1:
        return made[0], ""
    fitting = [v for v in others if rule.fits(v)]
    at_replica = [v for v in fitting if field.is_at_replica(v)]
    away = [v for v in fitting if v not in at_replica]
    # After a migration home the promoted replica lives on the production node: its stamp says so.
    moved = [v for v in away if _is_promoted(v)]
    serving = [v for v in at_replica + moved if _is_promoted(v) and not _is_committed(v)]
    candidates = serving or at_replica + moved
    if not candidates and rule.kind in ("name", "id"):
        candidates = away
    if len(candidates) > 1:
        raise BadInput(
            what=f"find the replica of {name}",
            why=f"{rule} fits {len(candidates)} VMs: {_list([_place(v) for v in candidates])}",
            next="give the one meant: dr_replica: {id: ...}",
        )
    if candidates:
        return candidates[0], ""
    return None, _why_no_replica(field, rule, away)


def _known_replica(field: _Field, name: str, rule: _Rule, known: str, others: Sequence[Vm]) -> tuple[Vm | None, str]:
    found = _nearest_first(others, lambda v: v.id == known, field.is_at_replica)
    if found is None:
        if all(e.is_reachable for e in field.reading.endpoints()):
            raise _mismatch(
                name, "replica", known, f"no such VM is among the {len(field.vms)} visible on {field.where()}"
            )
        return None, f"the endpoint that may hold it (id {known}) does not answer"
    if not rule.fits(found):
        raise _mismatch(name, "replica", known, f"that VM ({_place(found)}, {found.name!r}) does not fit {rule}")
    return found, ""


def _why_no_replica(field: _Field, rule: _Rule, away: Sequence[Vm]) -> str:
    endpoint = field.reading.replica
    if not endpoint.is_reachable:
        return f"{_title(endpoint)} does not answer: {endpoint.error}"
    if not endpoint.vms:
        return f"the account sees 0 VMs on {_title(endpoint)}: this may be missing rights, not a missing replica"
    place = field.replica_node or endpoint.address
    count = sum(1 for v in field.vms if field.is_at_replica(v))
    note = f"none of the {count} VMs on {place} fits {rule}"
    return f"{note}; one elsewhere does: {_list([_place(v) for v in away])}" if away else note


# --- words -----------------------------------------------------------------------------------------------------------


def _nearest_first(vms: Iterable[Vm], fits: Callable[[Vm], bool], is_near: Callable[[Vm], bool]) -> Vm | None:
    return next(iter(sorted((v for v in vms if fits(v)), key=lambda v: not is_near(v))), None)


def _place(vm: Vm) -> str:
    return f"{vm.id} on {vm.host}"


def _list(words: Sequence[str], limit: int = 8) -> str:
    shown = ", ".join(words[:limit])
    return f"{shown} and {len(words) - limit} more" if len(words) > limit else shown


def _nearest(word: str, names: Iterable[str]) -> str:
    by_lower = {n.lower(): n for n in names}
    near = [by_lower[n] for n in difflib.get_close_matches(word.lower(), list(by_lower), n=3, cutoff=0.6)]
    return f"; nearest: {', '.join(near)}" if near else ""
