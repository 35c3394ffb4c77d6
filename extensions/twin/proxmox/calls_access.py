# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The API calls below /access: tickets, and who may do what. Their handlers get the cluster's Access."""

from __future__ import annotations

import typing as t

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.auth import Access, Identity
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import Call, PveError, RouteTable

ACCESS_ROUTES = RouteTable()
FOR_EVERYBODY = {("GET", "/access/domains"), ("GET", "/access/ticket"), ("POST", "/access/ticket")}
# What the web interface asks of its user's rights.
_CAPABILITIES = {
    "access": "/access",
    "dc": "/",
    "mapping": "/mapping",
    "nodes": "/nodes",
    "sdn": "/sdn",
    "storage": "/storage",
    "vms": "/vms",
}


@ACCESS_ROUTES.add("GET", "/access/ticket")
def no_ticket(access: Access, call: Call) -> None:
    """Answer nothing, as PVE's dummy does."""


@ACCESS_ROUTES.add("POST", "/access/ticket")
def ticket(access: Access, call: Call) -> dict[str, t.Any]:
    params = call.params
    missing = {
        n: "property is missing and it is not optional" for n in ("username", "password") if params.get(n) is None
    }
    if missing:
        raise PveError(400, "Parameter verification failed.", missing)
    name = str(params["username"])
    if "@" not in name:
        if not params.get("realm"):
            raise PveError(401, "authentication failure")
        name = f"{name}@{params['realm']}"
    made, csrf = access.log_in(name, str(params["password"]), call.door_node)
    rights = {kind: dict.fromkeys(access.privileges(Identity(name), path), 1) for kind, path in _CAPABILITIES.items()}
    content: dict[str, t.Any] = {"username": name, "ticket": made, "CSRFPreventionToken": csrf, "cap": rights}
    if access.cluster_name:
        content["clustername"] = access.cluster_name
    return content


@ACCESS_ROUTES.add("GET", "/access/domains")
def domains(access: Access, call: Call) -> list[dict[str, t.Any]]:
    return [
        {"realm": "pam", "type": "pam", "comment": "Linux PAM standard authentication"},
        {"realm": "pve", "type": "pve", "comment": "Proxmox VE authentication server"},
    ]


@ACCESS_ROUTES.add("GET", "/access/permissions")
def permissions(access: Access, call: Call) -> dict[str, dict[str, int]]:
    """Path -> privilege -> whether it propagates, of the caller or of another user or token."""
    own = Identity(call.user, call.token_id)
    user, dummy, token_id = str(call.params.get("userid") or own.who).partition("!")
    asked = Identity(user, token_id)
    is_own = asked == own or (asked.user == own.user and not own.token_id)
    if not is_own and not access.may(own, "/access", "Sys.Audit"):
        raise PveError(403, "Permission check failed (/access, Sys.Audit)")
    if asked.user not in access.users or (token_id and token_id not in access.users[user].tokens):
        raise PveError(500, f"no such user ('{asked.who}')")
    only = call.params.get("path")
    shown = [str(only)] if only else sorted({*_CAPABILITIES.values(), "/pool", *access.acl.paths()})
    rows = {path: access.privileges(asked, path) for path in shown}
    return {path: {p: int(prop) for p, prop in sorted(held.items())} for path, held in rows.items() if held or only}


@ACCESS_ROUTES.add("GET", "/access/users")
def users(access: Access, call: Call) -> list[dict[str, t.Any]]:
    """The users that the caller may see: itself, or all with the right to audit them."""
    may_see_all = call.may("/access/groups", "User.Modify") or call.may("/access/groups", "Sys.Audit")
    return [
        {"userid": user.name, "enable": int(user.is_enabled), "expire": 0, "realm-type": user.name.partition("@")[2]}
        for user in access.users.values()
        if may_see_all or user.name == call.user
    ]


@ACCESS_ROUTES.add("GET", "/access/roles")
def roles(access: Access, call: Call) -> list[dict[str, t.Any]]:
    return [{"roleid": name, "privs": ",".join(sorted(held))} for name, held in sorted(access.acl.roles.items())]


@ACCESS_ROUTES.add("GET", "/access/acl")
def acl(access: Access, call: Call) -> list[dict[str, t.Any]]:
    if not (call.may("/access", "Sys.Audit") or call.may("/access", "Permissions.Modify")):
        return []
    return t.cast("list[dict[str, t.Any]]", access.acl.rows())
