# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory's words (``dr_*``) as typed values; what is wrong names itself, its value and the fix."""

from __future__ import annotations

import math
import re
import zoneinfo
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput
from ansible_collections.ferragosto.dr.plugins.module_utils.core.fields import (
    bad,
    boolean,
    choice,
    duration,
    listing,
    mapping,
    nearest,
    text,
    whole,
)

LOCALES = ("it", "en")
RTO_STARTS = ("alert", "fault", "detected", "acknowledged")
MIGRATE_HOME = ("auto", "later", "never")
APPROVAL = ("none", "required")
REPROTECT = ("auto", "never")
VARIABLES = (
    "dr_accept",
    "dr_address",
    "dr_alert_at",
    "dr_approved_by",
    "dr_checks",
    "dr_client",
    "dr_contract",
    "dr_depends_on",
    "dr_journal",
    "dr_policy",
    "dr_priority",
    "dr_progress",
    "dr_promoted_id",
    "dr_replica",
    "dr_runner",
    "dr_site",
    "dr_vm",
)
# A word that only says "yes" is no reason: a consent is read again months later, in the report.
_BARE_YES = frozenset({"true", "yes", "y", "on", "ok", "si", "sì", "1", "x"})
_CLOCKS_DIFFER_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    name: str = ""
    role: str = ""
    email: str = ""
    phone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    name: str = ""
    locale: str = "en"
    timezone: str = "UTC"
    contacts: tuple[Contact, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    rto_s: float
    rpo_s: float
    on_call: bool = True  # false: nobody may promote without an approval
    rto_from: str = "alert"  # one of RTO_STARTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """How long each wait may last; in the inventory without the unit: ``deadlines: {guest: 10m}``."""

    shutdown_s: float = 60.0  # the guest's own shutdown, before power is cut
    fence_s: float = 120.0
    guest_s: float = 600.0
    service_s: float = 300.0
    migrate_s: float = 4 * 3600.0  # a terabyte over one gigabit takes some three hours
    reprotect_s: float = 600.0  # then the customer is told, and a first replication goes on by itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    restarts: int = 2
    restart_timeout_s: float = 300.0
    migrate_home: str = "auto"
    cold_migration: bool = False  # a move with an announced downtime is allowed
    approval: str = "none"
    job_hook: str | None = None  # task file that disables the vendor's replication job
    promotion: str = "auto"  # or the name of one of the platform's ways
    reprotect: str = "auto"
    deadlines: Deadlines = Deadlines()


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept:
    """A person's consents, each with its reason in words; None: not given."""

    data_loss: str | None = None
    unfenced: str | None = None
    job_disabled: str | None = None
    powered_off: str | None = None  # bring it back although a person switched it off
    original_overwritten: str | None = None  # the original's disks may be overwritten by the promoted copy's

    def beside(self, noted: Mapping[str, str]) -> Accept:
        """Return these consents together with those noted earlier, by kind; what is given now wins."""
        known = {f.name for f in fields(self)}
        return Accept(**{kind: why for kind, why in {**noted, **self.given()}.items() if kind in known})

    def given(self) -> dict[str, str]:
        """Return the consents that were given, for the journal."""
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: reason for name, reason in found.items() if reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaRule:
    """How the replica of this VM is found: exactly one is set. ``match`` takes * and ?, {vm} is the VM's name."""

    name: str | None = None
    id: str | None = None
    match: str | None = None

    def as_mapping(self) -> dict[str, str]:
        """Return the rule in the form that ``resolve`` takes."""
        pairs = (("name", self.name), ("id", self.id), ("match", self.match))
        return {key: value for key, value in pairs if value is not None}


def client(value: object, variable: str = "dr_client") -> Client:
    """Read ``dr_client``; without one the messages are in English and in UTC."""
    given = mapping(value, variable, ("name", "locale", "timezone", "contacts"))
    name = given.get("name")
    locale = given.get("locale")
    zone = given.get("timezone")
    return Client(
        name="" if name is None else text(name, f"{variable}.name", "write the client's name"),
        locale="en" if locale is None else choice(locale, f"{variable}.locale", LOCALES),
        timezone="UTC" if zone is None else timezone(zone, f"{variable}.timezone"),
        contacts=_contacts(given.get("contacts"), f"{variable}.contacts"),
    )


def timezone(value: object, variable: str) -> str:
    """Take the name of a time zone that this machine knows."""
    fix = "write a zone such as Europe/Rome; if it is one, install the time zone data (tzdata) on this machine"
    name = text(value, variable, fix)
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise bad(variable, value, "is not a time zone known here", fix) from None
    return name


def contract(value: object, variable: str = "dr_contract") -> Contract:
    """Read ``dr_contract``; without one nothing can be promised, so it is required."""
    given = mapping(value, variable, ("rto", "rpo", "on_call", "rto_from"))
    for key in ("rto", "rpo"):
        if given.get(key) is None:
            raise BadInput(
                what=f"read {variable}.{key}",
                why="it is not set",
                next=f"add it to the client's variables, e.g. {variable}: {{rto: 30m, rpo: 24h}}",
            )
    on_call, rto_from = given.get("on_call"), given.get("rto_from")
    return Contract(
        rto_s=duration(given["rto"], f"{variable}.rto", least_s=1.0),
        rpo_s=duration(given["rpo"], f"{variable}.rpo", least_s=1.0),
        on_call=True if on_call is None else boolean(on_call, f"{variable}.on_call"),
        rto_from="alert" if rto_from is None else choice(rto_from, f"{variable}.rto_from", RTO_STARTS),
    )


def policy(value: object, variable: str = "dr_policy") -> Policy:
    """Read ``dr_policy``; what is not said keeps its default."""
    known = (
        "restarts",
        "restart_timeout",
        "migrate_home",
        "cold_migration",
        "approval",
        "job_hook",
        "promotion",
        "reprotect",
        "deadlines",
    )
    given = mapping(value, variable, known)
    usual = Policy()
    restarts, timeout = given.get("restarts"), given.get("restart_timeout")
    home, cold = given.get("migrate_home"), given.get("cold_migration")
    approval, hook = given.get("approval"), given.get("job_hook")
    way, protect = given.get("promotion"), given.get("reprotect")
    at = f"{variable}."
    return Policy(
        restarts=usual.restarts if restarts is None else whole(restarts, at + "restarts", least=0, most=10),
        restart_timeout_s=usual.restart_timeout_s
        if timeout is None
        else duration(timeout, at + "restart_timeout", least_s=1.0),
        migrate_home=usual.migrate_home if home is None else choice(home, at + "migrate_home", MIGRATE_HOME),
        cold_migration=usual.cold_migration if cold is None else boolean(cold, at + "cold_migration"),
        approval=usual.approval if approval is None else choice(approval, at + "approval", APPROVAL),
        job_hook=None if hook is None else text(hook, at + "job_hook", "write the path of a task file"),
        promotion=usual.promotion if way is None else text(way, at + "promotion", "write auto, or the name of a way"),
        reprotect=usual.reprotect if protect is None else choice(protect, at + "reprotect", REPROTECT),
        deadlines=_deadlines(given.get("deadlines"), at + "deadlines"),
    )


def accept(value: object, variable: str = "dr_accept") -> Accept:
    """Read ``dr_accept``: a consent needs a reason in words, ``true`` alone is refused."""
    known = tuple(f.name for f in fields(Accept))
    given = mapping(value, variable, known)
    return Accept(**{key: _reason(given.get(key), f"{variable}.{key}") for key in known})


def replica_rule(value: object, variable: str = "dr_replica") -> ReplicaRule:
    """Read ``dr_replica``: exactly one of name, id or match."""
    given = {key: word for key, word in mapping(value, variable, ("name", "id", "match")).items() if word is not None}
    fix = f"write exactly one, e.g. {variable}: {{match: '{{vm}}_replica*'}}"
    if len(given) != 1:
        raise bad(variable, value, "does not hold exactly one of name, id and match", fix)
    ((key, word),) = given.items()
    return ReplicaRule(**{key: text(word, f"{variable}.{key}", fix)})


def alert_at(value: object, *, now_s: float, zone: str = "UTC", variable: str = "dr_alert_at") -> float:
    """Read when the alert arrived (T2): epoch seconds or ISO 8601; without an offset it is the client's local time."""
    fix = "write it like 2026-08-15T04:12:00+02:00, or as seconds since 1970"
    if value is None or value == "":
        return now_s
    at_s = _epoch(value, zone)
    if at_s is None:
        raise bad(variable, value, "is not a time", fix)
    if at_s > now_s + _CLOCKS_DIFFER_S:
        raise bad(variable, value, "lies in the future", f"{fix}; check the offset and this machine's clock")
    if at_s < now_s - 366 * 86400:
        raise bad(variable, value, "lies more than a year back", fix)
    return at_s


def priority(value: object, variable: str = "dr_priority") -> int:
    """Read the priority group: 1 is recovered first, 5 last; 3 without a word."""
    return 3 if value is None else whole(value, variable, least=1, most=5)


def names(value: object, variable: str = "dr_depends_on") -> tuple[str, ...]:
    """Read a list of inventory names, each once, in their order."""
    fix = f"write a list of inventory names, e.g. {variable}: [dc01.luca]"
    found = [text(one, f"{variable}[{i}]", fix) for i, one in enumerate(listing(value, variable, fix))]
    return tuple(dict.fromkeys(found))


def refuse_unknown_variables(given: Iterable[str]) -> None:
    """Raise for a ``dr_*`` variable that does not exist: a misspelt ``dr_accept`` must not be silently nothing."""
    for name in given:
        if name.startswith("dr_") and name not in VARIABLES:
            like = nearest(name, VARIABLES)
            hint = f"did you mean {like}? " if like else ""
            raise BadInput(
                what=f"read {name}", why="no such variable exists", next=f"{hint}known: {', '.join(VARIABLES)}"
            )


def _contacts(value: object, variable: str) -> tuple[Contact, ...]:
    fix = f"write a list, e.g. {variable}: [{{name: Luca, email: luca@example.com, phone: '+39 ...'}}]"
    found = []
    for i, one in enumerate(listing(value, variable, fix)):
        at = f"{variable}[{i}]"
        if isinstance(one, Mapping):
            given = mapping(one, at, ("name", "role", "email", "phone"))
            found.append(Contact(**{key: text(str(word), f"{at}.{key}", fix) for key, word in given.items()}))
        else:
            word = text(one, at, fix)
            found.append(Contact(email=word) if "@" in word else Contact(name=word))
    return tuple(found)


def _deadlines(value: object, variable: str) -> Deadlines:
    usual = Deadlines()
    known = tuple(f.name.removesuffix("_s") for f in fields(Deadlines))
    given = mapping(value, variable, known)
    read = {
        f"{key}_s": getattr(usual, f"{key}_s")
        if given.get(key) is None
        else duration(given[key], f"{variable}.{key}", least_s=0.0 if key == "shutdown" else 1.0)
        for key in known
    }
    return Deadlines(**read)


def _reason(value: object, variable: str) -> str | None:
    if value is None or value is False or value == "":
        return None
    fix = f"write why in words, e.g. {variable}: 'Luca agreed on the phone at 04:20'"
    word = value.strip() if isinstance(value, str) else ""
    if not any(c.isalpha() for c in word) or word.lower().rstrip(".!") in _BARE_YES:
        raise bad(variable, value, "is not a reason", fix)
    return word


def _epoch(value: object, zone: str) -> float | None:
    if isinstance(value, datetime):
        return _instant(value, zone)
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return float(value) if math.isfinite(value) else None
    if not isinstance(value, str):
        return None
    word = value.strip()
    if re.fullmatch(r"\d+(?:\.\d+)?", word) and len(word.split(".")[0]) >= 9:
        return float(word)
    try:
        return _instant(datetime.fromisoformat(word), zone)
    except (ValueError, OverflowError):
        return None


def _instant(moment: datetime, zone: str) -> float:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC if zone == "UTC" else zoneinfo.ZoneInfo(zone))
    return moment.timestamp()
