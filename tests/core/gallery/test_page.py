from __future__ import annotations

import base64
import datetime
import hashlib
import io
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boatseg_core.errors import InputError
from boatseg_core.gallery.card import Card, mask_layers, say
from boatseg_core.gallery.page import render_page, write_page
from boatseg_core.imaging import overlay

HOSTILE = [
    "<script>document.title='pwned'</script>.jpg",
    '"><img src=x onerror="document.title=\'pwned\'">.jpg',
    "</script><script>document.title='pwned'</script>",
    "<!--<script>",
    "{{title}}{{script}}",
    "a\x00b\x1b[31m\udcff.jpg",
    "\u202egpj.exe",
    "&lt;b&gt; &amp; 'x' `y`",
]


def picture(seed: int = 0, height: int = 96, width: int = 120) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 255, (height, width, 3), dtype=np.uint8)


def box(x: int, y: int, height: int = 96, width: int = 120) -> np.ndarray:
    mask = np.zeros((height, width), dtype=np.bool_)
    mask[y : y + 20, x : x + 30] = True
    return mask


def deck() -> list[Card]:
    return [
        Card("both.jpg", picture(0), box(10, 10), box(20, 15), {"iou": 0.4, "split": "test"}),
        Card("truth.jpg", picture(1), box(10, 10), None, {"iou": None, "split": "test"}),
        Card("scored.jpg", picture(2), None, box(5, 5), {"iou": float("nan"), "split": "valid"}),
        Card("empty.jpg", picture(3), box(0, 0) & False, box(0, 0) & False, {"iou": 1.0}),
        Card("broken.jpg", b"\xff\xd8 no", None, None, {"iou": 0.1, "split": "test"}),
    ]


class Elements(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str, kind: str = "") -> list[dict[str, str | None]]:
        return [a for t, a in self.found if t == tag and kind in (a.get("class") or "").split(" ")]


def data_of(page: str) -> dict[str, list]:
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert match
    return json.loads(match[1])


def test_every_card_is_there_with_its_layers() -> None:
    page = render_page("Deck", deck(), summary={"boat IoU": 0.61234, "images": 12345})
    elements = Elements(page)
    cards = elements.all("li", "card")
    assert [card["data-id"] for card in cards] == [card.image_id for card in deck()]
    photos = elements.all("img", "photo")
    assert [photo["alt"] for photo in photos] == [
        "both.jpg",
        "truth.jpg",
        "scored.jpg",
        "empty.jpg",
    ]
    layers = elements.all("img", "layer")
    assert [layer["class"] for layer in layers] == [
        "layer truth",
        "layer prediction",
        "layer compare",
        "layer truth compare",
        "layer prediction compare",
    ]
    assert all(layer["alt"] == "" for layer in layers)
    assert all(e["width"] == "120" and e["height"] == "96" for e in photos + layers)
    text = "".join(elements.text)
    assert "0.612" in text and "12,345" in text
    assert "not a JPEG" in text  # the broken one says why
    assert text.count("not labelled") == 2  # the card that is not, and the legend


def test_photo_and_layer_lie_on_each_other_pixel_by_pixel() -> None:
    truth, prediction = box(10, 10), box(20, 15)
    layers = dict(mask_layers(96, 120, Card("x", picture(), truth, prediction)))
    for kind, area, colour in [
        ("truth", truth, overlay.TRUTH),
        ("prediction", prediction, overlay.PREDICTION),
        ("compare", truth & prediction, overlay.AGREEMENT),
        ("compare", truth & ~prediction, overlay.TRUTH),
        ("compare", prediction & ~truth, overlay.PREDICTION),
    ]:
        with Image.open(io.BytesIO(layers[kind])) as layer:
            assert layer.mode == "P"
            rgba = np.asarray(layer.convert("RGBA"))
        assert (rgba[area][:, :3] == colour).all()
        assert (rgba[area][:, 3] > 100).all()
    assert (rgba[~(truth | prediction)][:, 3] == 0).all()
    assert sum(map(len, layers.values())) < 1000


def test_the_page_fetches_nothing_and_only_its_own_script_may_run() -> None:
    page = render_page("Deck", deck())
    assert not re.search(
        r"https?:|//[a-z]|@import|url\(|\.open\(|eval|innerHTML", page.split("<main>")[0]
    )
    script = re.findall(r"<script>(.*?)</script>", page, re.S)
    assert len(script) == 1
    for banned in ("fetch(", "XMLHttp", "innerHTML", "eval(", "http:", "https:"):
        assert banned not in script[0]
    elements = Elements(page)
    (policy,) = [a["content"] for a in elements.all("meta") if a.get("http-equiv")]
    assert policy and policy.startswith("default-src 'none'; img-src data:;")
    digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    for _, attributes in elements.found:
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:").startswith(("data:image/", "data:", "#"))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text_wherever_they_appear(name: str) -> None:
    card = Card(name, picture(), box(1, 1), None, {name: name, "n": 1})
    page = render_page(name, [card], summary={name: name}, class_name=name)
    plain = render_page(
        "t",
        [Card("i", picture(), box(1, 1), None, {"f": "v", "n": 1})],
        summary={"s": "v"},
        class_name="c",
    )
    assert [tag for tag, _ in Elements(page).found] == [tag for tag, _ in Elements(plain).found]
    page.encode("utf-8")
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", page)
    raw = re.search(r'id="data">(.*?)</script>', page, re.S)
    assert raw and not re.search(r"[<>&]", raw[1])
    assert data_of(page)["columns"][0]["key"] == name


