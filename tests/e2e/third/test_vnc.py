# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A plain VNC client over websocket sees what is on a guest's display: with a token and with a ticket, and with neither not."""

from __future__ import annotations

import typing as t
from urllib.parse import quote, urlencode

import pytest
import websocket
from PIL import Image
from proxmoxer.tools import Tasks  # type: ignore[import-untyped]

from ansible_collections.ferragosto.dr.extensions.twin.lab import wait_for
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import Screen
from ansible_collections.ferragosto.dr.tests.e2e.third.kit import Stranger
from ansible_collections.ferragosto.dr.tests.e2e.third.rfb_client import Viewer, WrongPassword, connect, share_of

STOP_BLUE, DESKTOP = (0, 120, 215), (18, 74, 110)


def console(stranger: Stranger, client: t.Any, vm: str, **options: t.Any) -> tuple[str, dict[str, t.Any]]:
    """Ask for a VNC proxy; returns the address of its websocket, and its words."""
    node, vmid = stranger.production, stranger.vmid(vm)
    proxy = client.nodes(node).qemu(vmid).vncproxy.post(websocket=1, **options)
    query = urlencode({"port": proxy["port"], "vncticket": proxy["ticket"]})
    base = stranger.url().replace("https:", "wss:")
    return f"{base}/nodes/{node}/qemu/{vmid}/vncwebsocket?{query}", proxy


def by_token(stranger: Stranger) -> dict[str, t.Any]:
    return {"header": stranger.key.header}


def look(stranger: Stranger, vm: str) -> tuple[Viewer, Image.Image]:
    url, proxy = console(stranger, stranger.by_token(), vm, **{"generate-password": 1})
    viewer = Viewer(connect(url, ca_path=stranger.ca_path, **by_token(stranger)), proxy["password"])
    return viewer, viewer.picture()


def install(stranger: Stranger, vm: str, ostype: str) -> None:
    """Make a VM one of Windows or Linux, as its owner would; it runs again at the end."""
    client = stranger.by_token()
    machine = client.nodes(stranger.production).qemu(stranger.vmid(vm))
    for act in (machine.status.stop.post, lambda: machine.config.put(ostype=ostype), machine.status.start.post):
        upid = act()
        assert upid is None or Tasks.blocking_status(client, upid, 10, 0.05)["exitstatus"] == "OK"
    stranger.await_serving(vm, stranger.production)


def test_login_screen_is_seen_with_a_token(stranger: Stranger) -> None:
    viewer, picture = look(stranger, "solo")
    assert viewer.version == b"RFB 003.008\n"
    assert viewer.security == (2,), "VNC authentication and nothing weaker"
    assert "solo" in viewer.name
    assert picture.size == viewer.size
    assert min(picture.size) >= 400
    assert share_of(picture, DESKTOP) > 0.8
    assert share_of(picture, (255, 255, 255)) > 0.003, "there is writing on it"
    assert share_of(picture, STOP_BLUE) < 0.01
    viewer.close()


def test_login_screen_is_seen_with_a_ticket_whose_console_ticket_is_the_password(stranger: Stranger) -> None:
    client = stranger.by_password()
    url, proxy = console(stranger, client, "solo")
    assert proxy["ticket"].startswith(f"{proxy['password']}:PVEVNC:"), "DES takes its first eight characters"
    cookie = f"PVEAuthCookie={quote(client.get_tokens()[0], safe='')}"
    viewer = Viewer(connect(url, ca_path=stranger.ca_path, cookie=cookie), proxy["ticket"])
    assert share_of(viewer.picture(), DESKTOP) > 0.8
    viewer.close()


@pytest.mark.parametrize(("ostype", "colour", "share"), [("win11", STOP_BLUE, 0.85), ("l26", (0, 0, 0), 0.7)])
def test_dead_guest_is_seen_while_the_api_says_running(
    stranger: Stranger, ostype: str, colour: tuple[int, int, int], share: float
) -> None:
    """A blue screen, or a kernel's panic."""
    install(stranger, "solo", ostype)
    stranger.bench.control.corrupt("solo", since_s=3600)
    datacenter, vmid = stranger.lab.datacenters[0], stranger.vmid("solo")
    screen = Screen.BLUE_SCREEN if ostype == "win11" else Screen.PANIC
    wait_for(lambda: datacenter.screen_of(stranger.production, vmid) is screen, 5, f"the {screen}")
    assert stranger.by_token().nodes(stranger.production).qemu(vmid).status.current.get()["status"] == "running"
    viewer, picture = look(stranger, "solo")
    assert share_of(picture, colour) > share
    assert share_of(picture, DESKTOP) < 0.01
    assert 0.003 < 1 - share_of(picture, colour, 100) < 0.3, "there is writing on it"
    viewer.close()


def test_screen_that_changes_is_sent_to_who_waits_for_a_change(stranger: Stranger) -> None:
    install(stranger, "solo", "win11")
    viewer, before = look(stranger, "solo")
    stranger.bench.control.crash("solo")
    after = viewer.picture(is_incremental=True)
    assert share_of(before, STOP_BLUE) < 0.01
    assert share_of(after, STOP_BLUE) > 0.85
    viewer.close()


def test_console_leaves_a_task_that_ends_with_it(stranger: Stranger) -> None:
    client = stranger.by_token()
    url, proxy = console(stranger, client, "solo", **{"generate-password": 1})
    task = client.nodes(stranger.production).tasks(proxy["upid"]).status
    viewer = Viewer(connect(url, ca_path=stranger.ca_path, **by_token(stranger)), proxy["password"])
    assert task.get()["status"] == "running"
    viewer.close()
    wait_for(lambda: task.get()["status"] == "stopped", 5, "the end of the console's task")


def test_wrong_vnc_password_is_told(stranger: Stranger) -> None:
    url, dummy = console(stranger, stranger.by_token(), "solo", **{"generate-password": 1})
    with pytest.raises(WrongPassword, match="Authentication failed"):
        Viewer(connect(url, ca_path=stranger.ca_path, **by_token(stranger)), "12345678")


@pytest.mark.parametrize("what", ["nobody", "wrong ticket"])
def test_websocket_is_for_who_asked_for_the_console(stranger: Stranger, what: str) -> None:
    url, proxy = console(stranger, stranger.by_token(), "solo")
    login: dict[str, t.Any] = {} if what == "nobody" else by_token(stranger)
    if what == "wrong ticket":
        url = url.replace(quote(proxy["ticket"], safe=""), "PVEVNC%3A00000000%3A%3Awrong")
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        connect(url, ca_path=stranger.ca_path, **login)
    assert refused.value.status_code == 401
