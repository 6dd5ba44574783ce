"""A gallery as one HTML file: it fetches nothing and opens anywhere.

The pictures are embedded as small JPEGs and the masks as palette PNGs above them, so that the
browser can switch between truth, prediction and their comparison. Every text that came from a
file is escaped, and a content security policy with the hashes of the page's own style and script
keeps anything else from running should an escape ever be missed.
"""

from __future__ import annotations

from boatseg_core.gallery.page.render import MAX_BYTES, SIZES, render_page, save_page, write_page

__all__ = ["MAX_BYTES", "SIZES", "render_page", "save_page", "write_page"]
