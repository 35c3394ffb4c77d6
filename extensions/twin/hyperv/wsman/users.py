# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The accounts that a host lets in, in every spelling that Windows takes, and the file that pyspnego's acceptor reads."""

from __future__ import annotations

import contextlib
import hmac
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from spnego._ntlm_raw.crypto import ntowfv1  # the acceptor's own hash: Python's OpenSSL has no MD4 any more

# pyspnego finds its users, and Kerberos its keys, by the environment of the whole process; hosts have users of their own.
_ENVIRONMENT = threading.RLock()


@dataclass(frozen=True, slots=True)
class User:
    """An account of the host, or with a ``domain`` (NetBIOS name) of its domain; ``dns_domain`` allows user@domain."""

    name: str
    password: str
    domain: str = ""
    dns_domain: str = ""
    may_log_on: bool = True  # is in Remote Management Users or Administrators

    @property
    def account(self) -> str:
        return f"{self.domain}\\{self.name}" if self.domain else self.name

    def spellings(self, host: str) -> list[str]:
        plain = host.partition(".")[0]
        domains = [self.domain] if self.domain else [".", plain, host]
        spelled = [self.name, *(f"{domain}\\{self.name}" for domain in dict.fromkeys(domains))]
        return [*spelled, f"{self.name}@{self.dns_domain}"] if self.dns_domain else spelled


class Users:
    """All accounts of one host. They may be changed while it runs."""

    def __init__(self, host: str, users: Iterable[User], keytab: Path | None = None) -> None:
        self.host, self.keytab = host, keytab
        self._folder = tempfile.TemporaryDirectory(prefix="twin-accounts-")
        self._file = Path(self._folder.name) / "accounts"
        self._users: dict[str, User] = {}
        self.replace(users)

    def replace(self, users: Iterable[User]) -> None:
        """Have these from now on: a password changed, an account gone."""
        spelled = {spelling.casefold(): user for user in users for spelling in user.spellings(self.host)}
        lines = [f"{spelling}:0:{'0' * 32}:{_nt_hash(user.password)}:[U]:LCT-0" for spelling, user in spelled.items()]
        with _ENVIRONMENT:
            self._users = spelled
            self._file.touch(mode=0o600)
            self._file.write_text("\n".join([*lines, ""]), encoding="utf-8")

    def find(self, spelling: str) -> User | None:
        return self._users.get(spelling.casefold())

    def check(self, spelling: str, password: str) -> User | None:
        """Find who says this password; None for a wrong one."""
        user = self.find(spelling)
        is_right = hmac.compare_digest((user.password if user else "").encode(), password.encode())
        return user if is_right else None

    @contextlib.contextmanager
    def consulted(self) -> Iterator[None]:
        """Let the acceptor see these accounts, and no other host's, while the block lasts."""
        wanted = {"NTLM_USER_FILE": str(self._file)}
        if self.keytab is not None:
            wanted |= {"KRB5_KTNAME": f"FILE:{self.keytab}", "KRB5RCACHENAME": "none:"}
        with _ENVIRONMENT:
            before = {name: os.environ.get(name) for name in wanted}
            os.environ.update(wanted)
            try:
                yield
            finally:
                for name, value in before.items():
                    if value is None:
                        os.environ.pop(name, None)
                    else:
                        os.environ[name] = value

    def end(self) -> None:
        self._folder.cleanup()


def _nt_hash(password: str) -> str:
    return ntowfv1(password).hex().upper()
