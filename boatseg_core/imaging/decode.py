"""From untrusted bytes to pixels."""

from __future__ import annotations

import io
import re
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from boatseg_core.errors import ImageError
from boatseg_core.imaging import jpeg

RgbImage = npt.NDArray[np.uint8]

FORMATS: Final = ("JPEG", "PNG", "TIFF", "WEBP", "BMP")
"""Formats that are ever opened. A fixed list, since others (EPS) start external programs."""

REASONS: Final = {
    "empty": "the file has no bytes",
    "not_an_image": "the bytes are not an image in a known format",
    "too_many_pixels": "the picture is larger than decode.max_pixels allows",
    "too_many_scans": "the JPEG is coded in more passes than any encoder makes",
    "truncated": "the file ends before the picture does",
    "corrupt": "the picture's data is damaged",
    "unsupported_mode": "the pixel layout cannot be turned into RGB",
}
"""Reasons an image can be refused with, and what they mean."""

DEFAULT_MAX_PIXELS: Final = 80_000_000

MAX_SCANS: Final = 100
"""Most scans of a JPEG that is decoded. libjpeg's own progressive script has 10."""

# Bytes, where they stand, and what has them there: what people drop beside their images.
_KNOWN: Final = (
    (b"ftyphei", 4, "HEIC, a phone's format: convert it to JPEG"),
    (b"ftypmif1", 4, "HEIC, a phone's format: convert it to JPEG"),
    (b"ftypavi", 4, "AVIF: convert it to JPEG or PNG"),
    (b"ftyp", 4, "a video"),
    (b"GIF8", 0, "a GIF: convert it to PNG"),
    (b"\0\0\0\x0cjP", 0, "JPEG 2000: convert it to TIFF or PNG"),
    (b"\xff\x4f\xff\x51", 0, "JPEG 2000: convert it to TIFF or PNG"),
    (b"%PDF", 0, "a PDF"),
    (b"%!PS", 0, "PostScript"),
    (b"PK\x03\x04", 0, "a zip archive, or a document that is one"),
    (b"\x1f\x8b", 0, "compressed with gzip"),
    (b"<!doctype html", 0, "a web page, perhaps an error that was saved as a picture"),
    (b"<html", 0, "a web page, perhaps an error that was saved as a picture"),
    (b"<svg", 0, "an SVG drawing: convert it to PNG"),
)

_SCAN = b"\xff\xda"
# Neither a byte of a scan's data (ff 00) nor a restart within it.
_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")

# Our own bound is checked before a pixel is decoded. Pillow's is one value for the whole process:
# it would overrule any decode.max_pixels above it.
Image.MAX_IMAGE_PIXELS = None


def open_image(data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Image.Image:
    """Open an image without decoding its pixels.

    Args:
        data: The file's bytes.
        max_pixels: Larger pictures are refused before anything is decoded.

    Raises:
        ImageError: The bytes are empty, no known image, or too large.
    """
    if not data:
        raise ImageError("empty", "the file has no bytes")
    canvas = _webp_canvas(data)
    if canvas is not None:
        _check_size(*canvas, max_pixels)
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except MemoryError:  # says nothing about the file
        raise
    except UnidentifiedImageError:
        raise ImageError(
            "not_an_image", f"not a {', '.join(FORMATS)} image ({_what(data)})"
        ) from None
    except Exception as error:  # Pillow's parsers raise many kinds on hostile headers
        raise ImageError("corrupt", f"the header is damaged: {_say(error)}") from error
    _check_size(image.width, image.height, max_pixels)
    if image.info.get("progressive"):
        _check_scans(data)
    return image


def load_rgb(image: Image.Image) -> Image.Image:
    """Decode an opened image completely and bring it to 8-bit RGB, upright.

    Args:
        image: As :func:`open_image` returned it; it is turned upright in place.

    Raises:
        ImageError: The stream is truncated, damaged, or of a layout that has no RGB meaning.
    """
    try:
        image.load()
        ImageOps.exif_transpose(image, in_place=True)  # or an upright one would be copied
    except MemoryError:
        raise
    except Exception as error:  # as above: OSError, SyntaxError, ValueError, struct.error, ...
        text = _say(error)
        kind = "truncated" if "truncated" in text or "Truncated" in text else "corrupt"
        raise ImageError(kind, f"the picture cannot be decoded: {text}") from error
    try:
        return _to_rgb(image)
    except (ValueError, OSError) as error:
        raise ImageError(
            "unsupported_mode", f"mode {image.mode} cannot be read as RGB: {_say(error)}"
        ) from error


def decode(data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> RgbImage:
    """Decode an image completely.

    Args:
        data: The file's bytes (JPEG, PNG, TIFF, WebP or BMP).
        max_pixels: Larger pictures are refused before anything is decoded.

    Returns:
        uint8 ``[H, W, 3]`` RGB with the EXIF orientation applied; 16-bit grey is scaled to 8.

    Raises:
        ImageError: See :data:`REASONS`.
    """
    image = open_image(data, max_pixels=max_pixels)
    if jpeg.is_plain(image):
        pixels = jpeg.pixels(data, image.size)
        if pixels is not None:
            return pixels
    return np.asarray(load_rgb(image))


def _what(data: bytes) -> str:
    """Say what a file is that is no picture, as far as its first bytes tell."""
    for start, at, name in _KNOWN:
        if data[at : at + len(start)].lower() == start.lower():
            return f"it is {name}"
    return f"it starts with {data[:8].hex(' ')}"


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise ImageError(
            "too_many_pixels",
            f"{width}x{height} pixels are more than the {max_pixels} allowed",
        )


def _check_scans(data: bytes) -> None:
    """Refuse a JPEG whose passes over the picture would keep a thread busy for minutes.

    A progressive JPEG is decoded in scans, each of which visits every block. 100 bytes can ask for
    one more, which for the largest picture allowed takes some 20 ms: a file of 1 MB, five minutes.
    (A scan of any other JPEG has at least two bits for every block: its size pays for its time.)
    """
    if data.count(_SCAN) <= MAX_SCANS:  # few enough even if all of them are scans
        return
    scans, at = 0, 2
    while scans <= MAX_SCANS and (found := _MARKER.search(data, at)):
        marker, at = found[0][-1], found.end()
        if marker == 0xD9:  # end of image: what follows (a preview, a video) is not decoded
            return
        scans += marker == 0xDA
        if marker not in (0x01, 0xD8):
            at += int.from_bytes(data[at : at + 2], "big")
    if scans > MAX_SCANS:
        raise ImageError(
            "too_many_scans", f"coded in more than {MAX_SCANS} scans, encoders make 20 at most"
        )


def _webp_canvas(data: bytes) -> tuple[int, int] | None:
    """Read the canvas size from an extended WebP header (VP8X; RFC 9649, section 2.7).

    Pillow's WebP plugin allocates two canvases (up to 2**32 pixels each) merely to open a file.
    The other two headers cannot name more than 2**28 pixels.
    """
    if len(data) < 30 or data[:4] != b"RIFF" or data[8:16] != b"WEBPVP8X":
        return None
    return (
        int.from_bytes(data[24:27], "little") + 1,
        int.from_bytes(data[27:30], "little") + 1,
    )


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I;16") or image.mode == "I":
        # Convert would clip everything above 255 to white.
        grey = np.asarray(image).astype(np.int64)
        scale = 257 if image.mode.startswith("I;16") or grey.max(initial=0) > 255 else 1
        return Image.fromarray(np.clip(grey // scale, 0, 255).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("floating point pixels have no fixed range")
    return image.convert("RGB")


def _say(error: Exception) -> str:
    return str(error) or type(error).__name__