def test_columns_are_typed_for_sorting_and_filtering() -> None:
    data = data_of(render_page("Deck", deck()))
    iou, split = data["columns"]
    assert (iou["kind"], iou["low"], iou["high"]) == ("number", 0.1, 1.0)
    assert (split["kind"], split["choices"]) == ("choice", ["test", "valid"])
    assert data["rows"] == [
        [0.4, "test"],
        [None, "test"],
        [None, "valid"],
        [1.0, None],
        [0.1, "test"],
    ]
    many = [Card(str(i), picture(), fields={"name": f"n{i}", "ok": i > 2}) for i in range(20)]
    kinds = {c["key"]: c for c in data_of(render_page("Many", many, size=32))["columns"]}
    assert kinds["name"]["kind"] == "text"
    assert kinds["ok"]["choices"] == ["no", "yes"]


def test_the_page_keeps_its_bound_and_says_what_it_left_out() -> None:
    cards = [Card(f"{i}.png", picture(i, 300, 300)) for i in range(40)]
    bound = 400_000
    page = render_page("Full", cards, max_bytes=bound)
    shown = len(Elements(page).all("li", "card"))
    assert len(page.encode()) <= bound
    assert 0 < shown < 40
    assert f"{40 - shown} of 40 pictures were left out" in page
    assert "under 0.4 MB" in page
    assert len(data_of(page)["rows"]) == shown

    def endless_looking() -> Iterator[Card]:
        yield from cards

    assert f"{40 - shown} of 40 pictures" in render_page(
        "Full", endless_looking(), count=40, max_bytes=bound
    )
    assert "of 40 pictures were left out" in render_page(
        "Full", endless_looking(), max_bytes=bound, size=224
    )


def test_pictures_are_embedded_as_large_as_fits() -> None:
    def side(count: int, bound: int) -> int:
        cards = [Card(f"{i}", picture(i, 800, 800)) for i in range(count)]
        page = render_page("Side", cards, max_bytes=bound)
        elements = Elements(page).all("img", "photo")
        assert len(elements) == count
        return int(elements[0]["width"] or 0)

    assert side(1, 20_000_000) == 768
    assert 224 <= side(12, 2_500_000) < 768


def test_an_empty_gallery_says_so() -> None:
    page = render_page("Nothing", [])
    assert "There are no pictures to show: no row was selected." in page
    assert data_of(page) == {"columns": [], "rows": []}


def test_writing_replaces_the_page_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "page.html"
    assert write_page(path, "One", deck()) == path.absolute()
    first = path.read_text(encoding="utf-8")

    def failing() -> Iterator[Card]:
        yield deck()[0]
        raise RuntimeError("the lake went away")

    with pytest.raises(RuntimeError):
        write_page(path, "Two", failing())
    assert path.read_text(encoding="utf-8") == first
    write_page(path, "Three", deck())
    assert "<title>Three</title>" in path.read_text(encoding="utf-8")
    assert [p.name for p in path.parent.iterdir()] == ["page.html"]


def test_a_path_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"gallery cannot be written to .*file.page\.html"):
        write_page(tmp_path / "file" / "page.html", "x", [])
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(InputError, match=r"folder\.html"):
        write_page(tmp_path / "folder.html", "x", [])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.html"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (True, "yes"),
        (np.bool_(False), "no"),
        (3, "3"),
        (np.int64(1234567), "1,234,567"),
        (0.5, "0.5"),
        (0.0, "0"),
        (1.0, "1"),
        (0.78125, "0.781"),
        (0.00001234, "1.2e-05"),
        (12345.678, "12,346"),
        (float("nan"), "–"),
        (float("inf"), "inf"),
        (np.float32(0.25), "0.25"),
        ([0.5, 1], "0.5, 1"),
        ([], "–"),
        (datetime.datetime(2024, 1, 2, 3, 4, 5), "2024-01-02 03:04:05"),
        ("<b>", "<b>"),
    ],
)
def test_values_read_well(value: object, text: str) -> None:
    assert say(value) == text


def test_the_legend_calls_a_prediction_false_only_where_everything_is_labelled() -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    mask = np.zeros((32, 32), np.bool_)
    mask[4:9, 4:9] = True
    labelled = Card("a", image, truth=mask, prediction=mask)
    unlabelled = Card("b", image, prediction=mask)

    assert "false alarm, or not labelled" in render_page("t", [labelled, unlabelled])
    assert "false alarm, or" not in render_page("t", [labelled])
