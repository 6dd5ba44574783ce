"""Bring batches to gold without asking what is outstanding."""

from __future__ import annotations

from boatseg_core.config import Settings
from boatseg_core.dataset.gold import build_gold
from boatseg_core.dataset.groups import group_batch
from boatseg_core.ingest.bronze import ingest_batch
from boatseg_core.ingest.quality import judge_batch
from boatseg_core.ingest.seal import seal
from boatseg_core.labels.build import rasterize_batch
from boatseg_core.labels.ingest import load
from boatseg_core.lake import Lake
from support.pictures import drop


def changed(settings: Settings, section: str, **values: object) -> Settings:
    """The same settings with some of a section's fields set."""
    part = getattr(settings, section)
    # Validated, as a file would be: model_copy would take anything.
    return settings.model_copy(
        update={section: type(part).model_validate(part.model_dump() | values)}
    )


def label(settings: Settings, *names: str, file: str = "labels.csv") -> None:
    """Write a label file that says that these images have no object."""
    lines = ["ImageId,EncodedPixels", *(f"{name}," for name in names)]
    drop(settings.paths.landing, file, "\n".join(lines).encode())


def finish(lake: Lake, batch: str, settings: Settings) -> None:
    """All steps of one sealed batch."""
    ingest_batch(lake, batch, settings)
    judge_batch(lake, batch, settings)
    rasterize_batch(lake, batch, settings)
    group_batch(lake, batch, settings)
    build_gold(lake, batch)


def build(lake: Lake, settings: Settings) -> list[str]:
    """Load new labels, seal new files and finish the batches sealed by this."""
    load(lake, settings)
    sealed = list(seal(lake, settings).batches)
    for batch in sealed:
        finish(lake, batch, settings)
    return sealed
