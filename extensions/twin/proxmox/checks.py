# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Single values against PVE's JSON schema: types, enumerations, bounds, patterns, formats, property strings."""

from __future__ import annotations

import functools
import re
import typing as t

Json: t.TypeAlias = "dict[str, t.Any]"

FLIP = "number as text, or text as number"
_INTEGER = re.compile(r"[+-]?\d+")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_PERL_FLAGS = re.compile(r"\(\?\^([a-z]*):")
_LIST = re.compile(r"[,;\s\0]+")
_TRUE, _FALSE = ("1", "on", "yes", "true"), ("0", "off", "no", "false")

_NAME = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)"

# The formats that matter to this twin; those that are not here are not checked.
_FORMATS: dict[str, tuple[str, str]] = {
    "dns-name": (rf"(?:{_NAME}\.)*{_NAME}", "value does not look like a valid DNS name"),
    "mac-addr": (
        r"[a-fA-F0-9][02468aceACE](?::[a-fA-F0-9]{2}){5}",
        "value does not look like a valid unicast MAC address",
    ),
    "pve-configid": (r"[a-zA-Z][\w-]+", "invalid configuration ID '{}'"),
    "pve-ha-resource-or-vm-id": (r"(?:(?:vm|ct):)?[1-9][0-9]{2,8}", "unable to parse ha resource id '{}'"),
    "pve-node": (_NAME, "value does not look like a valid node name"),
    "pve-replication-job-id": (r"[1-9][0-9]{2,8}-\d{1,9}", "invalid replication job id '{}'"),
    "pve-storage-id": (r"[a-zA-Z][a-zA-Z0-9\-_.]*[a-zA-Z0-9]", "storage ID '{}' contains illegal characters"),
    "pve-tag": (r"[a-zA-Z0-9_][a-zA-Z0-9_\-+.]*", "invalid characters in tag"),
    "pve-vmid": (r"[1-9][0-9]{2,8}", "value does not look like a valid VM ID"),
    "pve-volume-id": (r"[a-zA-Z][a-zA-Z0-9\-_.]*[a-zA-Z0-9]:.+", "unable to parse volume ID '{}'"),
}


def parameter(name: str, spec: Json, value: t.Any) -> str:
    """Return PVE's complaint about a request's value, "" if there is none."""
    if "oneOf" in spec:
        complaints = [parameter(name, {**spec, **one, "oneOf": None}, value) for one in spec["oneOf"] or []]
        if complaints:
            return "" if "" in complaints else complaints[0]
    kind = spec.get("type", "string")
    if kind == "array":
        items = value if isinstance(value, list) else [value]
        return next((c for item in items if (c := parameter(name, spec.get("items") or {}, item))), "")
    if isinstance(value, (list, dict)):
        return f"type check ('{kind}') failed - got {'ARRAY' if isinstance(value, list) else 'HASH'}"
    text = str(value)
    return _type(kind, text) or _format(name, spec, text) or _bounds(kind, spec, text)


def _type(kind: str, text: str) -> str:
    fits = {
        "boolean": text in ("0", "1"),
        "integer": _INTEGER.fullmatch(text) is not None,
        "number": _NUMBER.fullmatch(text) is not None,
    }.get(kind, True)
    return "" if fits else f"type check ('{kind}') failed - got '{text}'"


def _bounds(kind: str, spec: Json, text: str) -> str:
    pattern = _perl(spec["pattern"]) if "pattern" in spec else None
    if pattern is not None and pattern.fullmatch(text) is None:
        return "value does not match the regex pattern"
    if len(text) > int(spec.get("maxLength", len(text))):
        return f"value may only be {spec['maxLength']} characters long"
    if len(text) < int(spec.get("minLength", 0)):
        return f"value must be at least {spec['minLength']} characters long"
    if kind in ("integer", "number"):
        if "maximum" in spec and float(text) > float(spec["maximum"]):
            return f"value must have a maximum value of {spec['maximum']}"
        if "minimum" in spec and float(text) < float(spec["minimum"]):
            return f"value must have a minimum value of {spec['minimum']}"
    if "enum" in spec and text not in map(str, spec["enum"]):
        return f"value '{text}' does not have a value in the enumeration '{', '.join(map(str, spec['enum']))}'"
    return ""


def _format(name: str, spec: Json, text: str) -> str:
    form = spec.get("format")
    if isinstance(form, dict):
        complaints = _property_string(name, form, text)
        return f"invalid format - {complaints}\n" if complaints else ""
    if not isinstance(form, str):
        return ""
    pattern, words = _FORMATS.get(form.removesuffix("-list").removesuffix("-opt"), ("", ""))
    for part in _LIST.split(text) if form.endswith("-list") else [text]:
        if pattern and part and re.fullmatch(pattern, part) is None:
            return f"invalid format - {words.format(part)}\n"
    return ""


def _property_string(name: str, form: Json, text: str) -> str:
    """``virtio=BC:24:..,bridge=vmbr0``: what does not parse, or one complaint a line."""
    given: dict[str, str] = {}
    default_key = next((key for key, spec in form.items() if spec.get("default_key")), "")
    for part in (p.strip() for p in text.split(",") if p.strip()):
        key, sign, value = part.partition("=")
        if not sign:
            if not default_key:
                return "value without key, but schema does not define a default key"
            key, value = default_key, part
        if not key or not value:
            return "missing key in comma-separated list property"
        if "alias" in form.get(key, {}):
            if "keyAlias" in form[key]:
                given[form[key]["keyAlias"]] = key
            key = form[key]["alias"]
        if key in given:
            return f"duplicate key in comma-separated list property: {key}"
        if key not in form:
            return f"invalid key in comma-separated list property: {key}"
        given[key] = _normal(form[key], value)
    lines = [
        f"{name}.{key}: {complaint}" for key, value in given.items() if (complaint := parameter(key, form[key], value))
    ]
    for key, spec in form.items():
        if key not in given and "alias" not in spec and str(spec.get("optional", 0)) == "0":
            lines.append(f"{name}.{key}: property is missing and it is not optional")
    return "\n".join(["format error", *lines]) if lines else ""


def _normal(spec: Json, value: str) -> str:
    """In a property string a boolean may be a word."""
    if spec.get("type") == "boolean":
        return "1" if value.lower() in _TRUE else "0" if value.lower() in _FALSE else value
    return value


def reply_type(kind: str, value: t.Any) -> str:
    """Return what is wrong with the type of a reply's value; FLIP for what PVE itself mixes up."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    fits = {
        "null": value is None or value == "",
        "string": isinstance(value, str),
        "integer": isinstance(value, int) and not isinstance(value, bool),
        "number": is_number,
        "boolean": value in (0, 1) and is_number,
        "array": isinstance(value, list),
        "object": isinstance(value, dict),
    }.get(kind, True)
    if fits:
        return ""
    if kind in ("integer", "number", "boolean") and isinstance(value, str) and _NUMBER.fullmatch(value):
        return FLIP
    if kind == "string" and is_number:
        return FLIP
    return f"{kind} expected, not {type(value).__name__} ({str(value)[:60]!r})"


@functools.cache
def _perl(pattern: str) -> re.Pattern[str] | None:
    """A Perl pattern as Python's; None where Python cannot read it."""
    try:
        return re.compile(_PERL_FLAGS.sub(lambda found: f"(?{found[1]}:", pattern))
    except re.error:
        return None
