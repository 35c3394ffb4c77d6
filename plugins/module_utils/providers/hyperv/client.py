# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One Hyper-V host: reads that may be repeated, changes that never are, every error in our words.

Every operation is one process on the host (scripts/). It is the host itself that is asked: nothing here ever names another one.
"""

from __future__ import annotations

import typing as t

from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Clock, EndpointSpec, Progress
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts.script import Script

Row: t.TypeAlias = "dict[str, t.Any]"


class Client:
    """Connects on first use. ``address`` names the host in every message; ``calls`` counts HTTP requests."""

    def __init__(self, spec: EndpointSpec, *, clock: Clock, progress: Progress) -> None:
        self.spec = spec
        self.clock = clock
        self.progress = progress
        self.address = spec.api_host

    @property
    def calls(self) -> int:
        raise NotImplementedError

    @property
    def clock_offset_s(self) -> float:
        """Tell how far the host's clock runs ahead of ours."""
        raise NotImplementedError

    def run(self, script: Script, /, *, within_s: float = 0.0, **parameters: t.Any) -> Row:
        """Read; repeated once where a connection died before an answer. ``within_s`` 0: the endpoint's ``timeout_s``."""
        raise NotImplementedError

    def act(self, script: Script, /, *, within_s: float = 0.0, **parameters: t.Any) -> Row:
        """Change something, in one attempt: an answer that got lost is a ProviderFault with ``is_answer_lost``."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError
