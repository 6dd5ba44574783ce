from __future__ import annotations

from pathlib import Path

import pytest

from boatseg_core.config import Settings, load_settings
from boatseg_core.errors import InputError
from boatseg_core.imaging.decode import REASONS as PICTURE_REASONS
from boatseg_core.ingest.sources import NOT_FINAL, REASONS, open_source, source_of
from boatseg_core.ingest.sources.s3 import S3Source


def named(settings: Settings, images: str) -> Settings:
    landing = settings.landing.model_copy(update={"images": images})
    return settings.model_copy(update={"landing": landing})


def test_a_source_is_found_again_by_its_name(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for images, name, place in (
        ("", "landing", f"{settings.paths.landing}/images/x.jpg"),
        (f"{tmp_path}/in/", f"{tmp_path}/in", f"{tmp_path}/in/x.jpg"),
        ("in", f"{tmp_path}/in", f"{tmp_path}/in/x.jpg"),
        ("s3://bucket/in/", "s3://bucket/in", "s3://bucket/in/x.jpg"),
        ("s3://bucket", "s3://bucket", "s3://bucket/x.jpg"),
    ):
        chosen = named(settings, images)
        assert source_of(chosen) == name
        source = open_source(name, chosen)
        assert (source.name, source.locate("x.jpg")) == (name, place)


def test_a_home_can_be_moved_and_a_foreign_name_is_refused(
    settings: Settings, tmp_path: Path
) -> None:
    moved = load_settings(home=tmp_path / "elsewhere")
    assert open_source("landing", moved).locate("x.jpg").startswith(str(tmp_path / "elsewhere"))
    with pytest.raises(InputError, match="'somewhere', which is not a path"):
        open_source("somewhere", settings)


def test_options_of_delta_rs_alone_do_not_disturb() -> None:
    S3Source(
        "s3://bucket/in",
        {
            "AWS_REGION": "eu-central-1",
            "aws_session_token": "temporary",
            "AWS_S3_ALLOW_UNSAFE_RENAME": "true",
            "timeout": "60s",
        },
    )


def test_reasons_are_told_apart() -> None:
    assert set(NOT_FINAL) < set(REASONS)
    assert not set(REASONS) & set(PICTURE_REASONS)
