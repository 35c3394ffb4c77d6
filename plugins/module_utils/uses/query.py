# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JMESPath over results: guarded, because the library is needed for nothing else."""

from __future__ import annotations

import typing as t

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput

try:
    import jmespath
except ImportError:
    HAS_JMESPATH = False
else:
    HAS_JMESPATH = True


def search(expression: str, data: t.Any) -> t.Any:
    """Apply the expression. A wrong one is an error that shows where it breaks."""
    if not HAS_JMESPATH:
        raise BadInput(
            what="apply the query",
            why="the Python library jmespath is not installed where this module runs",
            next="pip install jmespath, or leave the query out",
        )
    try:
        return jmespath.search(expression, data)
    except jmespath.exceptions.JMESPathError as error:
        raise BadInput(
            what=f"apply the query {expression!r}",
            why=str(error),
            next="correct the JMESPath expression; it is applied to the cards by inventory host",
        ) from error
