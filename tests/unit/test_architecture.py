# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one direction of imports, read from the source by `ast`; and what no committed file may hold."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = "ansible_collections.ferragosto.dr."
MISSING_LIBRARY = "ansible.module_utils.basic.missing_required_lib"
SOURCES, EXTENSIONS = (
    sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / folder).rglob("*.py"))
    for folder in ("plugins", "extensions")
)
CEILING = 400

# Which of our layers each layer may import, besides itself.
MAY_IMPORT = {
    "core": set(),
    "journal": {"core"},
    "probes": {"core"},
    "shared": {"core"},
    "provider": {"core", "shared"},
    "registry": {"core", "provider"},
    "edge": {"core", "journal", "probes", "registry", "module.py"},  # files beside module.py
    "module.py": {"core", "journal", "probes", "registry", "edge"},
    "modules": {"core", "edge", "module.py"},
    "doc_fragments": set(),
    "action": {"core", "journal", "edge"},
    "filter": {"core", "edge"},
    "inventory": {"core", "edge"},
}
MAY_IMPORT_ANSIBLE = {"module.py", "action", "filter", "inventory"}
MAY_IMPORT_THIRD_PARTY = {"journal": {"sqlalchemy"}, "edge": {"jmespath"}}
MAY_IMPORT_ANY_LIBRARY = {"probes", "provider"}
# What meets a clock, a file, a process or the network; core gets each of them through a port.
IMPURE = set(
    """asyncio ctypes ftplib glob http importlib logging multiprocessing os pathlib random select selectors shutil
    signal smtplib socket socketserver ssl subprocess sys tempfile threading time urllib.request""".split()
)
PROVIDERS = {"vsphere", "proxmox", "hyperv"}


def layer_of(name: str) -> str:
    """Name the layer of a dotted name below our collection."""
    match name.split("."):
        case ["plugins", "module_utils", "module", *_]:
            return "module.py"
        case ["plugins", "module_utils", "providers"] | [
            "plugins",
            "module_utils",
            "providers",
            "registry" | "readers",
            *_,
        ]:
            return "registry"
        case ["plugins", "module_utils", "providers", "shared", *_]:
            return "shared"
        case ["plugins", "module_utils", "providers", *_]:
            return "provider"
        case ["plugins", "module_utils", ("core" | "journal" | "probes") as layer, *_]:
            return layer
        case ["plugins", "module_utils", _, *_]:
            return "edge"
        case ["plugins", layer, _, *_]:
            return layer
    return "outside"


