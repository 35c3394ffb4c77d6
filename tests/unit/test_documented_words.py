# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The papers use the words that the product knows, and promise what is there. What they tell to run is run in tests/e2e."""

from __future__ import annotations

import inspect
import itertools
import json
import re
import time
import typing as t
from collections.abc import Callable, Iterator
from dataclasses import fields

import pytest
import yaml
from ansible.module_utils.basic import env_fallback
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell import metadata
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.parse import parse
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.control import Control
from ansible_collections.ferragosto.dr.plugins.doc_fragments import common
from ansible_collections.ferragosto.dr.plugins.module_utils import options
from ansible_collections.ferragosto.dr.plugins.module_utils.core import (
    card_text,
    checks,
    message,
    stamps,
    states,
    words,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core import (
    fields as readers,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput
from ansible_collections.ferragosto.dr.plugins.module_utils.core.findings import ProofKind
from ansible_collections.ferragosto.dr.tests.documents import (
    PAPERS,
    ROOT,
    Block,
    blocks,
    commands,
    list_table,
    table,
    words_of,
)

GUIDE = "docs/docsite/rst/"


# --- inventories -----------------------------------------------------------------------------------------------------


def site(value: t.Any) -> None:
    validator = ArgumentSpecValidator({"dr_site": {"type": "dict", "options": options.site_options(env_fallback)}})
    result = validator.validate({"dr_site": value})
    assert not result.error_messages, result.error_messages
    checks.read_witnesses(value.get("witnesses"), "dr_site.witnesses")


READ: dict[str, Callable[[t.Any], object]] = {
    "dr_accept": words.accept,
    "dr_checks": checks.read_checks,
    "dr_client": words.client,
    "dr_contract": words.contract,
    "dr_depends_on": words.names,
    "dr_policy": words.policy,
    "dr_priority": words.priority,
    "dr_replica": words.replica_rule,
    "dr_site": site,
    "dr_vm": lambda value: readers.text(value, "dr_vm", "write a name"),
}


def inventory_words(node: t.Any) -> Iterator[tuple[str, t.Any]]:
    """Yield every dr_* variable of a snippet."""
    if isinstance(node, list):
        for one in node:
            yield from inventory_words(one)
    elif isinstance(node, dict):
        for key, value in node.items():
            if str(key).startswith("dr_"):
                yield key, value
            elif key not in ("module_defaults", "tasks"):
                yield from inventory_words(value)


SNIPPETS = [block for block in blocks("yaml") if list(inventory_words(yaml.safe_load(block.text)))]


@pytest.mark.parametrize("block", SNIPPETS, ids=lambda block: block.where)
def test_inventory_snippet_is_understood(block: Block) -> None:
    for name, value in inventory_words(yaml.safe_load(block.text)):
        words.refuse_unknown_variables([name])
        READ[name](value)


def test_inventory_snippets_are_found_and_a_wrong_one_is_caught() -> None:
    named = {name for block in SNIPPETS for name, dummy in inventory_words(yaml.safe_load(block.text))}
    assert {"dr_site", "dr_contract", "dr_checks", "dr_policy", "dr_replica", "dr_vm"} <= named
    with pytest.raises(BadInput, match=r"did you mean dr_policy\.restarts"):
        READ["dr_policy"]({"restart": 2})
    with pytest.raises(AssertionError, match="api_hots"):
        site({"name": "a", "provider": "b", "production": {"api_hots": "c"}, "replica": {"api_host": "d"}})


def test_every_code_block_has_a_language_that_is_tested() -> None:
    assert {
        block.where: block.language
        for block in blocks()
        if block.language not in ("sh", "console", "yaml", "text", "powershell")
    } == {}


def test_what_is_told_to_type_in_powershell_reads_as_powershell() -> None:
    """It prepares real hosts, so nothing here runs it; the cmdlets that scripts of ours use too must have these parameters."""
    known = 0
    for block in blocks("powershell"):
        parse(block.text)
        for line in block.text.splitlines():
            cmdlet = metadata.find(line.split()[0])
            if cmdlet is not None:
                known += 1
                told = re.findall(r" -([A-Z]\w+)", line)
                assert [name for name in told if cmdlet.parameter(name) is None] == [], line
    assert known, "no cmdlet of the twin's table is among them"


# --- tables ----------------------------------------------------------------------------------------------------------


def first_words(rows: list[tuple[str, ...]]) -> list[str]:
    return [word for row in rows for word in words_of(row[0])]


def test_readme_names_every_inventory_variable() -> None:
    named = [word for row in table("README.md", "### The inventory") for word in words_of(row[0])]
    assert sorted(named) == sorted(words.VARIABLES)


def test_readme_tells_the_policy_with_its_true_defaults() -> None:
    rows = {words_of(row[0])[0]: row[2].strip("`") for row in table("README.md", "### `dr_policy`")}
    usual = words.Policy()
    assert set(rows) == {f.name.removesuffix("_s") for f in fields(words.Policy)}
    spans = [f"{getattr(usual.deadlines, f.name):g}" for f in fields(words.Deadlines)]
    told = [f"{readers.duration(word.strip(), 'deadline'):g}" for word in rows.pop("deadlines").split(",")]
    assert told == spans
    assert readers.duration(rows.pop("restart_timeout"), "restart_timeout") == usual.restart_timeout_s
    for key, told_default in rows.items():
        default = getattr(usual, key)
        assert told_default == ("none" if default is None else str(default).lower()), key
    deadlines = next(row for row in table("README.md", "### `dr_policy`") if "deadlines" in row[0])
    assert words_of(deadlines[1]) == [f.name.removesuffix("_s") for f in fields(words.Deadlines)]


def test_readme_names_every_consent() -> None:
    assert first_words(table("README.md", "### `dr_accept`")) == [f.name for f in fields(words.Accept)]


def test_readme_names_every_outcome_of_a_recovery() -> None:
    assert set(first_words(table("README.md", "### How it ended"))) == set(message.OUTCOMES)


def test_readme_names_every_secret_of_the_environment() -> None:
    told = {word for row in table("README.md", "### Secrets") for word in words_of(row[1])}
    known = set(re.findall(r"E\((DR_\w+)\)", common.ModuleDocFragment.DOCUMENTATION + common.ModuleDocFragment.SITE))
    assert told == known


def test_readme_explains_every_row_of_the_card() -> None:
    known = re.findall(r'^ *\(?\(?"([A-Z ]{3,})",', inspect.getsource(card_text._sections), re.MULTILINE)
    told = first_words(table("README.md", "### The decision card"))
    assert told == list(dict.fromkeys(known))
    (card,) = [block for block in blocks("text") if "HOW WIDE" in block.text]
    shown = [line[:10].strip() for line in card.text.splitlines() if re.match(r"[A-Z]{3}", line)]
    assert [label for label in told if label in shown] == shown


@pytest.mark.parametrize("role", sorted(path.name for path in (ROOT / "roles").iterdir()))
def test_role_readme_names_every_variable_of_its_argument_spec(role: str) -> None:
    spec = yaml.safe_load((ROOT / f"roles/{role}/meta/argument_specs.yml").read_text(encoding="utf-8"))
    known = {
        name: "required" if option.get("required") else str(option.get("default") or "")
        for name, option in spec["argument_specs"]["main"]["options"].items()
    }
    rows = table(f"roles/{role}/README.md", "## Variables")
    assert {words_of(row[0])[0]: row[2].strip("`") for row in rows} == known


def test_guide_tells_every_state_with_its_legal_operations() -> None:
    rows = list_table(GUIDE + "guide_states_and_invariants.rst", "States of a protected VM")
    told = {words_of(row[0])[0]: row[2] for row in rows}
    known = {str(state): ", ".join(sorted(legal)) or "nothing but waiting" for state, legal in states.LEGAL.items()}
    assert told == known


def test_guide_tells_every_proof_of_fencing() -> None:
    rows = list_table(GUIDE + "guide_states_and_invariants.rst", "What is a proof of fencing")
    assert [words_of(row[0])[0] for row in rows] == [str(kind) for kind in ProofKind]


def test_guide_names_every_stamp() -> None:
    text = (ROOT / GUIDE / "guide_states_and_invariants.rst").read_text(encoding="utf-8").partition("Stamps\n---")[2]
    assert [word for word in words_of(text) if word.startswith("ferragosto")] == list(stamps.ALL)
    assert stamps.PROMOTE_SNAPSHOT in words_of(text)


def test_guide_names_verbs_that_the_lab_obeys() -> None:
    text = (ROOT / GUIDE / "guide_lab.rst").read_text(encoding="utf-8")
    told = words_of(text.partition("Verbs to begin with:")[2].partition("\n\n")[0])
    assert told
    assert set(told) - {"mode", "node"} <= Control.VERBS
    assert {command.rpartition("/")[2] for command in commands("curl")} <= Control.VERBS


# --- things that are named -------------------------------------------------------------------------------------------


def test_every_make_target_exists() -> None:
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    told = {word for given in commands("make").values() for word in given[1:] if "=" not in word}
    inline = {word for path in PAPERS for word in re.findall(r"`+make ([a-z-]+)", path.read_text(encoding="utf-8"))}
    assert told
    assert told | inline <= known | {"lint-mypy"}


def test_every_playbook_exists() -> None:
    told = [given[1] for given in commands("ansible-playbook").values()]
    assert told
    for name in told:
        assert (ROOT / "playbooks" / f"{name.removeprefix('ferragosto.dr.')}.yml").is_file(), name


def test_every_inventory_and_variable_of_a_command_exists() -> None:
    for text, given in commands("ansible-playbook").items():
        assert (ROOT / given[given.index("-i") + 1]).exists(), text
        for option, value in itertools.pairwise(given):
            if option == "-e":
                extra = json.loads(value) if value.startswith("{") else dict([value.split("=", 1)])
                words.refuse_unknown_variables(extra)
                words.accept(extra.get("dr_accept"))


def test_every_moment_of_a_command_is_one() -> None:
    moments = {
        value.partition("=")[2]
        for given in commands("ansible-playbook").values()
        for value in given
        if value.startswith(("dr_alert_at=", "recover_point="))
    }
    assert moments
    for moment in moments:
        at_s = words.alert_at(moment, now_s=1_786_860_000.0)  # 16 August 2026
        assert at_s < time.time() + 366 * 86400


def test_every_link_leads_somewhere() -> None:
    for path in PAPERS:
        for target in re.findall(r"\]\(([^)#]+)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_every_label_of_the_guides_exists() -> None:
    guides = [path.read_text(encoding="utf-8") for path in PAPERS if path.suffix == ".rst"]
    labels = {label for text in guides for label in re.findall(r"^\.\. _([\w.]+):", text, re.MULTILINE)}
    assert {label for text in guides for label in re.findall(r":ref:`([\w.]+)`", text)} <= labels


def test_readme_shows_the_example_hook_as_it_is() -> None:
    hook = (ROOT / "clients/hooks/disable_replication_job.yml").read_text(encoding="utf-8")
    assert hook in [block.text for block in blocks("yaml") if block.where.startswith("README.md")]
