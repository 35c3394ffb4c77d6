# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every Hyper-V cmdlet of the twin does alike: rights, finding the VM, meeting a row of the state table."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator

from ansible_collections.ferragosto.dr.extensions.twin.hyperv import messages, states
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.context import Context
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.effects import Effects
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.host import Rights
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.machine import Machine
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import PowerShellError, SimulatorError
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.operators import wildcard
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.registry import Bound
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.values import PSObject
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.situation import Call, facts

VIRTUALIZATION = "Microsoft.HyperV.PowerShell.VirtualizationException"
# Found on a real host as InvalidArgument with InvalidParameter, whatever the documents say of ObjectNotFound.
INVALID = ("InvalidParameter", "InvalidArgument")
NOT_FOUND = ("ObjectNotFound", "ObjectNotFound")
FAILED = ("OperationFailed", "NotSpecified")
# Another computer than the one the session is on: no script of ours may, the second hop has no credentials.
_ELSEWHERE = ("ComputerName", "CimSession", "Credential", "AsJob", "ClusterObject")
_Base = t.TypeVar("_Base")


def context_of(bound: Bound) -> Context:
    """Give the session's context; raises SimulatorError for a call that leaves this host."""
    for name in _ELSEWHERE:
        if bound.has(name):
            raise SimulatorError(f"{bound.name} -{name}: every command is local to its host")
    context = bound.session.context
    if not isinstance(context, Context):
        raise SimulatorError(f"{bound.name} runs outside of a fleet")
    return context


def refuse(bound: Bound, *names: str) -> None:
    """Raise SimulatorError for a parameter that the twin does not play."""
    for name in names:
        if bound.has(name):
            raise SimulatorError(f"the twin does not play {bound.name} -{name}")


def play_only(bound: Bound, *known: str) -> None:
    """Raise SimulatorError for any parameter but these."""
    refuse(bound, *(name for name in bound.arguments if name not in known))


def failure(
    bound: Bound, kind: tuple[str, str], key: str, *, target: object = None, **words: object
) -> PowerShellError:
    """Make an error record of Hyper-V's: ``kind`` is the short error id and the category."""
    context = context_of(bound)
    return PowerShellError(
        messages.text(key, context.culture, host=context.host_name, **words),
        bound.error_id(kind[0]),
        kind[1],
        exception_type=VIRTUALIZATION,
        activity=bound.name,
        target=target,
    )


def no_rights(bound: Bound) -> PowerShellError:
    return failure(bound, ("AccessDenied", "PermissionDenied"), "no_rights")


def require_sight(bound: Bound) -> Context:
    """Raise AccessDenied for an account that Hyper-V shows nothing to but an error."""
    context = context_of(bound)
    if context.rights is Rights.DENIED:
        raise no_rights(bound)
    return context


def require_change(bound: Bound) -> Context:
    context = require_sight(bound)
    if context.rights is not Rights.FULL:
        raise no_rights(bound)
    return context


def visible(context: Context) -> list[Machine]:
    """List what the account sees, by name as Get-VM does."""
    if context.rights in (Rights.UNSEEN, Rights.DENIED):
        return []
    return sorted(context.fleet.machines_on(context.host.name), key=lambda m: m.name.casefold())


def named(context: Context, pattern: str) -> list[Machine]:
    """List the VMs whose name fits a wildcard; names are not unique."""
    fits = wildcard(pattern)
    return [m for m in visible(context) if fits.fullmatch(m.name)]


def is_pattern(text: str) -> bool:
    return any(letter in text for letter in "*?[")


def machines(bound: Bound, by_name: str = "VMName") -> Iterator[Machine | PowerShellError]:
    """Give the VMs that a call names, by object or by name; a name that nobody has is an error of its own."""
    context = require_sight(bound)
    if bound.has("VM"):
        for machine in objects_of(bound, "VM", Machine):
            if machine not in context.fleet.machines or machine.host != context.host.name:
                yield failure(bound, NOT_FOUND, "not_found_object", target=machine.name)
            else:
                yield machine
        return
    wanted = bound.get(by_name)
    for name in [str(item) for item in wanted] if isinstance(wanted, list) else [str(wanted)]:
        found = named(context, name)
        yield from found
        if not found and not is_pattern(name):
            yield failure(bound, INVALID, "no_vm_name", target=name, name=name)


def objects_of(bound: Bound, parameter: str, kind: type[_Base]) -> list[_Base]:
    """Give what the objects in an argument stand for."""
    given = bound.get(parameter)
    found: list[_Base] = []
    for item in given if isinstance(given, list) else [given]:
        base = item.base if isinstance(item, PSObject) else None
        if not isinstance(base, kind):
            raise SimulatorError(f"{bound.name} -{parameter}: {item!r} is no object of this fleet")
        found.append(base)
    return found


def refusal_of(bound: Bound, call: Call, row: states.Row) -> PowerShellError | None:
    """Give the error that a row refuses with, None for a row that acts."""
    if row.refusal is None:
        return None
    machine, end = call.machine, call.machine.endpoint
    server = call.server
    if not server and end is not None:
        server = end.replica_server if end.mode == "Primary" else end.primary_server
    return failure(
        bound,
        (row.refusal.id, row.refusal.category),
        row.refusal.message,
        target=machine.name,
        vm=machine.name,
        id=machine.key.upper(),
        mode=end.mode if end else "None",
        server=server,
        thumbprint=call.thumbprint,
        mb=machine.memory_bytes // 2**20,
    )


def act(bound: Bound, call: Call, *, is_checked_first: bool = False) -> states.Row | None:
    """Execute the row that a call meets; None under -WhatIf. Raises what the row refuses with.

    ``is_checked_first``: the cmdlet looks at the state before it asks ShouldProcess, so that -WhatIf is a real check.
    """
    context = require_change(bound)
    fleet, machine = context.fleet, call.machine
    if not is_checked_first and not bound.should_process(machine.name):
        return None
    fleet.tick()
    with fleet.lock:
        row = states.find(call.cmdlet, call.switch, facts(fleet, call))
        refused = refusal_of(bound, call, row)
        if refused is not None:
            raise refused
        if is_checked_first and not bound.should_process(machine.name):
            return None
        took_s = Effects(fleet).run(row.effect, call)
        states.apply(fleet, row, machine, fleet.peer(machine))
        fleet.world.changed.notify_all()
    fleet.tick()
    if took_s:
        context.sleep(took_s)
    return row
