# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Our marks on the VMs: they outlive the controller and its journal, so that two controllers with two journals see each other."""

from __future__ import annotations

from enum import StrEnum

RUN = "ferragosto.dr.run"  # id of the run that promoted (or is promoting) this copy
PHASE = "ferragosto.dr.phase"  # one of Phase
FENCED = "ferragosto.dr.fenced"  # id of the run that fenced this copy
POINT = "ferragosto.dr.point"  # id of the recovery point this copy was promoted at
MODE = "ferragosto.dr.mode"  # the way this copy was promoted, where a platform has several
ALL = (RUN, PHASE, FENCED, POINT, MODE)

PROMOTE_SNAPSHOT = "dr-promote-"  # + run id: name of our protective point


class Phase(StrEnum):
    """How far the promoted copy has come."""

    PROMOTING = "promoting"
    FAILOVER = "failover"
    MIGRATING = "migrating"
    FAILBACK = "failback"
    COMMITTED = "committed"
    TESTING = "testing"
