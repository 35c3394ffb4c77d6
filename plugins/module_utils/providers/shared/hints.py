# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a picture of a display hints at. Supporting evidence only: nothing here reads words, and no verdict rests on it alone.

Heuristics, by what the screens have in common:

- *blue screen*: one saturated blue covers the picture up to its edges, with some light text. (A blue desktop has a task bar
  or a picture at its edges; the black stop screen of newer Windows cannot be told from a boot and is not claimed.)
- *panic*: a black text screen, at least ten lines, most of them long, one colour of text. A boot that stands still looks alike:
  so the caller must see it stand still for long.
- *boot*: a black screen with less text, or text in colours. *login*: a picture or a desktop. *blank*: nothing on it.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from enum import StrEnum

EDGE = 6  # pixels of a border
TEXT_DIFFERS = 60  # of 255: so far is text from its background
_BINS = 32  # shades per colour that count as one


class Hint(StrEnum):
    BLUE_SCREEN = "blue_screen"
    PANIC = "panic"
    BOOT = "boot"
    LOGIN = "login"
    BLANK = "blank"


WORDS = {
    Hint.BLUE_SCREEN: "its screen is blue with white text, as after a Windows stop error",
    Hint.PANIC: "its screen is full of kernel messages, as after a panic",
    Hint.BOOT: "its screen shows a boot",
    Hint.LOGIN: "its screen shows a picture, as a login or a desktop",
    Hint.BLANK: "its screen is blank",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was measured of a picture."""

    background: tuple[int, int, int]
    background_share: float  # of all pixels
    edge_share: float  # of the border's pixels that are background
    text_share: float
    lines: int  # of text
    long_lines: int  # that reach over a third of the width
    is_coloured: bool  # the text has a colour of its own besides grey and white


def hint(image: t.Any, picture: t.Any) -> Hint:
    """Return what the picture (RGB) hints at. ``image`` is Pillow's module, which providers import."""
    seen = measure(image, picture)
    red, green, blue = seen.background
    if seen.text_share < 0.0005 and seen.background_share > 0.999:
        return Hint.BLANK
    is_blue = blue >= 130 and blue - green >= 60 and blue - red >= 100
    if is_blue and seen.background_share >= 0.7 and seen.edge_share >= 0.98 and seen.text_share >= 0.003:
        return Hint.BLUE_SCREEN
    is_black = max(seen.background) <= 24 and seen.background_share >= 0.7
    if not is_black:
        return Hint.LOGIN
    is_dense = seen.lines >= 10 and seen.long_lines >= seen.lines // 3
    return Hint.PANIC if is_dense and not seen.is_coloured else Hint.BOOT


def measure(image: t.Any, picture: t.Any) -> Look:
    rgb = picture.convert("RGB")
    width, height = rgb.size
    background, share = _background(rgb)
    mask = _differing(image, rgb, background)
    text = sum(mask.histogram()[128:]) / (width * height)
    lines, long_lines = _lines(image, mask)
    edges = image.new("L", (width, height), 255)
    edges.paste(0, (EDGE, EDGE, width - EDGE, height - EDGE))
    border = sum(edges.histogram()[128:]) or 1
    on_border = sum(mask.histogram(edges)[128:])
    return Look(
        background=background,
        background_share=share,
        edge_share=1.0 - on_border / border,
        text_share=text,
        lines=lines,
        long_lines=long_lines,
        is_coloured=_is_coloured(rgb, mask, text),
    )


def _background(rgb: t.Any) -> tuple[tuple[int, int, int], float]:
    """Return the commonest colour, to a few shades, and its share."""
    width, height = rgb.size
    step = 256 // _BINS
    coarse = rgb.point([value // step * step for value in range(256)] * 3)
    count, colour = max(coarse.getcolors(width * height))
    middle = step // 2 if max(colour) else 0
    return (colour[0] + middle, colour[1] + middle, colour[2] + middle), count / (width * height)


def _differing(image: t.Any, rgb: t.Any, background: tuple[int, int, int]) -> t.Any:
    """Return where the picture is not its background: 255 there, 0 elsewhere."""
    mask = image.new("L", rgb.size, 0)
    for band, level in zip(rgb.split(), background, strict=True):
        far = band.point([255 if abs(value - level) > TEXT_DIFFERS else 0 for value in range(256)])
        mask.paste(255, (0, 0), far)
    return mask


def _lines(image: t.Any, mask: t.Any) -> tuple[int, int]:
    """Count the rows of text, and those that reach over a third of the width."""
    width, height = mask.size
    inked = list(mask.resize((1, height), image.Resampling.BOX).tobytes())
    lines = long_lines = 0
    top: int | None = None
    for row, ink in enumerate([*inked, 0]):
        if ink and top is None:
            top = row
        elif not ink and top is not None:
            box = mask.crop((0, top, width, row)).getbbox()
            lines += 1
            long_lines += box is not None and box[2] - box[0] > width / 3
            top = None
    return lines, long_lines


def _is_coloured(rgb: t.Any, mask: t.Any, text_share: float) -> bool:
    """Tell whether a tenth of the text is of a colour."""
    saturation = rgb.convert("HSV").split()[1].histogram(mask)
    inked = sum(saturation)
    return text_share > 0 and sum(saturation[100:]) > inked / 10
