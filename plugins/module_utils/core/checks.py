# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checks of a service and the witnesses of a host, as the inventory declares them."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from ansible_collections.ferragosto.dr.plugins.module_utils.core.fields import (
    bad,
    duration,
    listing,
    mapping,
    text,
    whole,
)

_CHECK_KEYS = ("tcp", "http", "status", "contains", "identity", "timeout", "ca_path", "tls_fingerprint")
_HTTP_ONLY = ("status", "contains", "identity", "ca_path", "tls_fingerprint")
_WITNESS_KEYS = ("tcp", "ping", "redfish", "user", "password", "system", "ca_path", "tls_fingerprint", "timeout")
_REDFISH_ONLY = ("user", "password", "system", "ca_path", "tls_fingerprint")
_HOST = re.compile(r"[^\s/@:\[\]\-][^\s/@:\[\]]*|\[[0-9A-Fa-f:.]+(?:%\w+)?\]|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question to a service. ``host`` None: the VM's own address. ``statuses`` empty: any 2xx."""

    kind: str  # "tcp" | "http"
    host: str | None = None
    port: int = 0
    url: str = ""
    statuses: tuple[int, ...] = ()
    contains: str | None = None
    identity: str | None = None  # key (dots go deeper) of the JSON answer that names the copy
    timeout_s: float = 5.0
    ca_path: str | None = None
    tls_fingerprint: str | None = None  # SHA-256 of the certificate

    def label(self, address: str | None = None) -> str:
        if self.kind == "http":
            return f"http {self.url}"
        return f"tcp {bracketed(self.host or address or 'the VM')}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessSpec:
    """Whom to ask about the production host, beside its own hypervisor."""

    kind: str  # "tcp" | "ping" | "redfish"
    host: str
    port: int = 0
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    system: str | None = None  # Redfish id; without it the board must know exactly one system
    ca_path: str | None = None
    tls_fingerprint: str | None = None
    timeout_s: float = 5.0

    def label(self) -> str:
        port = f":{self.port}" if self.port and (self.kind, self.port) != ("redfish", 443) else ""
        return f"{self.kind} {bracketed(self.host)}{port}"


def bracketed(host: str) -> str:
    """Put an IPv6 address in brackets, as it stands before a port."""
    return f"[{host}]" if ":" in host else host


def read_checks(value: object, variable: str = "dr_checks") -> tuple[Check, ...]:
    """Read ``dr_checks``: a list of mappings with exactly one of tcp and http each."""
    fix = f'write a list, e.g. {variable}: [{{tcp: 1433}}, {{http: "https://gestionale.luca/health"}}]'
    return tuple(_check(one, f"{variable}[{i}]") for i, one in enumerate(listing(value, variable, fix)))


def read_witnesses(value: object, variable: str = "dr_site.witnesses") -> tuple[WitnessSpec, ...]:
    """Read the witnesses of a site: a list of mappings with exactly one of tcp, ping and redfish each."""
    fix = f'write a list, e.g. {variable}: [{{redfish: bmc1.luca.example, user: dr}}, {{tcp: "esx1.luca:22"}}]'
    return tuple(_witness(one, f"{variable}[{i}]") for i, one in enumerate(listing(value, variable, fix)))


def _check(value: object, at: str) -> Check:
    given = _set_keys(mapping(value, at, _CHECK_KEYS))
    kind = _one_of(given, at, ("tcp", "http"), "{tcp: 1433} or {http: 'https://gestionale.luca/health'}")
    if kind == "tcp":
        _refuse_extra(given, at, _HTTP_ONLY, "http")
        host, port = _host_port(given["tcp"], f"{at}.tcp")
        return Check(kind="tcp", host=host, port=port, timeout_s=_timeout(given, at))
    words = {
        key: text(given[key], f"{at}.{key}", "write a text") for key in _HTTP_ONLY if key in given and key != "status"
    }
    if "tls_fingerprint" in words:
        words["tls_fingerprint"] = fingerprint(words["tls_fingerprint"], f"{at}.tls_fingerprint")
    return Check(
        kind="http",
        url=_url(given["http"], f"{at}.http", ("http", "https")).geturl(),
        statuses=_statuses(given.get("status"), f"{at}.status"),
        timeout_s=_timeout(given, at),
        **t.cast("dict[str, t.Any]", words),
    )


def _witness(value: object, at: str) -> WitnessSpec:
    given = _set_keys(mapping(value, at, _WITNESS_KEYS))
    kind = _one_of(given, at, ("tcp", "ping", "redfish"), "{redfish: bmc1.luca.example, user: dr, password: ...}")
    words = {key: text(given[key], f"{at}.{key}", "write a text") for key in _REDFISH_ONLY if key in given}
    timeout_s = _timeout(given, at)
    if kind == "redfish":
        host, port = _redfish_host(given["redfish"], f"{at}.redfish")
        if "tls_fingerprint" in words:
            words["tls_fingerprint"] = fingerprint(words["tls_fingerprint"], f"{at}.tls_fingerprint")
        return WitnessSpec(kind=kind, host=host, port=port, timeout_s=timeout_s, **t.cast("dict[str, t.Any]", words))
    _refuse_extra(given, at, _REDFISH_ONLY, "redfish")
    if kind == "ping":
        return WitnessSpec(kind=kind, host=_host(given["ping"], f"{at}.ping"), timeout_s=timeout_s)
    found, port = _host_port(given["tcp"], f"{at}.tcp")
    if found is None:
        raise bad(f"{at}.tcp", given["tcp"], "names no host", 'write "host:port", e.g. "esx1.luca:22"')
    return WitnessSpec(kind=kind, host=found, port=port, timeout_s=timeout_s)


def fingerprint(value: str, variable: str) -> str:
    """Take a SHA-256 certificate fingerprint, with or without colons, as 64 small hex digits."""
    digits = value.replace(":", "").replace(" ", "").lower()
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise bad(variable, value, "is not a SHA-256 fingerprint", "write its 64 hex digits, colons allowed")
    return digits


def _set_keys(given: Mapping[str, t.Any]) -> dict[str, t.Any]:
    # Ansible fills every option that was not set with None.
    return {key: word for key, word in given.items() if word is not None}


def _one_of(given: Mapping[str, t.Any], at: str, kinds: tuple[str, ...], example: str) -> str:
    found = [kind for kind in kinds if kind in given]
    if len(found) != 1:
        # Only the keys are shown: a witness holds a password.
        raise bad(at, sorted(given), f"does not hold exactly one of {', '.join(kinds)}", f"write e.g. {example}")
    return found[0]


def _refuse_extra(given: Mapping[str, t.Any], at: str, keys: tuple[str, ...], kind: str) -> None:
    for key in keys:
        if key in given:
            raise bad(f"{at}.{key}", "***", f"has a meaning with {kind} only", f"take {at}.{key} out")


def _timeout(given: Mapping[str, t.Any], at: str) -> float:
    return duration(given["timeout"], f"{at}.timeout", least_s=0.1) if "timeout" in given else 5.0


def _host_port(value: object, variable: str) -> tuple[str | None, int]:
    fix = 'write a port, or "host:port" ("[2001:db8::1]:1433" for IPv6)'
    if isinstance(value, str) and ":" in value:
        host, dummy, port = value.strip().rpartition(":")
        if host.count(":") and not host.startswith("["):
            raise bad(variable, value, "is an IPv6 address without brackets", fix)
        return _host(host, variable), whole(port, variable, least=1, most=65535)
    return None, whole(value, variable, least=1, most=65535)


def _host(value: object, variable: str) -> str:
    fix = "write a host name or an address"
    word = text(value, variable, fix)
    # A leading dash would be read as an option by the ping command.
    if not _HOST.fullmatch(word):
        raise bad(variable, value, "is not a host name or an address", fix)
    return word.strip("[]")


def _url(value: object, variable: str, schemes: tuple[str, ...]) -> SplitResult:
    fix = 'write a whole URL, e.g. "https://gestionale.luca/health"'
    word = text(value, variable, fix)
    try:
        parts = urlsplit(word)
        is_url = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        parts, is_url = SplitResult("", "", "", "", ""), False
    if not is_url or any(c.isspace() or not c.isprintable() for c in word):
        raise bad(variable, value, f"is not a URL with {' or '.join(schemes)}", fix)
    if parts.username is not None:
        # The URL stands on the card and in the journal.
        raise bad(variable, "***", "holds a user name or password", "check a page that needs none, or the port by tcp")
    return parts


def _redfish_host(value: object, variable: str) -> tuple[str, int]:
    word = text(value, variable, "write the host of the board, e.g. bmc1.luca.example")
    if "://" in word:
        parts = _url(word, variable, ("https",))
        if parts.path not in ("", "/", "/redfish/v1", "/redfish/v1/"):
            raise bad(variable, value, "holds a path", "write the host alone; the system goes to 'system'")
        return parts.hostname or "", parts.port or 443
    if re.search(r"(?<!:):\d+$", word) and (word.count(":") == 1 or word.startswith("[")):
        host, port = _host_port(word, variable)
        return host or "", port
    return _host(word, variable), 443


def _statuses(value: object, variable: str) -> tuple[int, ...]:
    if value is None:
        return ()
    many = [value] if isinstance(value, (int, str)) else listing(value, variable, "write 200 or [200, 204]")
    return tuple(whole(one, variable, least=100, most=599) for one in many)
