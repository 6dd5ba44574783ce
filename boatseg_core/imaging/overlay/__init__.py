"""Draw masks over images, and pack the result small: thumbnails, contact sheets, data URIs.

Three colours carry one meaning everywhere. A pixel that only the truth claims was *missed*, one
that only the prediction claims is *false*, one that both claim is *agreement*; a truth mask on its
own takes the colour of missed and a prediction on its own that of false, so that there are three
colours to learn and no more. They stay apart for all three kinds of colour blindness and from
dark, turquoise and silver water; ``tests/core/imaging/test_overlay.py`` simulates both.
"""

from __future__ import annotations

from boatseg_core.imaging.overlay.pack import data_uri, jpeg_uri, markdown_image, to_jpeg, to_png
from boatseg_core.imaging.overlay.paint import (
    AGREEMENT,
    ALPHA,
    PREDICTION,
    TRUTH,
    Colour,
    Pixels,
    contour,
    draw_comparison,
    draw_overlay,
)
from boatseg_core.imaging.overlay.sheet import contact_sheet
from boatseg_core.imaging.overlay.shrink import shrink_mask, thumbnail

__all__ = [
    "AGREEMENT",
    "ALPHA",
    "PREDICTION",
    "TRUTH",
    "Colour",
    "Pixels",
    "contact_sheet",
    "contour",
    "data_uri",
    "draw_comparison",
    "draw_overlay",
    "jpeg_uri",
    "markdown_image",
    "shrink_mask",
    "thumbnail",
    "to_jpeg",
    "to_png",
]
