# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The round trips of Hyper-V are counts, the same on any machine: so they are claimed here, and not only benchmarked."""

from __future__ import annotations

import pytest

from ansible_collections.ferragosto.dr.tests.bench import bench_hyperv, hyperv_site


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    with hyperv_site.site(20, tmp_path_factory.mktemp("bench")) as site:
        yield list(bench_hyperv.reads(site, 20, 1))


def test_a_site_of_twenty_vms_is_read_by_one_process_on_each_host(figures):
    commands, _requests, *_told = figures
    assert (commands.value, commands.is_met) == (2, True)


def test_an_operation_takes_four_requests_once_the_shell_is_open(figures):
    _commands, requests, *_told = figures
    assert (requests.value, requests.is_met) == (4, True)  # Command, Send, Receive, Signal
