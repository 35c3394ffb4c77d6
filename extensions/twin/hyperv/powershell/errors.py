# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two kinds of failure: what a script may catch, and what no script may."""

from __future__ import annotations


class SimulatorError(Exception):
    """The twin does not know this; on a customer's host it would be our bug or something never tried.

    Never catchable by a script: it ends the process, is reported to the context, and fails the test.
    """

    def __init__(self, what: str, *, line: int = 0, text: str = "") -> None:
        self.what = what
        self.line = line
        self.text = text
        place = f" (line {line}: {text})" if line else ""
        super().__init__(f"{what}{place}")

    def at(self, line: int, text: str) -> SimulatorError:
        """Name the place, unless a place nearer to the cause is named already."""
        return self if self.line else SimulatorError(self.what, line=line, text=text)


class PowerShellError(Exception):
    """An error record: a cmdlet yields one to go on (non-terminating), or raises one to end.

    `error_id` is the whole FullyQualifiedErrorId ("ObjectNotFound,Microsoft.HyperV.PowerShell.Commands.GetVM").
    Raised with `is_terminating` (ThrowTerminatingError, throw) it ends the statement whatever -ErrorAction says;
    raised without, it is one written error and the end of that cmdlet's work on this input.
    """

    def __init__(
        self,
        message: str,
        error_id: str = "NotSpecified",
        category: str = "NotSpecified",
        *,
        exception_type: str = "System.Management.Automation.RuntimeException",
        activity: str = "",
        target: object = None,
        is_terminating: bool = False,
        inner: PowerShellError | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.error_id = error_id
        self.category = category
        self.exception_type = exception_type
        self.activity = activity
        self.target = target
        self.is_terminating = is_terminating
        self.inner = inner
        self.ends_script = False  # throw, or -ErrorAction Stop: no preference lets the script go on
        self.line = 0
        self.text = ""

    def at(self, line: int, text: str) -> PowerShellError:
        """Name the place, unless a place nearer to the cause is named already."""
        if not self.line:
            self.line, self.text = line, text
        return self


def call_failed(method: str, count: int, why: str, error_id: str) -> PowerShellError:
    """What PowerShell makes of an exception that a .NET method raised."""
    return PowerShellError(
        f'Exception calling "{method}" with "{count}" argument(s): "{why}"',
        error_id,
        exception_type="System.Management.Automation.MethodInvocationException",
        is_terminating=True,
    )


class Stopped(Exception):
    """The process was ended from outside (Signal terminate, a time-out of the client, the host's power)."""
