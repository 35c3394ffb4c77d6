# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring MIT Kerberos with its KDC, and the Python libraries built against it, below the folder given; print where they are.

    python tools/get_kerberos.py FOLDER

No root is needed: Debian's packages are downloaded with `apt-get download` and unpacked, not installed. Where that is not possible the
reason is printed instead of a folder and the exit code is 1: tests that need Kerberos are then left out.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements" / "kerberos.txt"
TOOLS = ("apt-get", "apt-cache", "dpkg-deb", "gcc")
PACKAGES = ("krb5-kdc", "krb5-admin-server", "krb5-user", "libkrb5-dev")
# Of all that they depend on: Kerberos' own libraries and the small ones beside them, not the C library or Perl.
OWN = re.compile(
    r"(?:krb5-(?:kdc|admin-server|user|multidev)|comerr-dev|libkrb5-dev|"
    r"lib(?:gssapi-krb5|gssrpc|k5crypto|kadm5clnt|kadm5srv|kdb5|krb5|verto-libev|verto[0-9]|ev[0-9]|keyutils|com-err|ss2)[a-z0-9.+-]*)"
)
ABOUT = "--recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances".split()
DOWNLOAD_TIMEOUT_S = 120
BUILD_TIMEOUT_S = 900


class NoKerberos(Exception):
    """Tell why there is none."""


def get_kerberos(folder: Path) -> Path:
    """Return the folder that holds `root` (Debian's files) and `python` (a folder for PYTHONPATH), made where it is missing."""
    mark = f"{sys.implementation.cache_tag} {REQUIREMENTS.read_text(encoding='utf-8')}"
    home = folder / hashlib.sha256(mark.encode()).hexdigest()[:12]
    if home.is_dir():
        return home
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise NoKerberos(f"{' and '.join(missing)} not found: Debian's KDC cannot be brought here")
    folder.mkdir(parents=True, exist_ok=True)
    print(
        "bringing Debian's Kerberos and building its Python libraries (once, some minutes)", file=sys.stderr, flush=True
    )
    with tempfile.TemporaryDirectory(dir=folder, prefix="new-") as work:
        new = Path(work) / "home"
        unpack(Path(work), new / "root")
        build(Path(work), new)
        try:
            os.replace(new, home)
        except OSError:  # another set-up was faster
            if not home.is_dir():
                raise
    return home


def unpack(work: Path, root: Path) -> None:
    """Download the packages and unpack them in `root`."""
    told = run(["apt-cache", "depends", *ABOUT, *PACKAGES], work, DOWNLOAD_TIMEOUT_S)
    names = sorted({line.strip() for line in told.splitlines() if OWN.fullmatch(line.strip())})
    absent = set(PACKAGES) - set(names)
    if absent:
        raise NoKerberos(f"apt knows no package {', '.join(sorted(absent))}: run apt-get update, or this is no Debian")
    run(["apt-get", "-qq", "download", *names], work, DOWNLOAD_TIMEOUT_S)
    root.mkdir(parents=True)
    for package in sorted(work.glob("*.deb")):
        run(["dpkg-deb", "-x", package, root], work, DOWNLOAD_TIMEOUT_S)


def build(work: Path, home: Path) -> None:
    """Build the Python libraries against what was unpacked."""
    root = home / "root"
    libraries = library_folders(root)
    (work / "bin").mkdir()
    shutil.copy(root / "usr/bin/krb5-config.mit", work / "bin/krb5-config")
    (gssapi,) = [found for folder in libraries for found in folder.glob("libgssapi_krb5.so.2")]
    env = {
        **os.environ,
        "PATH": f"{work / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}",
        "CFLAGS": f"-O1 -I{root}/usr/include/mit-krb5 -I{root}/usr/include",
        "LDFLAGS": " ".join(f"-L{folder} -L{folder}/mit-krb5" for folder in libraries),
        "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries)),
        "GSSAPI_MAIN_LIB": str(gssapi),
        "GSSAPI_LINKER_ARGS": "-lgssapi_krb5",
        "GSSAPI_COMPILER_ARGS": "-DHAS_GSSAPI_EXT_H",  # what its set-up looks for in the system's own folders
    }
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    run([*command, "--target", str(home / "python"), "-r", str(REQUIREMENTS)], work, BUILD_TIMEOUT_S, env)


def library_folders(root: Path) -> list[Path]:
    """Return where the shared libraries below `root` lie."""
    return sorted({path.parent for path in root.rglob("*.so.*") if "plugins" not in path.parts})


def run(command: Sequence[str | Path], folder: Path, within_s: float, env: dict[str, str] | None = None) -> str:
    """Run one command and return its output; its last lines are the reason of a failure."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout or "").strip().splitlines()
        raise NoKerberos(f"{Path(command[0]).name} failed: {' / '.join(lines[-2:]) or error.returncode}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoKerberos(str(error)) from error
    return done.stdout


def main() -> int:
    """Print the folder, or why there is none."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        print(get_kerberos(Path(sys.argv[1]).resolve()))
    except NoKerberos as why:
        print(why)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
