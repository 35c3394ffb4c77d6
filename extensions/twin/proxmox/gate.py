# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a node's door does with each request: faults, who calls, which node carries it out, the engine, the answer."""

from __future__ import annotations

import asyncio
import contextlib
import typing as t
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import formatdate
from functools import partial
from urllib.parse import unquote

from aiohttp import web

from ansible_collections.ferragosto.dr.extensions.twin.proxmox import messages, permissions, root_only, vnc
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.auth import (
    FAILED_AUTH_DELAY_S,
    Access,
    AuthFailed,
    Identity,
)
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.calls_access import ACCESS_ROUTES, FOR_EVERYBODY
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.door import Handle
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.faults import (
    OF_SITES,
    CutConnection,
    Fault,
    Faults,
    Seen,
)
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.schema import Schema
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.vnc import VNC_ROUTES
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import (
    ROUTES,
    Call,
    Params,
    PveError,
    Route,
    RouteTable,
)

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter


_LOG_SIZE = 20_000


@dataclass(slots=True)
class Place:
    """One node, the cluster that it is in, and that cluster's users."""

    node: str
    datacenter: Datacenter
    access: Access
    certificate: str = "good"

    @property
    def is_online(self) -> bool:
        return self.datacenter.nodes[self.node].is_online

    def log(self, line: str) -> None:
        world = self.datacenter.world
        with world.lock:
            world.log.append((world.clock.now_s(), f"{self.node}: {line}"))
            if len(world.log) > _LOG_SIZE:
                del world.log[: _LOG_SIZE // 10]


@dataclass(slots=True)
class Exchange:
    """One request on its way."""

    place: Place
    request: web.BaseRequest
    path: str
    params: Params
    route: Route | None
    args: dict[str, str]
    is_of_access: bool = False
    was_counted: bool = False

    def find(self) -> None:
        self.is_of_access = self.path.startswith("/access/")
        with contextlib.suppress(PveError):
            self.route, self.args = self._table.find(self.request.method, self.path)

    @property
    def _table(self) -> RouteTable:
        if self.is_of_access:
            return ACCESS_ROUTES
        return VNC_ROUTES if self.path.endswith("/vncwebsocket") else ROUTES

    @property
    def is_websocket(self) -> bool:
        return self._table is VNC_ROUTES and self.request.headers.get("Upgrade", "").lower() == "websocket"

    @property
    def template(self) -> str:
        return self.route.template if self.route is not None else self.path

    @property
    def line(self) -> str:
        return f"{self.request.method} {self.template}"

    @property
    def seen(self) -> Seen:
        vmid = self.args.get("vmid", "")
        node = self.args.get("node", self.place.node)
        return Seen(self.request.method, self.path, self.template, node, int(vmid) if vmid.isdecimal() else 0)


class Gate:
    def __init__(
        self,
        *,
        faults: Faults,
        schema: Schema | None,
        pace: float,
        latency_s: float,
        settle: Callable[[], Awaitable[None]],
    ) -> None:
        self.places: dict[str, Place] = {}
        self.faults, self.schema, self.pace, self.latency_s = faults, schema, pace, latency_s
        self._settle = settle

    def handler(self, node: str) -> Handle:
        return partial(self._handle, node)

    async def wait(self, place: Place, seconds: float) -> None:
        """Let so many seconds of the world pass, at the doors' pace; nobody else waits."""
        if seconds > 0:
            await asyncio.sleep(place.datacenter.world.clock.real_s(seconds) * self.pace)

    # --- one request -------------------------------------------------------------------------------------------------

    async def _handle(self, node: str, request: web.BaseRequest) -> web.StreamResponse:
        try:
            if self.latency_s > 0:
                await asyncio.sleep(self.latency_s)
            return await self._answer(self.places[node], request)
        except CutConnection:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()

    async def _answer(self, place: Place, request: web.BaseRequest) -> web.StreamResponse:
        dummy, api, style, path = (unquote(request.rel_url.raw_path).split("/", 3) + ["", "", ""])[:4]
        if api != "api2":
            return web.Response(text=f"Proxmox VE {place.node}: the API is below /api2/json\n")
        if style not in messages.FORMATS:
            return web.Response(status=501, reason="no such uri")
        body = await request.read()
        exchange = Exchange(place, request, f"/{path.strip('/')}", {}, None, {})
        exchange.find()
        place.log(exchange.line)
        struck, reply = self.faults.strike(exchange.seen), None
        try:
            await self.before(struck, place)
            exchange.params = messages.read_params(request, body)
            call = await self._call(exchange)
            if exchange.is_websocket:
                return await vnc.serve(request, place.datacenter, call, vnc.console_for(place.datacenter, call))
            reply = self._carry_out(exchange, call)
            response = messages.answer(style, reply, request.headers.get("Accept-Encoding", ""))
        except AuthFailed as refused:
            await self.wait(place, FAILED_AUTH_DELAY_S)
            response = messages.login_required(refused)
        except PveError as refused:
            await self.wait(place, FAILED_AUTH_DELAY_S if refused.status == 401 else refused.delay_s)
            response = _refusal(style, refused)
        finally:
            self._count(exchange)
        instead = await self.after(struck, place, reply)
        if instead is not None:
            response = _refusal(style, instead)
        now_s = place.datacenter.now_s() + self.faults.site.skews.get(place.node, 0.0)
        response.headers["Date"] = formatdate(now_s, usegmt=True)
        return response

    async def _call(self, exchange: Exchange) -> Call:
        """Tell who calls, what, and where; raises what is refused before a node looks into it."""
        place, method, route = exchange.place, exchange.request.method, exchange.route
        identity = None
        if (method, exchange.path) not in FOR_EVERYBODY:
            identity = place.access.identify(method, exchange.request.headers, place.node)
            if identity.token_id:
                root_only.refuse_tokens(method, exchange.template)
        if route is None:
            raise PveError(501, f"Method '{method} {exchange.path}' not implemented")
        may = partial(place.access.may, identity or Identity(""))
        if self.schema is not None:
            permissions.check(
                self.schema.permissions(method, route.template), {**exchange.params, **exchange.args}, may
            )
        node = await self._node_for(exchange)
        params = self._checked(exchange)
        if identity is None or not identity.is_root:
            root_only.refuse(method, route.template, params)
        identity = identity or Identity("")
        return Call(
            method=method,
            path=exchange.path,
            template=route.template,
            args=exchange.args,
            params=params,
            user=identity.user,
            token_id=identity.token_id,
            node=node,
            door_node=place.node,
            may=may,
        )

    def _carry_out(self, exchange: Exchange, call: Call) -> t.Any:
        place, route = exchange.place, exchange.route
        if route is None:
            raise PveError(501, f"Method '{call.method} {call.path}' not implemented")
        if exchange.is_of_access:
            data = route.handler(place.access, call)
        else:
            exchange.was_counted = True  # the engine counts what comes so far
            data = place.datacenter.carry_out(route, call)
            if skew_s := self.faults.site.skews.get(call.node, 0.0):
                data = messages.skewed(data, skew_s)
        if self.schema is not None:
            self.schema.reply(call.method, route.template, data)
        return data

    async def _node_for(self, exchange: Exchange) -> str:
        """Return the node that carries the call out; raises 595 when this one cannot reach it."""
        place, node = exchange.place, exchange.args.get("node", "")
        if exchange.route is None or not exchange.route.is_proxied or not node:
            return place.node
        if node == "localhost":
            exchange.args["node"] = place.node
            return place.node
        if node not in place.datacenter.nodes:
            words = f"failed to get address info for: {node}: Name or service not known"
            raise PveError(500, f"hostname lookup '{node}' failed - {words}")
        if node != place.node and not place.datacenter.nodes[node].is_online:
            raise PveError(595, "No route to host", delay_s=place.datacenter.timing.no_route_s)
        return node

    def _checked(self, exchange: Exchange) -> Params:
        params = messages.Given(exchange.params)
        for name, value in exchange.args.items():
            if str(params.pop(name, value)) != value:
                words = "duplicate parameter (already defined in URI) with conflicting values!"
                raise PveError(400, "Parameter verification failed.", {name: words})
        if exchange.route is None:
            return params
        if self.schema is None:
            _check_booleans(params)
            return params
        self.schema.request(exchange.route.method, exchange.route.template, exchange.args, params)
        return params

    def _count(self, exchange: Exchange) -> None:
        """Count what did not come as far as the engine, which counts the rest."""
        if not exchange.was_counted:
            exchange.place.datacenter.world.count(exchange.line)

    # --- faults ------------------------------------------------------------------------------------------------------

    async def before(self, struck: list[Fault], place: Place) -> None:
        """Raises what a fault answers instead of letting the call have its effect."""
        for fault in struck:
            if fault.action == "latency":
                await asyncio.sleep(fault.seconds * self.pace)
            elif fault.action == "session_expiry":
                place.access.end_sessions()
            elif fault.action in OF_SITES and fault.moment == "before":
                await self._happen(fault)
            elif fault.action == "drop_before":
                raise CutConnection
            elif fault.action == "hold_before":
                await self._hold(fault)
            elif fault.action == "error_before":
                raise PveError(fault.status, fault.text)
        if not place.is_online:
            raise CutConnection

    async def after(self, struck: list[Fault], place: Place, reply: t.Any = None) -> PveError | None:
        """Return what a fault answers instead, None where the true answer may go out."""
        for fault in struck:
            if fault.action in OF_SITES and fault.moment == "after":
                await self._happen(fault, reply)
            elif fault.action == "drop_after":
                raise CutConnection
            elif fault.action == "hold_after":
                await self._hold(fault)
            elif fault.action == "error_after":
                return PveError(fault.status, fault.text)
        if not place.is_online:
            raise CutConnection
        return None

    async def _happen(self, fault: Fault, reply: t.Any = None) -> None:
        self.faults.site.happen(fault, reply)
        await self._settle()

    async def _hold(self, fault: Fault) -> None:
        while self.faults.is_kept(fault):
            await asyncio.sleep(0.05)
        raise CutConnection


def _refusal(style: str, refused: PveError) -> web.Response:
    return messages.unreachable(refused) if 595 <= refused.status <= 599 else messages.refusal(style, refused)


def _check_booleans(params: Params) -> None:
    """The one mistake of Python clients that is refused even where no schema is at hand: True is no boolean to PVE."""
    errors = {n: f"type check ('boolean') failed - got '{v}'" for n, v in params.items() if v in ("True", "False")}
    if errors:
        raise PveError(400, "Parameter verification failed.", errors)
