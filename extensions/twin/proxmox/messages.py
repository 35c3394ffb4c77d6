# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How PVE reads a request's parameters and words its answers."""

from __future__ import annotations

import gzip
import json
import typing as t
from urllib.parse import parse_qsl

from aiohttp import web

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import Params, PveError

FORMATS = ("json", "extjs")
_HEADERS = {"Cache-Control": "max-age=0", "Pragma": "no-cache", "Server": "pve-api-daemon/3.0"}
_TIMES = {"ctime", "endtime", "last_sync", "last_try", "localtime", "next_sync", "snaptime", "starttime", "time"}
_COMPRESSED_FROM = 1024  # bytes
_EPOCHS = 10**8  # less is a flag or a duration
_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    500: "Internal Server Error",
    501: "Not Implemented",
}


class Given(dict[str, t.Any]):
    """A call's parameters. What a handler cannot do without and nobody gave is refused as PVE refuses it."""

    def __missing__(self, name: str) -> t.NoReturn:
        raise PveError(400, "Parameter verification failed.", {name: "property is missing and it is not optional"})


def read_params(request: web.BaseRequest, body: bytes) -> Params:
    """Query and body together; a name that comes more than once is a list."""
    params: Params = {}
    pairs = parse_qsl(request.rel_url.raw_query_string, keep_blank_values=True)
    if body and request.method not in ("POST", "PUT"):
        raise PveError(501, f"Unexpected content for method '{request.method}'")
    if body:
        if request.content_type == "application/json":
            params.update(_from_json(body))
        elif request.content_type in ("application/x-www-form-urlencoded", "application/octet-stream"):
            pairs += parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
        else:
            raise PveError(501, f"Unsupported content type '{request.content_type}'")
    for name, value in pairs:
        if name not in params:
            params[name] = value
        elif isinstance(params[name], list):
            params[name].append(value)
        else:
            params[name] = [params[name], value]
    return params


def _from_json(body: bytes) -> Params:
    try:
        content = json.loads(body)
    except ValueError as bad:
        raise PveError(400, f"malformed JSON string: {bad}") from None
    if not isinstance(content, dict):
        raise PveError(400, "JSON body must be an object")
    return {name: _as_text(value) for name, value in content.items() if value is not None}


def _as_text(value: t.Any) -> t.Any:
    """All values are text to PVE, whatever way they came; JSON's booleans are Perl's 1 and 0."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, (int, float)):
        return str(value)
    return [_as_text(item) for item in value] if isinstance(value, list) else value


def skewed(data: t.Any, seconds: float) -> t.Any:
    """What a node says whose clock is so many seconds fast: every time in it is."""
    if isinstance(data, list):
        return [skewed(item, seconds) for item in data]
    if not isinstance(data, dict):
        return data
    return {
        name: value + int(seconds)
        if name in _TIMES and isinstance(value, (int, float)) and value > _EPOCHS
        else skewed(value, seconds)
        for name, value in data.items()
    }


def answer(style: str, data: t.Any, accepts: str = "") -> web.Response:
    content: dict[str, t.Any] = {"data": data}
    if style == "extjs":
        content["success"] = 1
    return _response(200, "OK", json.dumps(content, separators=(",", ":"), default=str).encode(), accepts)


def refusal(style: str, error: PveError) -> web.Response:
    """The reason phrase holds the first line of the message; the body holds all of it."""
    message = error.text or _REASONS.get(error.status, "")
    content: dict[str, t.Any] = {"data": None, "message": f"{message.rstrip()}\n"}
    if error.errors:
        content["errors"] = error.errors
    if style == "extjs":
        content |= {"success": 0, "status": error.status}
        return _response(200, "OK", json.dumps(content).encode())
    return _response(error.status, message, json.dumps(content).encode())


def unreachable(error: PveError) -> web.Response:
    """What a node says that could not reach another one: the words of AnyEvent's HTTP client, and no body."""
    return _response(error.status, error.text, b"")


def login_required(error: PveError) -> web.Response:
    """What a caller hears whom nobody knows: no body, and the connection ends."""
    return _response(error.status, error.text, b"")


def _response(status: int, message: str, body: bytes, accepts: str = "") -> web.Response:
    lines = message.strip().splitlines() or [""]
    # a header is Latin-1; what it cannot hold is in the body
    reason = lines[0].encode("latin-1", "replace").decode("latin-1") or _REASONS.get(status, "Error")
    response = web.Response(
        status=status, reason=reason, body=body, content_type="application/json", charset="UTF-8", headers=_HEADERS
    )
    if status >= 400:
        response.force_close()  # pveproxy ends the connection after every error
    elif len(body) > _COMPRESSED_FROM and "gzip" in accepts:
        response.body = gzip.compress(body, 6)
        response.headers["Content-Encoding"] = "gzip"
    return response
