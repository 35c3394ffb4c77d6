# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the static gate reads from a text without understanding it: broken syntax, and forms that no script may have."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Iterator
from dataclasses import dataclass

import tree_sitter

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.parse import is_broken, root_of

_Node: t.TypeAlias = tree_sitter.Node


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One reason why a script may not go to a host."""

    line: int
    rule: str
    message: str


OPENING = "param($p)\n"
# Any of these as the name of a command is a statement that lost its head (`else` without `if`): tree-sitter takes it
# for a command.
_KEYWORDS = frozenset(
    """begin break catch class continue data do dynamicparam else elseif end exit filter finally for foreach function if
    in param process return switch throw trap try until using while""".split()
)
# Cmdlets that have no place in a script, whatever cmdlets.json may come to hold.
_FORBIDDEN = frozenset(
    """add-type enter-pssession import-module invoke-command invoke-item invoke-webrequest invoke-wmimethod new-alias
    new-pssession read-host register-scheduledjob set-alias set-executionpolicy start-job start-process start-threadjob
    write-host""".split()
)
_CODE_FROM_TEXT = frozenset(["invoke-expression", "iex"])
# What runs or makes code out of a text or of another script block.
_CODE_METHODS = frozenset(
    """addscript getnewclosure invoke invokeasis invokescript invokereturnasis invokewithcontext newscriptblock
    expandstring""".split()
)
_ASSIGNABLE = frozenset(["variable", "member_access", "element_access"])
# tree-sitter reports these forms wrongly when they share a line with code, so its word on them is worth nothing.
_PARAM_AND_CODE = re.compile(r"\bparam\s*\([^()]*\)[ \t]*[^\s}#]|\{[ \t]*param\s*\(", re.IGNORECASE)
_SWITCH_ON_ONE_LINE = re.compile(r"\bswitch\s*\(.*\)[ \t]*\{[ \t]*\S", re.IGNORECASE)


def findings(text: str, *, is_bootstrap: bool) -> Iterator[Finding]:
    """Read the text's lines, then every node of its tree."""
    if not is_bootstrap and not text.startswith(OPENING):
        yield Finding(1, "begins-with-param", "a script begins with a line of its own, param($p)")
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.isascii() or not line.replace("\t", " ").isprintable():
            yield Finding(number, "ascii", "PowerShell takes some letters beyond ASCII for quotation marks and dashes")
        if _PARAM_AND_CODE.search(line):
            yield Finding(number, "one-line-param", "param() shares its line with code")
        if _SWITCH_ON_ONE_LINE.search(line):
            yield Finding(number, "one-line-switch", "the clauses of switch share its line")
    waiting = [root_of(text.encode("utf-8"))]
    while waiting:
        node = waiting.pop()
        waiting.extend(reversed(node.children))
        for rule, message in _of_node(node, is_bootstrap):
            yield Finding(node.start_point[0] + 1, rule, message)


def _of_node(node: _Node, is_bootstrap: bool) -> Iterator[tuple[str, str]]:
    if is_broken(node):
        yield "syntax", f"the parser does not understand {_text(node)[:60]!r}"
    match node.type:
        case "try_statement" if not any(c.type in ("catch_clauses", "finally_clause") for c in node.children):
            yield "try-without-catch", "a try has neither catch nor finally"
        case "pipeline_chain_tail":
            yield "chain-operator", "&& and || came with PowerShell 7"
        case "command_name":
            yield from _of_name(_text(node), is_bootstrap)
        case "assignment_expression" if (kind := _kind(node.children[0])) not in _ASSIGNABLE:
            yield "assignment-target", f"nothing can be assigned to this ({kind})"
        case "expandable_string_literal":
            yield "double-quoted", "a string in double quotes interpolates; write it in single quotes"
        case "expandable_here_string_literal" | "verbatim_here_string_characters":
            yield "here-string", "a here-string"
        case "variable" if _text(node).startswith("@"):
            yield "splatting", f"splatting hides which parameters are given: {_text(node)}"
        case "variable" if _text(node).casefold() == "$executioncontext":
            yield "code-from-text", "$ExecutionContext makes code out of text"
        case "command_invokation_operator":
            command = node.parent
            is_block = command is not None and any(_kind(c) == "path_command_name" for c in command.children)
            if not (is_bootstrap and _text(node) == "&" and is_block):
                yield "invocation", f"{_text(node)} runs what a value names"
        case "invokation_expression":
            yield from _of_method(node, is_bootstrap)


def _of_name(name: str, is_bootstrap: bool) -> Iterator[tuple[str, str]]:
    wanted = name.casefold()
    if wanted in _CODE_FROM_TEXT:
        yield "invoke-expression", f"{name} runs a text"
    elif wanted in _KEYWORDS:
        yield "stray-keyword", f"{name} stands where a command is read: the statement that it belongs to is broken"
    elif wanted in _FORBIDDEN or (wanted == "new-object" and not is_bootstrap):
        yield "forbidden-cmdlet", f"{name} has no place in a script"
    elif "-" not in name:
        yield "alias", f"{name} is an alias or a program; write the cmdlet's own name"


def _of_method(node: _Node, is_bootstrap: bool) -> Iterator[tuple[str, str]]:
    names = [_text(child).casefold() for child in node.children if child.type == "member_name"]
    for name in names:
        target = "".join(_text(node.children[0]).casefold().split())
        is_creation = name == "create" and "scriptblock" in target
        if name in _CODE_METHODS or (is_creation and not is_bootstrap):
            yield "code-from-text", f"{_text(node)[:60]} makes or runs code"


def _kind(node: _Node) -> str:
    """The type of the first node below that is more than a wrapper of one child."""
    while node.child_count == 1 and node.type not in ("variable", "path_command_name"):
        node = node.children[0]
    return node.type


def _text(node: _Node) -> str:
    return (node.text or b"").decode("utf-8").strip()
