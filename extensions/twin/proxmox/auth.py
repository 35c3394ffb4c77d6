# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who calls: users, API tokens, tickets and CSRF tokens of one cluster, on top of its rights."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.rights import Acl
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import PveError

TICKET_LIFE_S = 2 * 3600
FAILED_AUTH_DELAY_S = 3.0
ROOT = "root@pam"
USER = "dr@pve"
_OPERATOR = (("/vms", "DRFailover"), ("/storage", "DRFailoverStorage"), ("/sdn/zones", "DRFailoverNetwork"))
_TICKET = re.compile(r"(?:^|\s)PVEAuthCookie[= ]([^;]*)")
_TOKEN = re.compile(r"(?:^|\s)PVEAPIToken[= ]([^\s:/!]+@[\w.-]+)!([\w.-]+)=([^;]+)")


@dataclass(frozen=True, slots=True)
class Key:
    """An API token as a client holds it."""

    user: str
    token_id: str
    secret: str

    @property
    def header(self) -> dict[str, str]:
        return {"Authorization": f"PVEAPIToken={self.user}!{self.token_id}={self.secret}"}


def _key(token_id: str) -> Key:
    return Key(USER, token_id, str(uuid.uuid4()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The secrets of the users that every twin has from the start."""

    root_password: str = field(default_factory=lambda: secrets.token_hex(12))
    operator: Key = field(default_factory=lambda: _key("operator"))  # may do a failover, and no more
    high_availability: Key = field(default_factory=lambda: _key("ha"))  # the operator's rights and Sys.Console
    assess: Key = field(default_factory=lambda: _key("assess"))  # may only read
    blind: Key = field(default_factory=lambda: _key("blind"))  # a valid token without a single right


@dataclass(frozen=True, slots=True)
class Identity:
    user: str
    token_id: str = ""

    @property
    def who(self) -> str:
        return f"{self.user}!{self.token_id}" if self.token_id else self.user

    @property
    def is_root(self) -> bool:
        """A token of root is not root: what only root@pam may do needs a ticket."""
        return self.user == ROOT and not self.token_id


@dataclass(slots=True)
class User:
    name: str
    password: str = ""
    is_enabled: bool = True
    tokens: dict[str, Token] = field(default_factory=dict)


@dataclass(slots=True)
class Token:
    id: str
    secret: str
    is_separate: bool = True  # privsep: rights are those of the user that the token was granted too
    expires_s: float = 0.0


class AuthFailed(PveError):
    """401: PVE answers it late, and closes the connection."""

    def __init__(self, text: str) -> None:
        super().__init__(401, text)


class Access:
    """The user database of one cluster or standalone node."""

    def __init__(
        self, now_s: Callable[[], float], keys: Keys | None = None, pool_of: Callable[[str], str] = lambda path: ""
    ) -> None:
        self.now_s, self.keys, self.acl = now_s, keys or Keys(), Acl(pool_of)
        self.users: dict[str, User] = {}
        self.cluster_name = ""
        self.skews: Mapping[str, float] = {}  # node -> seconds that its clock is fast
        self._signing_key = secrets.token_bytes(32)
        self.add_user(ROOT, self.keys.root_password)
        self.add_user(USER)
        for key, role in (
            (None, "DRHighAvailability"),
            (self.keys.operator, "DRAssess"),
            (self.keys.high_availability, "DRHighAvailability"),
        ):
            # both are needed: what a token with privilege separation may do is what its user may do too
            who = USER
            if key is not None:
                self.add_token(key)
                who = f"{USER}!{key.token_id}"
            for path, held in (("/", role), *_OPERATOR):
                self.acl.grant(who, path, held)
        self.add_token(self.keys.assess)
        self.acl.grant(f"{USER}!{self.keys.assess.token_id}", "/", "DRAssess")
        self.add_token(self.keys.blind)

    # --- users -------------------------------------------------------------------------------------------------------

    def add_user(self, name: str, password: str = "") -> User:
        self.users[name] = User(name, password)
        return self.users[name]

    def add_token(self, key: Key, *, is_separate: bool = True, expires_s: float = 0.0) -> None:
        if key.user not in self.users:
            raise ValueError(f"no user {key.user!r}; there are {', '.join(sorted(self.users))}")
        self.users[key.user].tokens[key.token_id] = Token(key.token_id, key.secret, is_separate, expires_s)

    def end_sessions(self) -> None:
        """Let every ticket given out so far be invalid."""
        self._signing_key = secrets.token_bytes(32)

    # --- rights ------------------------------------------------------------------------------------------------------

    def privileges(self, identity: Identity, path: str) -> dict[str, bool]:
        """What this caller may do on a path, and whether it propagates."""
        if identity.user == ROOT:
            of_user = dict.fromkeys(self.acl.roles["Administrator"], True)
        else:
            of_user = self.acl.privileges(identity.user, path)
        token = self._token(identity)
        if token is None or not token.is_separate:
            return of_user
        of_token = self.acl.privileges(identity.who, path)
        return {p: of_user[p] and of_token[p] for p in of_token if p in of_user}

    def may(self, identity: Identity, path: str, privilege: str) -> bool:
        return privilege in self.privileges(identity, path)

    def _token(self, identity: Identity) -> Token | None:
        user = self.users.get(identity.user)
        return user.tokens.get(identity.token_id) if user is not None and identity.token_id else None

    # --- who calls ---------------------------------------------------------------------------------------------------

    def identify(self, method: str, headers: Mapping[str, str], node: str = "") -> Identity:
        """Tell who sends a request to a node, by its API token or its ticket; raises AuthFailed in PVE's words."""
        authorization = headers.get("Authorization", "")
        # a ticket goes before a token, wherever it is
        found = _TICKET.search(headers.get("Cookie", "")) or _TICKET.search(authorization)
        if found is None or not found[1]:
            if "PVEAPIToken" in authorization:
                return self._by_token(unquote(authorization), node)
            raise AuthFailed("No ticket")
        user = self.check_ticket(unquote(found[1].strip().strip('"')), node)
        if method != "GET":
            self._check_csrf(user, headers.get("CSRFPreventionToken", ""), node)
        return Identity(user)

    def _by_token(self, authorization: str, node: str) -> Identity:
        found = _TOKEN.search(authorization)
        if found is None:
            raise AuthFailed("Authentication failed!")
        user = self.users.get(found[1])
        token = user.tokens.get(found[2]) if user is not None and user.is_enabled else None
        if token is None or not hmac.compare_digest(token.secret.encode(), found[3].encode()):
            raise AuthFailed("Authentication failed!")
        if token.expires_s and token.expires_s < self._now_at(node):
            raise AuthFailed("Authentication failed!")
        return Identity(found[1], found[2])

    def log_in(self, name: str, password: str, node: str = "") -> tuple[str, str]:
        """Return a ticket and its CSRF token, for a password or for a ticket that is still valid."""
        user = self.users.get(name)
        if user is None or not user.is_enabled or not password or not self._knows(user, password, node):
            raise AuthFailed("authentication failure")
        return self._signed("PVE", name, node), self._signed("CSRF", name, node, short=True)

    def _knows(self, user: User, password: str, node: str) -> bool:
        if password.startswith("PVE:"):
            try:
                return self.check_ticket(password, node) == user.name
            except AuthFailed:
                return False
        return bool(user.password) and hmac.compare_digest(user.password.encode(), password.encode())

    # --- tickets -----------------------------------------------------------------------------------------------------

    def check_ticket(self, ticket: str, node: str = "") -> str:
        """Return the ticket's user; a ticket lives two hours by the clock of the node that is asked."""
        parts = re.match(r"^PVE:(.+):([0-9A-F]{8})::(\S+)$", ticket)
        if parts is not None and self._is_signed("PVE", parts[1], parts[2], parts[3]):
            age_s = self._now_at(node) - int(parts[2], 16)
            user = self.users.get(parts[1])
            if -300 < age_s <= TICKET_LIFE_S and user is not None and user.is_enabled:
                return parts[1]
        raise AuthFailed("Authentication failed!")

    def _check_csrf(self, user: str, token: str, node: str) -> None:
        stamp, dummy, signature = token.partition(":")
        if not re.match(r"^[0-9A-F]{8}$", stamp) or not self._is_signed("CSRF", user, stamp, signature):
            raise AuthFailed("Permission denied - invalid csrf token")
        if not -300 < self._now_at(node) - int(stamp, 16) <= TICKET_LIFE_S:
            raise AuthFailed("Permission denied - invalid csrf token")

    def _now_at(self, node: str) -> float:
        return self.now_s() + self.skews.get(node, 0.0)

    def _signed(self, kind: str, user: str, node: str, *, short: bool = False) -> str:
        stamp = f"{int(self._now_at(node)):08X}"
        signature = self._signature(kind, user, stamp)
        return f"{stamp}:{signature}" if short else f"{kind}:{user}:{stamp}::{signature}"

    def _is_signed(self, kind: str, user: str, stamp: str, signature: str) -> bool:
        return hmac.compare_digest(self._signature(kind, user, stamp).encode(), signature.encode())

    def _signature(self, kind: str, user: str, stamp: str) -> str:
        text = f"{kind}:{user}:{stamp}".encode()
        return base64.b64encode(hmac.new(self._signing_key, text, hashlib.sha256).digest()).decode()
