# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the documentation site in build/docs, without the network."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "build" / "docs"
COLLECTION = "ferragosto.dr"


def run(*command: str) -> None:
    """Run a documentation tool in the site's folder; its failure is ours."""
    subprocess.run(
        [str(Path(sys.executable).parent / command[0]), *command[1:]], cwd=FOLDER, check=True, stdout=sys.stderr
    )


def main() -> int:
    """Write the site's sources anew, then its pages."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    try:
        run(
            *"antsibull-docs sphinx-init --use-current --squash-hierarchy --lenient --dest-dir .".split(),
            *("--sphinx-theme", "alabaster", "--project", COLLECTION, "--title", COLLECTION),
            *("--copyright", "the ferragosto.dr contributors", COLLECTION),
        )
        (FOLDER / "rst").chmod(0o755)  # antsibull-docs wants it writable by its owner alone
        run(
            *"antsibull-docs --config-file antsibull-docs.cfg collection --cleanup everything --fail-on-error".split(),
            *f"--use-current --squash-hierarchy --dest-dir rst {COLLECTION}".split(),
        )
        # Cross-references to other projects' sites would be fetched from them: the site has none to lose.
        conf = FOLDER / "conf.py"
        conf.write_text(conf.read_text(encoding="utf-8") + "\nintersphinx_mapping = {}\n", encoding="utf-8")
        run(*"sphinx-build -q -D suppress_warnings=ref.ref -b html -c . rst html".split())
    except subprocess.CalledProcessError as error:
        print(error, file=sys.stderr)
        return 1
    print(FOLDER / "html" / "index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
