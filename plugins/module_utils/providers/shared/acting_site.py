# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The acting half of a site whose platform replicates by itself: each act is handed to the provider's own hands."""

from __future__ import annotations

import abc
import typing as t
from collections.abc import Iterable, Sequence

from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Pair, RecoveryPoint, Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Clock, Former
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Step
from ansible_collections.ferragosto.dr.plugins.module_utils.core.words import Deadlines
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.ends import ClientType, TwoEnds

_USUAL = Deadlines()
EndsType = t.TypeVar("EndsType")
ClientIn_contra = t.TypeVar("ClientIn_contra", contravariant=True)
EndsIn_contra = t.TypeVar("EndsIn_contra", contravariant=True)
_Steps: t.TypeAlias = Iterable[Step]


class Hands(t.Protocol[ClientIn_contra, EndsIn_contra]):
    """What a provider's module ``hands`` holds: the acts on one VM by its client, those on a pair by both ends."""

    def power_on(self, client: ClientIn_contra, vm: Vm, /) -> Sequence[Step]: ...

    def power_off(self, client: ClientIn_contra, vm: Vm, /, *, guest_within_s: float) -> Sequence[Step]: ...

    def reset(self, client: ClientIn_contra, vm: Vm, /, *, attempt: int, run_id: str) -> Sequence[Step]: ...

    def fence(
        self, client: ClientIn_contra, vm: Vm, /, *, run_id: str, guest_within_s: float, off_within_s: float
    ) -> Sequence[Step]: ...

    def unfence(self, client: ClientIn_contra, vm: Vm, former: Former, /) -> Sequence[Step]: ...

    def promote(
        self,
        ends: EndsIn_contra,
        pair: Pair,
        point: RecoveryPoint,
        /,
        *,
        way: str,
        run_id: str,
        guest_within_s: float,
        clock: Clock,
        promoted_id: str,
    ) -> _Steps: ...

    def undo_promotion(self, ends: EndsIn_contra, pair: Pair, former: Former, /, *, run_id: str) -> _Steps: ...

    def commit(self, ends: EndsIn_contra, pair: Pair, /, *, run_id: str) -> _Steps: ...

    def migrate(
        self, ends: EndsIn_contra, vm: Vm, /, *, to: str, mode: str, run_id: str, within_s: float
    ) -> _Steps: ...

    def end_migration(self, ends: EndsIn_contra, vm: Vm, /, *, run_id: str, phase: str) -> _Steps: ...

    def set_replication(
        self, ends: EndsIn_contra, pair: Pair, /, *, state: str, run_id: str, is_loss_accepted: bool, within_s: float
    ) -> _Steps: ...


class ActingSite(TwoEnds[ClientType], t.Generic[ClientType, EndsType], abc.ABC):
    """Implements the acts of ``core.ports.Site``. The hands are imported with the first act: who only reads loads none of them."""

    drives_replication = True

    @abc.abstractmethod
    def _hands(self) -> Hands[ClientType, EndsType]: ...

    @abc.abstractmethod
    def _ends(self) -> EndsType: ...

    # --- one VM -------------------------------------------------------------------------------------------------------

    def power_on(self, vm: Vm) -> Sequence[Step]:
        return self._hands().power_on(self._client(vm), vm)

    def power_off(self, vm: Vm, *, guest_within_s: float) -> Sequence[Step]:
        return self._hands().power_off(self._client(vm), vm, guest_within_s=guest_within_s)

    def reset(self, vm: Vm, *, attempt: int, run_id: str) -> Sequence[Step]:
        return self._hands().reset(self._client(vm), vm, attempt=attempt, run_id=run_id)

    def fence(
        self,
        vm: Vm,
        *,
        run_id: str,
        guest_within_s: float = _USUAL.shutdown_s,
        off_within_s: float = _USUAL.fence_s,
    ) -> Sequence[Step]:
        client = self._client(vm)
        return self._hands().fence(client, vm, run_id=run_id, guest_within_s=guest_within_s, off_within_s=off_within_s)

    def unfence(self, vm: Vm, former: Former) -> Sequence[Step]:
        return self._hands().unfence(self._client(vm), vm, former)

    # --- both copies --------------------------------------------------------------------------------------------------

    def promote(
        self,
        pair: Pair,
        point: RecoveryPoint,
        *,
        way: str,
        run_id: str,
        guest_within_s: float,
        promoted_id: str = "",
    ) -> Iterable[Step]:
        return self._hands().promote(
            self._ends(),
            pair,
            point,
            way=way,
            run_id=run_id,
            guest_within_s=guest_within_s,
            clock=self.clock,
            promoted_id=promoted_id,
        )

    def undo_promotion(self, pair: Pair, former: Former, *, run_id: str) -> Iterable[Step]:
        return self._hands().undo_promotion(self._ends(), pair, former, run_id=run_id)

    def commit(self, pair: Pair, *, run_id: str) -> Iterable[Step]:
        return self._hands().commit(self._ends(), pair, run_id=run_id)

    def migrate(self, vm: Vm, *, to: str, mode: str, run_id: str, within_s: float = _USUAL.migrate_s) -> Iterable[Step]:
        return self._hands().migrate(self._ends(), vm, to=to, mode=mode, run_id=run_id, within_s=within_s)

    def end_migration(self, vm: Vm, *, run_id: str, phase: str) -> Iterable[Step]:
        return self._hands().end_migration(self._ends(), vm, run_id=run_id, phase=phase)

    def set_replication(
        self,
        pair: Pair,
        *,
        state: str,
        run_id: str,
        is_loss_accepted: bool,
        within_s: float = _USUAL.migrate_s,
    ) -> Iterable[Step]:
        return self._hands().set_replication(
            self._ends(), pair, state=state, run_id=run_id, is_loss_accepted=is_loss_accepted, within_s=within_s
        )