def imported_names(tree: ast.AST) -> Iterator[str]:
    """Yield every imported name in full, so that `from a import b` is `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            prefix = "." * node.level + (node.module or "")
            yield from (f"{prefix}.{alias.name}" for alias in node.names)


def violations(path: str, source: str) -> list[str]:
    """List what `source`, were it the file at `path`, must not do."""
    me = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    layer, tree, found = layer_of(me), ast.parse(source), []
    for name in imported_names(tree):
        top, target = name.split(".")[0], name.removeprefix(OURS)
        if name.startswith("."):
            found.append(f"relative import {name}")
        elif target != name:
            other = layer_of(target)
            if other != layer and other not in MAY_IMPORT[layer]:
                found.append(f"{layer} imports {other}: {name}")
            elif layer == other == "provider" and me.split(".")[3] != target.split(".")[3]:
                found.append(f"one provider imports another: {name}")
        elif top == "ansible":
            if layer not in MAY_IMPORT_ANSIBLE and not (layer == "provider" and name == MISSING_LIBRARY):
                found.append(f"{layer} imports Ansible: {name}")
        elif top not in sys.stdlib_module_names:
            if layer not in MAY_IMPORT_ANY_LIBRARY and top not in MAY_IMPORT_THIRD_PARTY.get(layer, ()):
                found.append(f"{layer} imports the third-party {name}")
        elif layer == "core" and any(f"{name}.".startswith(f"{impure}.") for impure in IMPURE):
            found.append(f"core imports the impure {name}")
    for node in ast.walk(tree):
        if layer == "core" and isinstance(node, ast.Call):
            call = ast.unparse(node.func)
            if call == "open" or re.search(r"\bdate(time)?\.(now|utcnow|today)$", call):
                found.append(f"core calls {call}()")
        if isinstance(node, ast.Constant) and node.value in PROVIDERS and layer not in ("registry", "provider"):
            found.append(f"{layer} knows the provider {node.value!r}, which the registry alone may name")
    return found


@pytest.mark.parametrize("path", SOURCES)
def test_imports_have_one_direction(path):
    assert violations(path, (ROOT / path).read_text(encoding="utf-8")) == []


def test_each_provider_guards_its_library_in_one_file():
    guards = [
        path.rpartition("/")[0]
        for path in SOURCES
        if MISSING_LIBRARY in imported_names(ast.parse((ROOT / path).read_text(encoding="utf-8")))
    ]
    assert sorted(guards) == sorted(set(guards))


CORE, VSPHERE = "plugins/module_utils/core/x.py", "plugins/module_utils/providers/vsphere/x.py"
SHARED = "plugins/module_utils/providers/shared/x.py"
UTILS = OURS + "plugins.module_utils."


@pytest.mark.parametrize(
    ("path", "source", "complaint"),
    [
        (CORE, "import time", "impure time"),
        (CORE, "def f():\n    from os import path", "impure os.path"),
        (CORE, "from urllib.request import urlopen", "impure urllib.request"),
        (CORE, "import pyVmomi", "third-party pyVmomi"),
        (CORE, "from datetime import datetime\ndatetime.now()", "calls datetime.now()"),
        (CORE, "import datetime\ndatetime.date.today()", "calls datetime.date.today()"),
        (CORE, "open('x')", "calls open()"),
        (CORE, f"from {UTILS}journal import store", "core imports journal"),
        (CORE, f"import {UTILS}providers.registry", "core imports registry"),
        (CORE, f"from {UTILS[:-1]} import module", "core imports module.py"),
        (CORE, f"import {OURS}extensions.twin", "core imports outside"),
        (CORE, "from . import model", "relative import"),
        (CORE, "x = 'vsphere'", "knows the provider"),
        (VSPHERE, f"from {UTILS}providers.proxmox import client", "one provider imports another"),
        (VSPHERE, f"from {UTILS}journal import store", "provider imports journal"),
        (SHARED, f"from {UTILS}providers.proxmox import client", "shared imports provider"),
        (SHARED, "import proxmoxer", "third-party proxmoxer"),
        (SHARED, "x = 'vsphere'", "knows the provider"),
        (CORE, "from ansible.module_utils.basic import missing_required_lib", "core imports Ansible"),
        (
            VSPHERE,
            "from ansible.module_utils.basic import AnsibleModule",
            "imports Ansible",
        ),
        ("plugins/module_utils/options.py", "from ansible.module_utils.basic import AnsibleModule", "imports Ansible"),
        ("plugins/modules/x.py", "from ansible.module_utils.basic import AnsibleModule", "imports Ansible"),
        ("plugins/modules/x.py", f"from {UTILS}providers.vsphere import client", "modules imports provider"),
        ("plugins/modules/x.py", "import pyVmomi", "third-party"),
        ("plugins/module_utils/session.py", "import pyVmomi", "third-party"),
        ("plugins/module_utils/session.py", f"from {UTILS}providers.vsphere import client", "edge imports provider"),
        ("plugins/module_utils/probes/x.py", f"from {UTILS}module import run", "probes imports"),
    ],
)
def test_a_violation_is_caught(path, source, complaint):
    assert any(complaint in found for found in violations(path, source)), violations(path, source)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        (
            CORE,
            f"from datetime import datetime\nfrom {UTILS}core.model import Vm\ndatetime.fromisoformat('2026-08-15')",
        ),
        (VSPHERE, f"import ssl, pyVmomi\nfrom {UTILS}core.model import Vm"),
        (VSPHERE, "from ansible.module_utils.basic import missing_required_lib"),
        ("plugins/module_utils/module.py", "from ansible.module_utils.basic import AnsibleModule"),
    ],
)
def test_what_is_allowed_passes(path, source):
    assert violations(path, source) == []


@pytest.mark.parametrize("path", [p for p in SOURCES + EXTENSIONS if not p.startswith("plugins/doc_fragments/")])
def test_a_file_stays_readable_at_one_sitting(path):
    lines = (ROOT / path).read_text(encoding="utf-8").count("\n")
    assert lines <= CEILING, f"{lines} lines, at most {CEILING}: split it by what changes together"


# Written in pieces, so that this file does not hold what it forbids.
MACHINE_PATH = re.compile(r"(?<![\w.}/~-])/(?:" + "|".join(["work", "root", "home", "Users"]) + r")/")
REGISTRY_HOST = re.compile(
    r"\b(?:"
    + "|".join(
        re.escape(".".join(parts))
        for parts in [
            ("pypi", "org"),
            ("files", "pythonhosted", "org"),
            ("proxy", "golang", "org"),
            ("sum", "golang", "org"),
            ("registry", "npmjs", "org"),
            ("deb", "debian", "org"),
        ]
    )
    + r")\b"
)


def committed_text() -> Iterator[tuple[str, str]]:
    """Yield name and text of every file that git tracks or would track."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0"):
        if name and (ROOT / name).is_file():
            content = (ROOT / name).read_bytes()
            if b"\0" not in content:
                yield name, content.decode("utf-8")


def test_no_file_names_a_machine_path_or_a_registry_host():
    found = [
        f"{name}:{number}: {line.strip()[:120]}"
        for name, text in committed_text()
        for number, line in enumerate(text.splitlines(), 1)
        if MACHINE_PATH.search(line) or REGISTRY_HOST.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("text", ["see /" + "work/main", "'/" + "home/luca/x'", "https://" + "pypi" + ".org/simple"])
def test_a_machine_path_or_registry_host_is_caught(text):
    assert MACHINE_PATH.search(text) or REGISTRY_HOST.search(text)


@pytest.mark.parametrize("text", ["http://erp.example/home/", "{{ base }}/work/", "~/.cache/x", "a/home/b"])
def test_a_path_of_no_machine_passes(text):
    assert not MACHINE_PATH.search(text)
