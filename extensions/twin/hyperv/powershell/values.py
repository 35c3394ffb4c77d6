# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a PowerShell variable can hold, as Python sees it.

    $null None          [bool] bool         [int] int         [long] Int64       [double] float    [string] str
    [char] Char         [datetime] datetime [timespan] timedelta [guid] uuid.UUID  [byte[]] bytes    object[] list
    enum EnumValue      hashtable Hashtable object PSObject   ArrayList ArrayList script block ScriptBlock

A datetime that is aware of UTC is of Kind Utc, one in a `HostZone` of Kind Local, a naive one of Kind Unspecified.
"""

from __future__ import annotations

import datetime as dt
import typing as t
from collections.abc import Iterable, Iterator, Mapping

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.nodes import Block

CUSTOM_OBJECT = "System.Management.Automation.PSCustomObject"


class _Nothing:
    """AutomationNull: what a command without output leaves; like $null, but of no elements in a pipeline."""

    def __repr__(self) -> str:
        return "NOTHING"

    def __bool__(self) -> bool:
        return False


NOTHING: t.Final = _Nothing()


class Int64(int):
    """A [long]; a plain int is an [int] as long as it fits into 32 bits."""

    __slots__ = ()


class Char(str):
    """A [char]: one letter, as indexing a string gives."""

    __slots__ = ()


class ArrayList(list[object]):
    """A list that .Add works on; a plain list is an array of fixed size."""

    __slots__ = ()


_NOTHING_MORE = dt.timedelta(0)  # of summer time


class HostZone(dt.tzinfo):
    """The time zone of one host; a datetime in it is of Kind Local."""

    def __init__(self, offset: dt.timedelta = _NOTHING_MORE) -> None:
        self._offset = offset

    def utcoffset(self, dt: object) -> dt.timedelta:
        return self._offset

    def dst(self, dt: object) -> dt.timedelta:
        return _NOTHING_MORE

    def tzname(self, dt: object) -> str:
        return "Local"

    def __deepcopy__(self, memo: object) -> HostZone:
        return self


class EnumValue:
    """One value of a .NET enumeration: its name to read, its number to ConvertTo-Json."""

    __slots__ = ("name", "type_name", "value")

    def __init__(self, type_name: str, name: str, value: int) -> None:
        self.type_name = type_name
        self.name = name
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EnumValue) and (self.type_name, self.value) == (other.type_name, other.value)

    def __hash__(self) -> int:
        return hash((self.type_name, self.value))

    def __repr__(self) -> str:
        return f"[{self.type_name}]::{self.name}"


class PSObject:
    """An object with named properties; names are found whatever their case, and keep the case of their first writing.

    `type_names` begins with the most derived type. A property may be a function without arguments: it is called at
    every reading, so that an object shows the present. An object of a known type is `is_closed`: reading a property
    that the type does not have is a SimulatorError (Windows would answer $null, which is our bug all the same).
    """

    __slots__ = ("_properties", "_text", "base", "is_closed", "type_names")

    def __init__(
        self,
        properties: Mapping[str, object] | Iterable[tuple[str, object]] = (),
        type_names: Iterable[str] = (CUSTOM_OBJECT,),
        *,
        text: str | t.Callable[[], str] | None = None,
        base: object = None,
    ) -> None:
        self.type_names = tuple(type_names)
        self.is_closed = self.type_names[0] != CUSTOM_OBJECT
        self.base = base  # what this stands for in the fleet's model
        self._text = text
        self._properties: dict[str, tuple[str, object]] = {}
        for name, value in properties.items() if isinstance(properties, Mapping) else properties:
            self.set(name, value)

    def has(self, name: str) -> bool:
        return name.casefold() in self._properties

    def get(self, name: str, default: object = None) -> object:
        found = self._properties.get(name.casefold())
        if found is None:
            return default
        return found[1]() if callable(found[1]) else found[1]

    def set(self, name: str, value: object) -> None:
        key = name.casefold()
        written = self._properties[key][0] if key in self._properties else name
        self._properties[key] = (written, value)

    def names(self) -> list[str]:
        return [written for written, dummy in self._properties.values()]

    def items(self) -> Iterator[tuple[str, object]]:
        for name in self.names():
            yield name, self.get(name)

    def is_a(self, type_name: str) -> bool:
        """Whether the type or one of its bases has this name, whole or its last part."""
        wanted = type_name.casefold()
        return any(wanted in (name.casefold(), name.rpartition(".")[2].casefold()) for name in self.type_names)

    @property
    def text(self) -> str | None:
        """What ToString() gives where the type has its own; None for PowerShell's default."""
        return self._text() if callable(self._text) else self._text

    def __repr__(self) -> str:
        return f"<{self.type_names[0]} {dict(self.items())!r}>"


class Hashtable:
    """A [hashtable] or [ordered] dictionary; string keys are found whatever their case."""

    __slots__ = ("_entries", "is_ordered")

    def __init__(self, entries: Iterable[tuple[object, object]] = (), *, is_ordered: bool = False) -> None:
        self.is_ordered = is_ordered
        self._entries: dict[object, tuple[object, object]] = {}
        for key, value in entries:
            self.set(key, value)

    @staticmethod
    def _folded(key: object) -> object:
        return ("s", key.casefold()) if isinstance(key, str) else (type(key).__name__, key)

    def has(self, key: object) -> bool:
        return self._folded(key) in self._entries

    def get(self, key: object, default: object = None) -> object:
        found = self._entries.get(self._folded(key))
        return default if found is None else found[1]

    def set(self, key: object, value: object) -> None:
        folded = self._folded(key)
        written = self._entries[folded][0] if folded in self._entries else key
        self._entries[folded] = (written, value)

    def remove(self, key: object) -> None:
        self._entries.pop(self._folded(key), None)

    def items(self) -> Iterator[tuple[object, object]]:
        yield from list(self._entries.values())

    def keys(self) -> list[object]:
        return [key for key, dummy in self.items()]

    def values(self) -> list[object]:
        return [value for dummy, value in self.items()]

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"@{{{'; '.join(f'{key}={value!r}' for key, value in self.items())}}}"


class ScriptBlock:
    """A piece of script as a value: its text, and the tree it was parsed to (the interpreter's business)."""

    __slots__ = ("text", "tree")

    def __init__(self, text: str, tree: Block) -> None:
        self.text = text
        self.tree = tree


class Clocked(t.Protocol):
    """What the twin's PowerShell asks of the context it runs in; the rest of a context is the cmdlets' business.

    Optional as well: `report(error: SimulatorError)`, `culture` ("de-DE"), `zone` (a HostZone), `host_name`.
    """

    def now_s(self) -> float: ...
