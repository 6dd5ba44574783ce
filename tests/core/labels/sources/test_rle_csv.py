from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from boatseg_core.errors import InputError, RleError
from boatseg_core.imaging import rle
from boatseg_core.labels.sources.base import Annotation, Item, Problem
from boatseg_core.labels.sources.rle_csv import read_rows


def read(path: Path, image: str = "ImageId", mask: str = "EncodedPixels") -> list[Item]:
    return list(read_rows(path, image_column=image, mask_column=mask))


def write(tmp_path: Path, data: bytes | str) -> Path:
    path = tmp_path / "masks.csv"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def test_the_real_layout(tmp_path: Path) -> None:
    path = write(tmp_path, "ImageId,EncodedPixels\na.jpg,\nb.jpg,1 2 5 6\nb.jpg,9 1\n")
    assert read(path) == [
        Annotation("a.jpg", "", 2),
        Annotation("b.jpg", "1 2 5 6", 3),
        Annotation("b.jpg", "9 1", 4),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("quote", ["", '"'])
def test_dialects(tmp_path: Path, delimiter: str, ending: str, encoding: str, quote: str) -> None:
    lines = [["ImageId", "EncodedPixels"], ["ä.jpg", "1 2"], ["b.jpg", ""]]
    text = ending.join(delimiter.join(f"{quote}{c}{quote}" for c in line) for line in lines)
    path = write(tmp_path, text.encode(encoding))
    assert read(path) == [Annotation("ä.jpg", "1 2", 2), Annotation("b.jpg", "", 3)]


def test_extra_columns_other_order_blank_lines_and_blanks(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "\n\nEncodedPixels , who, ImageId\n\n 1 2 ,me, a.jpg \n\n,,\n3 4,you,b.jpg, ,\n",
    )
    assert read(path) == [Annotation("a.jpg", "1 2", 5), Annotation("b.jpg", "3 4", 8)]


def test_lines_are_counted_over_a_cell_with_line_breaks(tmp_path: Path) -> None:
    path = write(tmp_path, 'ImageId,EncodedPixels\na.jpg,"1 2\n3 4"\nb.jpg,5 6\n')
    assert read(path) == [Annotation("a.jpg", "1 2\n3 4", 2), Annotation("b.jpg", "5 6", 4)]


def test_a_row_that_ends_early_is_not_an_empty_mask(tmp_path: Path) -> None:
    path = write(tmp_path, "ImageId,EncodedPixels\na.jpg\n,1 2\n")
    assert read(path) == [
        Annotation("a.jpg", None, 2),
        Annotation("", "1 2", 3),
        Problem("", 3, "no_image", "line 3 names no image"),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("cells", [["1 2", "3 4"], ["1", "2"], ["", "3 4"]])
def test_run_lengths_in_more_cells_than_columns_are_not_half_a_mask(
    tmp_path: Path, delimiter: str, cells: list[str]
) -> None:
    rows = [["ImageId", "EncodedPixels"], ["a.jpg", *cells], ["b.jpg", "5 6", " ", ""]]
    path = write(tmp_path, "\n".join(map(delimiter.join, rows)))
    bad, good = read(path)
    assert isinstance(bad, Annotation) and bad.text is not None
    with pytest.raises(RleError, match="'\\|' is not a positive whole number"):
        rle.decode(bad.text, 10, 10)
    assert good == Annotation("b.jpg", "5 6", 3)


def test_header_alone_has_no_rows_and_case_does_not_matter(tmp_path: Path) -> None:
    assert read(write(tmp_path, "imageid,encodedpixels")) == []


def test_other_column_names(tmp_path: Path) -> None:
    path = write(tmp_path, "file,rle\nw.png,1 2\n")
    assert read(path, "file", "rle") == [Annotation("w.png", "1 2", 2)]


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xef\xbb\xbf", b"  \r\n"])
def test_an_empty_file_is_named(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InputError, match=r"masks\.csv is empty"):
        read(write(tmp_path, data))


def test_a_missing_column_is_named_with_the_columns_found(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(write(tmp_path, "ImageId;pixels;x\na;1 2;\n"))
    message = str(caught.value)
    assert "masks.csv has no column EncodedPixels: found 'ImageId', 'pixels', 'x'" in message
    assert "labels.mask_column" in message


@pytest.mark.parametrize("data", [b"\xff\xd8\xff\xe0" + bytes(range(256)) * 40, b"\x80" * 300_000])
def test_a_picture_instead_of_a_csv(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InputError, match=r"masks\.csv"):
        read(write(tmp_path, data))


def test_text_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="UTF-8"):
        read(write(tmp_path, "ImageId,EncodedPixels\n\u00e4.jpg,1 2\n".encode("latin-1")))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"masks\.csv cannot be read"):
        read(tmp_path / "masks.csv")


def test_a_ten_megabyte_cell(tmp_path: Path) -> None:
    cell = "1 1 " * 2_500_000
    rows = read(write(tmp_path, f"ImageId,EncodedPixels\na,{cell}\nb,1 2\n"))
    assert [(row.image_id, row.line, len(row.text or "")) for row in rows] == [
        ("a", 2, 9_999_999),
        ("b", 3, 3),
    ]


@pytest.mark.parametrize("rest", ["c,1 2\n" * 1000, 'c,1 2\nd,"3 4"\n', ""])
def test_a_quote_that_is_never_closed_is_named_rather_than_swallow_the_rows(
    tmp_path: Path, rest: str
) -> None:
    path = write(tmp_path, 'ImageId,EncodedPixels\na,1 2\nb,"1 2\n' + rest)
    with pytest.raises(InputError, match=r"masks\.csv, line 3: .*quote"):
        read(path)


def test_a_cell_without_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = write(tmp_path, 'ImageId,EncodedPixels\nb,"1 2\n' + "c,1 2\n" * 12_000_000)
    with pytest.raises(InputError, match=r"line 2: field larger than field limit"):
        read(path)


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "ImageId,EncodedPixels\n" + f"a.jpg,{'1 2 ' * 250}\n" * 10_000)
    assert path.stat().st_size > 10_000_000
    tracemalloc.start()
    rows = sum(1 for _ in read_rows(path, image_column="ImageId", mask_column="EncodedPixels"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert rows == 10_000
    assert peak < 1_000_000
