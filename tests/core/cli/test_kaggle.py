"""``boatseg data kaggle`` against a site of our own."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.kaggle_site import KEY, SIGNATURE, TOKEN, USER, Site, packed, serve
from support.pictures import encoded, texture

from boatseg_core.config import load_settings
from boatseg_core.ingest import kaggle
from boatseg_core.lake import Lake

pytest.importorskip("kagglehub")

LABELS = b"ImageId,EncodedPixels\na.jpg,1 3\nb.jpg,\n"
FILES = {
    "train_v2/a.jpg": encoded(texture(1)),
    "train_v2/b.jpg": encoded(texture(2)),
    "train_ship_segmentations_v2.csv": LABELS,
    "sample_submission_v2.csv": b"ImageId,EncodedPixels\nb.jpg,1 2\n",
    "padding.bin": random.Random(0).randbytes(3_000_000),
}
NAME = "airbus-ship-detection.zip"


@pytest.fixture
def site() -> Iterator[Site]:
    with serve(Site(packed(FILES))) as running:
        yield running


@pytest.fixture(autouse=True)
def account(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Credentials of the site in a folder of the test's own; nobody's real ones are looked at."""
    folder = tmp_path / ".kaggle"
    folder.mkdir()
    (folder / "kaggle.json").write_text(json.dumps({"username": USER, "key": KEY}))
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_KERNEL_RUN_TYPE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(folder))
    monkeypatch.setenv(kaggle.ENDPOINT, site.url)
    monkeypatch.setattr(kaggle, "_FIRST_PAUSE", 0.01)
    return folder


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return tmp_path / "home" / "landing" / "images"


def test_the_archive_lands_and_is_ingested_as_it_is(boatseg, images: Path, site: Site) -> None:
    result = boatseg("data", "kaggle")
    assert result.exit_code == 0, result.output
    assert (images / NAME).read_bytes() == site.archive
    landing = images.parent
    assert (landing / "train_ship_segmentations_v2.csv").read_bytes() == LABELS
    assert not list(landing.rglob("sample_submission*"))
    assert not list(landing.rglob("*.part"))

    assert boatseg("ingest").exit_code == 0
    lake = Lake.from_settings(load_settings(home=landing.parent))
    gold = lake.read("gold_dataset", ["image_id", "boat_count"]).sort("image_id")
    assert gold.rows() == [(f"{NAME}/train_v2/a.jpg", 1), (f"{NAME}/train_v2/b.jpg", 0)]

    again = boatseg("data", "kaggle")
    assert "nothing new" in again.stdout
    assert "0 new, 1 known" in boatseg("ingest").stdout


def test_a_download_that_breaks_off_goes_on_where_it_stopped(
    boatseg, images: Path, site: Site
) -> None:
    # Every attempt begins with the whole archive, and then asks for the rest of it.
    site.break_after = [1_500_000, len(site.archive), 700_000]
    result = boatseg("data", "kaggle")
    assert result.exit_code == 0, result.output
    assert (images / NAME).read_bytes() == site.archive
    first, second = (int(wanted[6:-1]) for wanted in site.ranges if wanted)
    assert 1_400_000 < first <= 1_500_000  # all of it but the piece at hand
    assert first + 600_000 < second <= first + 700_000
    assert "the connection broke" in result.stderr


def test_a_later_call_goes_on_and_nothing_unfinished_is_ingested(
    boatseg, images: Path, site: Site
) -> None:
    site.break_after = [1_200_000] + [0] * 30
    result = boatseg("data", "kaggle")
    assert result.exit_code == 2
    assert "run the command again, it goes on where it stopped" in result.stderr
    there = (images / f"{NAME}.part").stat().st_size
    assert 1_100_000 < there <= 1_200_000
    assert "0 new" in boatseg("ingest").stdout

    site.break_after = []
    site.ranges.clear()
    done = boatseg("data", "kaggle")
    assert done.exit_code == 0
    assert f"bytes={there}-" in site.ranges
    assert (images / NAME).read_bytes() == site.archive


