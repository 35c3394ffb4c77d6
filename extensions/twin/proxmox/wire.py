# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What passes between the doors (HTTPS, SSH, VNC) and the datacenter: calls, errors, the route table, screens."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

Params: t.TypeAlias = "dict[str, t.Any]"
Handler: t.TypeAlias = "Callable[[t.Any, Call], t.Any]"
_H = t.TypeVar("_H", bound="Callable[..., t.Any]")


class PveError(Exception):
    """An answer that is not 2xx; ``text`` is the reason phrase, as PVE sends it, ``errors`` its per-parameter words.

    ``delay_s``: how long PVE takes to say so, in seconds of the world; the door waits them, nobody else.
    """

    def __init__(
        self, status: int, text: str, errors: Mapping[str, str] | None = None, *, delay_s: float = 0.0
    ) -> None:
        super().__init__(f"{status} {text}")
        self.status, self.text, self.errors, self.delay_s = status, text, dict(errors or {}), delay_s


class Screen(StrEnum):
    """What a guest shows on its display."""

    NONE = "none"  # off
    FIRMWARE = "firmware"
    BOOT = "boot"
    LOGIN = "login"
    BLUE_SCREEN = "blue_screen"
    PANIC = "panic"
    FROZEN = "frozen"  # the last picture of a guest that hangs: its desktop


class Given(dict[str, t.Any]):
    """Parameters of a call; one that a handler cannot do without is asked for in PVE's words."""

    def __missing__(self, name: str) -> t.Any:
        words = "property is missing and it is not optional"
        raise PveError(400, "Parameter verification failed.", {name: words})


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One API call, authenticated. ``node`` is the node that carries it out (after proxying), "" for cluster calls."""

    method: str  # GET POST PUT DELETE
    path: str  # "/nodes/pve1/qemu/100/config"
    template: str  # "/nodes/{node}/qemu/{vmid}/config"
    args: Mapping[str, str]  # from the path
    params: Params  # query or body, as typed by the caller (text), after schema coercion where the schema is known
    user: str  # "root@pam", "dr@pve"; without the token's id
    token_id: str = ""
    node: str = ""
    door_node: str = ""  # the node whose door the call came in by
    may: Callable[[str, str], bool] = field(default=lambda path, privilege: True)  # (acl path, privilege)

    @property
    def vmid(self) -> int:
        return int(self.args["vmid"])

    def require(self, path: str, *privileges: str) -> None:
        """Raise 403 in PVE's words unless the caller holds every privilege on the ACL path."""
        for privilege in privileges:
            if not self.may(path, privilege):
                raise PveError(403, f"Permission check failed ({path}, {privilege})")

    def require_any(self, path: str, *privileges: str) -> None:
        """Raise 403 unless the caller holds at least one of the privileges on the ACL path."""
        if not any(self.may(path, privilege) for privilege in privileges):
            raise PveError(403, f"Permission check failed ({path}, {'|'.join(privileges)})")

    def flag(self, name: str, default: bool = False) -> bool:
        """Read a boolean parameter; PVE takes 1, on, yes and true, in any case."""
        value = self.params.get(name)
        return default if value is None else str(value).lower() in ("1", "on", "yes", "true")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    method: str
    template: str
    handler: Handler
    is_proxied: bool  # has {node}: carried out on that node

    @property
    def pattern(self) -> re.Pattern[str]:
        # a volume's name may hold slashes; it is always the last part
        text = self.template.replace("{volume}", "(?P<volume>.+)")
        return re.compile("^" + re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", text) + "$")


class RouteTable:
    """The API calls that the twin knows. ``calls_*.py`` fill it; the HTTPS door looks them up."""

    def __init__(self) -> None:
        self.routes: list[Route] = []
        self._patterns: list[tuple[str, re.Pattern[str], Route]] = []

    def add(self, method: str, template: str, *, is_proxied: bool | None = None) -> Callable[[_H], _H]:
        """Register ``handler(datacenter, call)``; what it returns is the reply's ``data``. It may raise PveError."""

        def keep(handler: _H) -> _H:
            proxied = "{node}" in template if is_proxied is None else is_proxied
            route = Route(method=method, template=template, handler=handler, is_proxied=proxied)
            self.routes.append(route)
            self._patterns.append((method, route.pattern, route))
            return handler

        return keep

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """Return the route and the path's arguments; 501 as PVE answers for what it does not know."""
        for known, pattern, route in self._patterns:
            if known == method and (match := pattern.match(path)) is not None:
                return route, match.groupdict()
        raise PveError(501, f"Method '{method} {path}' not implemented")


ROUTES = RouteTable()
