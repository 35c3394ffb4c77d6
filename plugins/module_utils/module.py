# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The edge to Ansible: the only file that touches AnsibleModule, and the only ``except DrError``."""

from __future__ import annotations

import json
import sys
import typing as t
from collections.abc import Callable

from ansible.module_utils.basic import AnsibleModule, env_fallback
from ansible.module_utils.common.warnings import get_deprecations, get_warnings

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import DrError
from ansible_collections.ferragosto.dr.plugins.module_utils.invocation import Invocation
from ansible_collections.ferragosto.dr.plugins.module_utils.options import (
    VM_SPEC,
    Spec,
    common_spec,
    plan_items,
    site_options,
    site_spec,
)

Result: t.TypeAlias = "dict[str, t.Any]"
Opened = t.TypeVar("Opened", bound=Invocation)


def spec(*, has_vm: bool = True, is_site_required: bool = True, **more: Spec) -> Spec:
    """Return an argument spec: the common options, the site, the VM where the module has one, and the module's own."""
    whole: Spec = {**common_spec(env_fallback), "site": site_spec(env_fallback, required=is_site_required)}
    if has_vm:
        whole.update(VM_SPEC)
    whole.update(more)
    return whole


def spec_without_site(**more: Spec) -> Spec:
    """Return an argument spec for a module whose items bring their own sites; ``site`` is accepted from group defaults."""
    return {**common_spec(env_fallback), "site": {"type": "dict"}, **more}


def sites_option() -> Spec:
    """Return an option that takes many sites of the same form as ``site``."""
    return {"type": "list", "elements": "dict", "options": site_options(env_fallback)}


def plan_items_option() -> Spec:
    """Return the option that takes the protected VMs of a play."""
    return plan_items(env_fallback)


def run(argument_spec: Spec, act: Callable[[Opened], Result], opens: type[Opened], **module_args: t.Any) -> None:
    """Run one module: ``act`` gets what ``opens`` opened and returns the result; errors become ``fail_json``."""
    module = AnsibleModule(argument_spec=argument_spec, supports_check_mode=True, **module_args)
    session = opens(module.params, is_check=module.check_mode)
    started_s = session.clock.now_s()
    try:
        result = act(session)
    except DrError as error:
        module.fail_json(msg=str(error), error=error.as_dict(), progress=session.progress.lines)
    finally:
        session.close()
    result.setdefault("changed", False)
    result["duration_s"] = round(session.clock.now_s() - started_s, 3)
    result["progress"] = session.progress.lines
    text = _as_text(module, result)
    if text is None:
        module.exit_json(**result)
        return
    sys.stdout.write(text + "\n")
    raise SystemExit(0)


def _as_text(module: t.Any, result: Result) -> str | None:
    """Return the result of a bulk read as Ansible takes it from any module; None where Ansible must look through it itself.

    ``exit_json`` repeats the arguments, of two hundred sites too, and walks through all values for each secret: that takes longer
    than reading the sites. Here the arguments are counted, and the one text is searched for every secret.
    """
    bulk = {name: f"{len(value)} items" for name, value in module.params.items() if _is_bulk(value)}
    if not bulk or get_warnings() or get_deprecations():
        return None
    result["invocation"] = {"module_args": {**module.params, **bulk}}
    text = json.dumps(result)
    has_secret = any(json.dumps(secret)[1:-1] in text for secret in module.no_log_values)
    return None if has_secret else text


def _is_bulk(value: object) -> bool:
    return isinstance(value, list) and any(isinstance(item, dict) for item in value)