def test_pieces_of_two_versions_are_never_put_together(boatseg, images: Path, site: Site) -> None:
    site.break_after = [1_200_000] + [0] * 30
    boatseg("data", "kaggle")
    site.break_after = []
    site.archive = packed(FILES | {"padding.bin": random.Random(1).randbytes(3_000_000)})
    assert boatseg("data", "kaggle").exit_code == 0
    assert (images / NAME).read_bytes() == site.archive
    site.archive = packed(FILES | {"padding.bin": b""})
    assert boatseg("data", "kaggle").exit_code == 0  # a new version replaces the whole old one
    assert (images / NAME).read_bytes() == site.archive


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("none", "no Kaggle credentials were found"),
        ("garbled", "is not what Kaggle writes"),
        ("wrong", "Kaggle refused the credentials"),
        ("rules", "/competitions/airbus-ship-detection/rules"),
        ("unknown", "no competition called titanoc"),
    ],
)
def test_it_says_exactly_what_to_do(
    boatseg, images: Path, site: Site, account: Path, case: str, said: str
) -> None:
    args: tuple[str, ...] = ()
    if case == "none":
        (account / "kaggle.json").unlink()
    elif case == "garbled":
        (account / "kaggle.json").write_text(f'{{"key": "{KEY}')
    elif case == "wrong":
        (account / "kaggle.json").write_text('{"username": "somebody", "key": "x-secret"}')
    elif case == "rules":
        site.rules_accepted = False
    else:
        args = ("titanoc",)
    result = boatseg("data", "kaggle", *args)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "secret" not in result.output
    assert len(result.stderr.splitlines()) == 1
    assert not list(images.rglob("*.zip*"))


def test_a_site_that_is_busy_is_asked_again(boatseg, images: Path, site: Site) -> None:
    site.broken = [503, 429]
    assert boatseg("data", "kaggle").exit_code == 0
    assert (images / NAME).exists()


def test_a_full_disk_stops_it_and_the_rest_is_fetched_later(
    boatseg, images: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(kaggle.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10})())
        result = boatseg("data", "kaggle")
    assert result.exit_code == 2
    assert "make room" in result.stderr
    assert not site.ranges or not list(images.rglob("*.part"))

    resource = pytest.importorskip("resource")
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)); "
        "from boatseg_core.cli import main; sys.argv[1:] = ['data', 'kaggle']; main()"
    )
    assert resource
    full = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert full.returncode == 2, full.stderr
    assert "make room and run the command again" in full.stderr
    assert 0 < (images / f"{NAME}.part").stat().st_size <= 1_000_000
    site.ranges.clear()
    assert boatseg("data", "kaggle").exit_code == 0
    assert [wanted for wanted in site.ranges if wanted]
    assert (images / NAME).read_bytes() == site.archive


@pytest.mark.parametrize("kind", ["file", "key", "token"])
def test_no_secret_is_ever_printed(
    images: Path, site: Site, account: Path, kind: str, tmp_path: Path
) -> None:
    environment = os.environ | {"KAGGLEHUB_VERBOSITY": "debug", "PYTHONUNBUFFERED": "1"}
    if kind != "file":
        (account / "kaggle.json").unlink()
        environment |= (
            {"KAGGLE_USERNAME": USER, "KAGGLE_KEY": KEY}
            if kind == "key"
            else {"KAGGLE_API_TOKEN": TOKEN}
        )
    site.break_after = [1_000_000]
    command = [sys.executable, "-X", "dev", "-m", "boatseg_core.cli", "data", "kaggle"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for secret in (KEY, TOKEN, SIGNATURE):
        assert secret not in done.stdout + done.stderr
        for file in (tmp_path / "home").rglob("*"):
            assert not file.is_file() or secret.encode() not in file.read_bytes(), file


def test_a_bucket_cannot_be_downloaded_into(
    boatseg, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BOATSEG_LANDING__IMAGES", "s3://bucket/images")
    result = boatseg("data", "kaggle")
    assert result.exit_code == 2
    assert "--out" in result.stderr
    assert boatseg("data", "kaggle", "--out", tmp_path / "disk").exit_code == 0
    assert (tmp_path / "disk" / NAME).exists()
