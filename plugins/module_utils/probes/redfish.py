# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The power state of a physical host by its management board (Redfish): the one witness that can say "off"."""

from __future__ import annotations

import base64
import json
import typing as t
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from ansible_collections.ferragosto.dr.plugins.module_utils.core.checks import WitnessSpec, bracketed
from ansible_collections.ferragosto.dr.plugins.module_utils.core.findings import Witness, WitnessSays
from ansible_collections.ferragosto.dr.plugins.module_utils.probes.wire import Answer, ProbeError, Request, fetch

_SYSTEMS = "/redfish/v1/Systems"
_SESSIONS = "/redfish/v1/SessionService/Sessions"
# DMTF's PowerState values; anything unknown proves nothing.
_SAYS = {
    "On": WitnessSays.ALIVE,
    "PoweringOn": WitnessSays.ALIVE,
    "PoweringOff": WitnessSays.ALIVE,
    "Paused": WitnessSays.ALIVE,
    "Off": WitnessSays.OFF,
}


def redfish(spec: WitnessSpec) -> Witness:
    """Ask a board for the power state of its system. Never raises: what cannot be learnt is silence."""
    board = _Board(spec)
    try:
        says, detail = board.power()
    except ProbeError as error:
        says, detail = WitnessSays.SILENT, str(error)
    finally:
        board.log_out()
    return Witness(name=spec.label(), says=says, detail=detail)


class _Board:
    """One conversation with one management board: basic authentication, else a session that is closed again."""

    def __init__(self, spec: WitnessSpec) -> None:
        self._spec = spec
        self._base = f"https://{bracketed(spec.host)}:{spec.port}"
        self._account: dict[str, str] = {}
        self._session: str | None = None
        if spec.user is not None:
            pair = f"{spec.user}:{spec.password or ''}".encode()
            self._account = {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}

    def power(self) -> tuple[WitnessSays, str]:
        path = self._system()
        system = self._get(path)
        state = system.get("PowerState")
        says = _SAYS.get(state, WitnessSays.SILENT) if isinstance(state, str) else WitnessSays.SILENT
        name = system.get("HostName") or system.get("Id") or path
        return says, f"system {name}: PowerState {state if state is not None else 'not shown'}"

    def _system(self) -> str:
        if self._spec.system is not None:
            return f"{_SYSTEMS}/{quote(self._spec.system, safe='')}"
        members = self._get(_SYSTEMS).get("Members")
        links = [m.get("@odata.id") for m in members if isinstance(m, Mapping)] if isinstance(members, list) else []
        paths = [link for link in links if isinstance(link, str)]
        if len(paths) != 1:
            # Another system's "off" would prove the wrong host dead.
            ids = ", ".join(path.rstrip("/").rsplit("/", 1)[-1] for path in paths) or "none"
            raise ProbeError(f"the board knows {len(paths)} systems ({ids}), not one: name one with 'system'")
        return paths[0]

    def _get(self, path: str) -> Mapping[str, t.Any]:
        answer = self._ask("GET", path)
        if answer.status == 401 and self._spec.user is not None and self._session is None:
            self._log_in()
            answer = self._ask("GET", path)
        if answer.status in (401, 403):
            raise ProbeError(f"the board refuses the account (status {answer.status})")
        if answer.status != 200:
            raise ProbeError(f"the board answers {path} with status {answer.status}")
        try:
            document = json.loads(answer.body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise ProbeError(f"the board's answer to {path} is not a JSON object")
        return document

    def _log_in(self) -> None:
        body = json.dumps({"UserName": self._spec.user, "Password": self._spec.password or ""}).encode()
        self._account = {}
        answer = self._ask("POST", _SESSIONS, body)
        token = answer.headers.get("x-auth-token")
        if answer.status not in (200, 201) or not token:
            raise ProbeError(f"the board refuses the account (status {answer.status})")
        self._account = {"X-Auth-Token": token}
        self._session = answer.headers.get("location") or ""

    def log_out(self) -> None:
        """Close the session: boards allow only a few at a time."""
        if not self._session:
            return
        try:
            self._ask("DELETE", urlsplit(self._session).path)
        except ProbeError:
            return  # the board closes it after its own time; the power state is known already

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Answer:
        if not path.startswith("/"):
            raise ProbeError(f"the board points to {path!r}, which is not a path of its own")
        headers = {"Accept": "application/json", "OData-Version": "4.0", **self._account}
        if body is not None:
            headers["Content-Type"] = "application/json"
        return fetch(
            Request(
                url=self._base + path,
                timeout_s=self._spec.timeout_s,
                method=method,
                headers=headers,
                body=body,
                ca_path=self._spec.ca_path,
                tls_fingerprint=self._spec.tls_fingerprint,
                is_bound_to_host=True,
            )
        )
