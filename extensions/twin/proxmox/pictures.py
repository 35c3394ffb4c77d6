# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a guest's display shows, drawn: at most 256 colours, so that any pixel format is a matter of tables."""

from __future__ import annotations

import functools
from collections.abc import Callable

from PIL import Image, ImageDraw, ImageFont

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import Screen

WIDTH, HEIGHT = 720, 400
BLUE = (0, 120, 215)  # of a Windows stop screen
_GREY, _WHITE, _GREEN = (170, 170, 170), (255, 255, 255), (24, 178, 24)
_DESKTOP, _TASKBAR, _WINDOW = (18, 74, 110), (30, 30, 34), (236, 236, 236)

_FIRMWARE = (
    "SeaBIOS (version rel-1.16.3-0-ga6ed6b701f0a-prebuilt.qemu.org)",
    "Machine UUID as configured",
    "",
    "iPXE (http://ipxe.org) 00:12.0 CA00 PCI2.10 PnP PMM",
    "",
    "Press ESC for boot menu.",
    "",
    "Booting from Hard Disk...",
)
_PANIC = (
    '[    1.913362] VFS: Cannot open root device "sda2" or unknown-block(0,0): error -6',
    '[    1.913911] Please append a correct "root=" boot option; here are the available partitions:',
    "[    1.914602] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)",
    "[    1.915210] CPU: 0 PID: 1 Comm: swapper/0 Not tainted 6.12.48-amd64 #1",
    "[    1.915733] Hardware name: QEMU Standard PC (i440FX + PIIX, 1996), BIOS rel-1.16.3",
    "[    1.916379] Call Trace:",
    "[    1.916590]  <TASK>",
    "[    1.916777]  dump_stack_lvl+0x5d/0x80",
    "[    1.917102]  panic+0x118/0x2fd",
    "[    1.917379]  mount_root_generic+0x1ad/0x270",
    "[    1.917741]  prepare_namespace+0x67/0x1c0",
    "[    1.918090]  kernel_init+0x15/0x1c0",
    "[    1.918399]  ret_from_fork+0x34/0x60",
    "[    1.918712]  </TASK>",
    "[    1.919023] ---[ end Kernel panic - not syncing: VFS: Unable to mount root fs ]---",
)


@functools.cache
def picture(screen: Screen, name: str = "") -> Image.Image:
    """Draw a screen, with the guest's name where a guest shows it; a palette image."""
    image = Image.new("RGB", (WIDTH, HEIGHT))
    _PAINTERS[screen](ImageDraw.Draw(image), name)
    return image.quantize(256, dither=Image.Dither.NONE)


def _none(draw: ImageDraw.ImageDraw, name: str) -> None:
    _write(draw, (WIDTH // 2, HEIGHT // 2), "Guest has not initialized the display (yet).", 14, _GREY, anchor="mm")


def _firmware(draw: ImageDraw.ImageDraw, name: str) -> None:
    _lines(draw, _FIRMWARE, _GREY, 13)


def _boot(draw: ImageDraw.ImageDraw, name: str) -> None:
    for row, unit in enumerate(("Local File Systems", "Network Time", "Basic System", "Login Service", "Database")):
        _write(draw, (10, 10 + row * 18), "[", 13, _GREY)
        _write(draw, (20, 10 + row * 18), "  OK  ", 13, _GREEN)
        _write(draw, (60, 10 + row * 18), f"] Reached target or started: {unit}.", 13, _GREY)
    for dot in range(5):
        x = WIDTH // 2 - 40 + dot * 20
        draw.ellipse((x, HEIGHT - 70, x + 7, HEIGHT - 63), fill=_WHITE)


def _login(draw: ImageDraw.ImageDraw, name: str) -> None:
    draw.rectangle((0, 0, WIDTH, HEIGHT), fill=_DESKTOP)
    _write(draw, (40, HEIGHT - 130), name or "server", 40, _WHITE)
    _write(draw, (WIDTH // 2, 60), "Press Ctrl+Alt+Delete to unlock.", 20, _WHITE, anchor="mm")


def _blue_screen(draw: ImageDraw.ImageDraw, name: str) -> None:
    draw.rectangle((0, 0, WIDTH, HEIGHT), fill=BLUE)
    _write(draw, (70, 40), ":(", 90, _WHITE)
    _write(draw, (70, 170), "Your device ran into a problem and needs to restart.", 18, _WHITE)
    _write(draw, (70, 196), "We're just collecting some error info, and then we'll restart for you.", 18, _WHITE)
    _write(draw, (70, 236), "0% complete", 18, _WHITE)
    _write(draw, (70, 300), "Stop code: INACCESSIBLE_BOOT_DEVICE", 13, _WHITE)


def _panic(draw: ImageDraw.ImageDraw, name: str) -> None:
    _lines(draw, _PANIC, _GREY, 13)


def _frozen(draw: ImageDraw.ImageDraw, name: str) -> None:
    draw.rectangle((0, 0, WIDTH, HEIGHT), fill=_DESKTOP)
    draw.rectangle((0, HEIGHT - 34, WIDTH, HEIGHT), fill=_TASKBAR)
    _write(draw, (WIDTH - 60, HEIGHT - 26), "03:12", 14, _WHITE)
    draw.rectangle((120, 60, 520, 280), fill=_WINDOW)
    draw.rectangle((120, 60, 520, 86), fill=(0, 84, 153))
    _write(draw, (130, 65), f"{name or 'Application'} (Not Responding)", 14, _WHITE)


_PAINTERS: dict[Screen, Callable[[ImageDraw.ImageDraw, str], None]] = {
    Screen.NONE: _none,
    Screen.FIRMWARE: _firmware,
    Screen.BOOT: _boot,
    Screen.LOGIN: _login,
    Screen.BLUE_SCREEN: _blue_screen,
    Screen.PANIC: _panic,
    Screen.FROZEN: _frozen,
}


def _lines(draw: ImageDraw.ImageDraw, lines: tuple[str, ...], colour: tuple[int, int, int], size: int) -> None:
    for row, line in enumerate(lines):
        _write(draw, (8, 8 + row * (size + 5)), line, size, colour)


def _write(
    draw: ImageDraw.ImageDraw,
    at: tuple[int, int],
    text: str,
    size: int,
    colour: tuple[int, int, int],
    anchor: str = "la",
) -> None:
    draw.text(at, text, fill=colour, font=_font(size), anchor=anchor)


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
