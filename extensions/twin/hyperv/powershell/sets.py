# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which parameter set a call falls into; asked by the binder with values and by the gate with types."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import SimulatorError
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.metadata import Cmdlet, Parameter

UNKNOWN_CMDLET = "unknown-cmdlet"
UNKNOWN_PARAMETER = "unknown-parameter"
TWICE = "parameter-given-twice"
NO_SET = "no-parameter-set"
AMBIGUOUS = "ambiguous-parameter-set"
MISSING = "missing-mandatory"
BAD_VALUE = "bad-value"
UNBOUND = "input-not-bound"


class BindingError(SimulatorError):
    """PowerShell would refuse this call before the cmdlet runs; `rule` says which way."""

    def __init__(self, rule: str, what: str) -> None:
        super().__init__(what)
        self.rule = rule


def parameter_named(cmdlet: Cmdlet, name: str) -> str:
    """The canonical name that a full name, an alias or an unambiguous beginning stands for, common ones included."""
    if (found := cmdlet.parameter(name)) is not None:
        return found.name
    for common in cmdlet.common:
        if common.casefold() == name.casefold():
            return common
    meant = cmdlet.starting_with(name)
    if not meant:
        raise BindingError(UNKNOWN_PARAMETER, f"{cmdlet.name} has no parameter -{name}")
    if len(meant) > 1:
        raise BindingError(UNKNOWN_PARAMETER, f"{cmdlet.name} -{name} could be {_dashed(meant)}")
    return meant[0]


def narrowed(cmdlet: Cmdlet, sets: Sequence[str], parameter: Parameter) -> tuple[str, ...]:
    """The sets that are left when this parameter is bound; none left is a call that PowerShell cannot resolve."""
    left = tuple(name for name in sets if parameter.place(name) is not None)
    if not left:
        raise BindingError(NO_SET, f"{cmdlet.name}: no parameter set has -{parameter.name} together with the others")
    return left


def chosen(cmdlet: Cmdlet, sets: Sequence[str], bound: Collection[str]) -> str:
    """The one set of those left: the default where it is left, else the only one whose mandatory ones are bound.

    PowerShell takes the default set as soon as it is among several, and would then prompt for what it lacks; only
    without it do the mandatory parameters decide.
    """
    if cmdlet.default_set is not None and cmdlet.default_set in sets:
        name = cmdlet.default_set
    elif len(sets) == 1:
        name = sets[0]
    else:
        whole = [name for name in sets if not lacking(cmdlet, name, bound)]
        if len(whole) > 1:
            raise BindingError(AMBIGUOUS, f"{cmdlet.name}: the parameters fit {', '.join(whole)}")
        if not whole:
            wanted = "; or ".join(_dashed(lacking(cmdlet, name, bound)) for name in sets)
            raise BindingError(MISSING, f"{cmdlet.name} lacks {wanted}")
        name = whole[0]
    missing = lacking(cmdlet, name, bound)
    if missing:
        raise BindingError(MISSING, f"{cmdlet.name} lacks {_dashed(missing)} (set {name})")
    return name


def lacking(cmdlet: Cmdlet, set_name: str, bound: Collection[str]) -> tuple[str, ...]:
    """The mandatory parameters of a set that are not bound."""
    return tuple(name for name in cmdlet.mandatory(set_name) if name not in bound)


def _dashed(names: Collection[str]) -> str:
    return ", ".join(f"-{name}" for name in names)
