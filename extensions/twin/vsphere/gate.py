# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the proxy does with each SOAP call: counts it, lets it through, and tells the world before the client hears the answer."""

from __future__ import annotations

from ansible_collections.ferragosto.dr.extensions.twin.vsphere.animator import Animator
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.proxy import Forward
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.session import Sessions
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.soap import Answer, Call, task_of
from ansible_collections.ferragosto.dr.extensions.twin.world.world import World


class Gate:
    def __init__(self, vcsim_port: int, sessions: Sessions, world: World, animator: Animator) -> None:
        self.vcsim_port, self.sessions, self.world, self.animator = vcsim_port, sessions, world, animator

    def port_for(self, session: str) -> int:
        return self.vcsim_port

    def soap(self, call: Call, forward: Forward) -> Answer:
        self.world.count(call.method)
        return self.change(call, forward) if call.changes else forward()

    def change(self, call: Call, forward: Forward) -> Answer:
        """Let a changing call through and wait until the world has seen its effect."""
        with self.animator.acting:
            answer = forward()
            if answer.is_ok:
                self._settle(call, answer)
        return answer

    def _settle(self, call: Call, answer: Answer) -> None:
        task, result = task_of(answer.body), None
        if task is not None:
            session = self.sessions.of()
            info = session.await_task(session.object("Task", task))
            if info["info.state"] == "error":
                return
            result = info.get("info.result")
        self.animator.acted(call.method, call.kind, call.moid, result)
