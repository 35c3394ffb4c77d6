# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run every `ansible-test sanity` test on a copy of this work tree.

ansible-test insists on a folder named ansible_collections/ferragosto/dr inside a git work tree, which a clone is not.
Arguments are passed on: `python tests/sanity/run.py --test pylint`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COPY = ROOT / "build" / "sanity" / "ansible_collections" / "ferragosto" / "dr"
PIP_VERSION = "24.2"  # the one that ansible-test of ansible-core 2.19 bootstraps its virtual environments with
PIP_CACHE = Path("~/.ansible/test/cache").expanduser()

PIP_CONFIG = PIP_CACHE / "ferragosto_dr_pip.conf"
# What of the caller's environment tells pip how to reach its registry; ansible-test hands none of it on.
PIP_SETTINGS = (
    "CERT CLIENT_CERT DEFAULT_TIMEOUT EXTRA_INDEX_URL FIND_LINKS INDEX_URL NO_INDEX PROXY TRUSTED_HOST".split()
)

# ansible-test calls this, in each new virtual environment, with get-pip's options; two of them are unknown to pip itself.
PIP_STAND_IN = '''\
"""Install pip from the wheel beside this file; written by ferragosto.dr in place of get-pip.py."""
import os
import shutil
import sys

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "pip-{version}-py3-none-any.whl"))
if os.path.exists(os.path.join(here, "{config}")):
    shutil.copy(os.path.join(here, "{config}"), os.path.join(sys.prefix, "pip.conf"))

from pip._internal.cli.main import main

options = [a for a in sys.argv[1:] if a not in ("--no-setuptools", "--no-wheel")]
sys.exit(main(["install", "--no-index", "--find-links", here, *options]))
'''


def main() -> int:
    """Copy, prepare pip, run; return ansible-test's exit status."""
    # Variables of an outer git (a hook, say) would send our git commands to the wrong repository.
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or "SSL" in name}
    env["LC_ALL"] = "C.UTF-8"
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", "")])
    copy_work_tree(env)
    prepare_pip(env)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    command = ["ansible-test", "sanity", "--color", "no", "--python", python, *sys.argv[1:]]
    return subprocess.run(command, cwd=COPY, env=env, stdin=subprocess.DEVNULL, check=False).returncode


def copy_work_tree(env: dict[str, str]) -> None:
    """Copy what git tracks or would track, so that an uncommitted file is judged too."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        env=env,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    shutil.rmtree(COPY, ignore_errors=True)
    for name in filter(None, listed.split("\0")):
        source, target = ROOT / name, COPY / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    subprocess.run(["git", "init", "--quiet", "--initial-branch", "main"], cwd=COPY, env=env, check=True)


def prepare_pip(env: dict[str, str]) -> None:
    """Put pip where ansible-test looks for its bootstrap script before it downloads one.

    That download comes from a host that is no package registry and may be unreachable; the wheel comes by `pip`.
    """
    PIP_CACHE.mkdir(parents=True, exist_ok=True)
    settings = {name.lower(): env[f"PIP_{name}"] for name in PIP_SETTINGS if env.get(f"PIP_{name}")}
    PIP_CONFIG.touch(mode=0o600)  # an index address may hold a password
    lines = [f"{name.replace('_', '-')} = {value}\n" for name, value in {**settings, "quiet": "1"}.items()]
    PIP_CONFIG.write_text("[global]\n" + "".join(lines), encoding="utf-8")
    script = PIP_CACHE / f"get_pip_{PIP_VERSION.replace('.', '_')}.py"
    if script.exists():
        return
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        + ["--dest", str(PIP_CACHE), f"pip=={PIP_VERSION}"],
        env=env,
        check=True,
    )
    script.write_text(PIP_STAND_IN.format(version=PIP_VERSION, config=PIP_CONFIG.name), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
