# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"
WAYS_TO_SKIP = {
    "in the test": "def test_it(): pytest.skip('no vcsim here')",
    "by a mark": "@pytest.mark.skip(reason='no vcsim here')\ndef test_it(): pass",
    "in a fixture": "@pytest.fixture\ndef lab(): pytest.skip('no vcsim here')\ndef test_it(lab): pass",
    "of a whole file": "pytest.skip('no vcsim here', allow_module_level=True)",
}


def run(pytester, source):
    """Run one test file under our conftest, in a process of its own."""
    pytester.makeconftest(CONFTEST.read_text(encoding="utf-8"))
    pytester.makepyfile(f"import pytest\n{source}")
    return pytester.runpytest_subprocess("-p", "no:xdist")


@pytest.mark.parametrize("source", WAYS_TO_SKIP.values(), ids=WAYS_TO_SKIP)
def test_a_skip_fails_with_ci_true_and_tells_reason_and_cure(pytester, monkeypatch, source):
    monkeypatch.setenv("CI", "true")
    done = run(pytester, source)
    assert done.ret != 0
    assert "no vcsim here" in done.stdout.str()
    assert "make setup" in done.stdout.str()


def test_a_skip_is_a_skip_on_a_desk(pytester, monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    done = run(pytester, WAYS_TO_SKIP["in a fixture"] + "\ndef test_other(): pass")
    assert done.ret == 0
    done.assert_outcomes(passed=1, skipped=1)


def test_an_expected_failure_stays_one_with_ci_true(pytester, monkeypatch):
    monkeypatch.setenv("CI", "true")
    run(pytester, "@pytest.mark.xfail\ndef test_it(): assert False").assert_outcomes(xfailed=1)
