# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules about rights in the API's schema, which PVE looks at before it proxies a call or reads its parameters."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Callable, Mapping

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import PveError

May: t.TypeAlias = Callable[[str, str], bool]


def check(permissions: t.Any, params: Mapping[str, t.Any], may: May) -> None:
    """Raise 403 in PVE's words where ``{"check": [...]}`` is not fulfilled; a rule of another kind is the handler's."""
    rule = permissions.get("check") if isinstance(permissions, dict) else None
    if rule:
        _check(rule, params, may)


def _check(rule: list[t.Any], params: Mapping[str, t.Any], may: May) -> None:
    kind, *rest = rule
    if kind == "and":
        for part in rest:
            _check(part, params, may)
    elif kind == "or":
        if not any(_holds(part, params, may) for part in rest):
            raise PveError(403, "Permission check failed")
    elif kind == "perm":
        _check_path(rest[0], rest[1], dict(zip(rest[2::2], rest[3::2], strict=True)), params, may)


def _holds(rule: list[t.Any], params: Mapping[str, t.Any], may: May) -> bool:
    try:
        _check(rule, params, may)
    except PveError:
        return False
    return True


def _check_path(
    template: str, privileges: list[str], options: Mapping[str, t.Any], params: Mapping[str, t.Any], may: May
) -> None:
    if options.get("require_param") and options["require_param"] not in params:
        raise PveError(403, "Permission check failed")
    path = re.sub(r"\{([\w-]+)\}", lambda found: str(params.get(found[1], "")), template)
    lacking = [privilege for privilege in privileges if not may(path, privilege)]
    if options.get("any"):
        if len(lacking) == len(privileges):
            raise PveError(403, f"Permission check failed ({path}, {'|'.join(privileges)})")
    elif lacking:
        raise PveError(403, f"Permission check failed ({path}, {lacking[0]})")
