# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How calls are logged in: by an API token (preferred), or by a ticket that is renewed before it dies."""

from __future__ import annotations

import threading
import typing as t
from collections.abc import Mapping
from urllib.parse import urlencode

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Clock, EndpointSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import faults
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.transport import (
    Answer,
    Serializer,
    Session,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import DROPPED, NotSent

RENEW_AFTER_S = 5400.0  # a ticket lives 7200 s: well before its end, and a wait of an hour does not need two
LOGIN_TARGET = "/api2/json/access/ticket"


class Account:
    """Gives every call its headers. ``log_in`` is for tickets only; a token needs none."""

    def __init__(self, spec: EndpointSpec, clock: Clock) -> None:
        self.spec = spec
        self.logins = 0
        self._clock = clock
        self._lock = threading.Lock()
        self._ticket = self._csrf = ""
        self._born_at_s = 0.0
        self._token_headers: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return f"<account {faults.account_of(self.spec)}>"

    @property
    def has_token(self) -> bool:
        return bool(self.spec.api_token_id)

    def check(self) -> None:
        """Refuse credentials that cannot work, before anything is sent."""
        spec, where = self.spec, f"log in to {faults.address_of(self.spec)}"
        if "/" in spec.api_host or not spec.api_host.strip():
            raise BadInput(
                what=f"open {spec.api_host!r}",
                why="api_host is no host name or address",
                next="give the name or address alone, without https:// and path; the port belongs into api_port",
            )
        if self.has_token:
            who = faults.account_of(spec)
            if not spec.api_token_secret:
                raise BadInput(
                    what=where,
                    why="api_token_id is set, api_token_secret is not",
                    next="set api_token_secret in dr_site (from a vault or the environment)",
                )
            user, bang, name = who.partition("!")
            if not (bang and name and "@" in user):
                raise BadInput(
                    what=where,
                    why=f"api_token_id '{spec.api_token_id}' names no user with its realm",
                    next="write it as user@realm!name, for example dr@pve!ferragosto, or set api_user to user@realm",
                )
            self._token_headers = {"Authorization": f"PVEAPIToken={who}={spec.api_token_secret}"}
            return
        for option in ("api_user", "api_password"):
            if not getattr(spec, option):
                raise BadInput(
                    what=where,
                    why=f"neither an API token nor {option} is set for this endpoint",
                    next="set api_token_id and api_token_secret (preferred), or api_user and api_password, in dr_site",
                )
        if "@" not in (spec.api_user or ""):
            raise BadInput(
                what=where,
                why=f"api_user '{spec.api_user}' has no realm",
                next="write user@realm, for example root@pam or dr@pve",
            )

    def headers(self, method: str) -> Mapping[str, str]:
        if self.has_token:
            return self._token_headers
        found = {"Cookie": f"PVEAuthCookie={self._ticket}"}
        if method != "GET":
            found["CSRFPreventionToken"] = self._csrf
        return found

    def cookie(self) -> str:
        """Return the Cookie header's value, "" with a token."""
        return "" if self.has_token else f"PVEAuthCookie={self._ticket}"

    def log_in(self, session: Session, *, after: int | None = None) -> None:
        """Get a ticket where none is there or the one there is old; with ``after``, where nobody did since that login."""
        if self.has_token:
            return
        with self._lock:
            if after is not None and self.logins != after:
                return
            if after is None and self._ticket and self._clock.now_s() - self._born_at_s < RENEW_AFTER_S:
                return
            self._ask(session)

    def _ask(self, session: Session) -> None:
        spec = self.spec
        body = urlencode({"username": spec.api_user or "", "password": spec.api_password or ""}).encode()
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        try:
            answer: Answer = session.exchange("POST", LOGIN_TARGET, body, headers, spec.timeout_s)
        except DROPPED as cause:
            raise NotSent(cause) from cause  # the call that needs this ticket was not sent
        if answer.status_code == 401:
            raise faults.wrong_login(spec, f"{answer.reason or 'authentication failure'} (401)")
        if answer.status_code >= 400:
            words = Serializer.loads_errors(answer)
            raise faults.from_answer(self._what(), answer.status_code, answer.reason, words, spec)
        found: t.Any = Serializer.loads(answer) or {}
        if found.get("NeedTFA"):
            raise BadInput(
                what=self._what(),
                why="this user logs in with a second factor",
                next="use an API token for the collection: api_token_id and api_token_secret",
            )
        self._ticket, self._csrf = str(found.get("ticket") or ""), str(found.get("CSRFPreventionToken") or "")
        self._born_at_s = self._clock.now_s()
        self.logins += 1

    def _what(self) -> str:
        return f"log in to {faults.address_of(self.spec)} as {faults.account_of(self.spec)}"
