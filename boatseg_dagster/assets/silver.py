"""Silver: judged, drawn, grouped."""

from collections.abc import Iterable
from typing import Any

import dagster as dg

from boatseg_core.config.sections import Quality
from boatseg_core.dataset.groups import group_batch
from boatseg_core.errors import ConfigError
from boatseg_core.ingest.quality import criteria_hash, judge_batch
from boatseg_core.labels.build import rasterize_batch
from boatseg_dagster.assets.bronze import raw_images, raw_masks
from boatseg_dagster.metadata import asset_args, markdown, pinned, written
from boatseg_dagster.partitions import batches
from boatseg_dagster.resources import Boatseg

_SHOWN = 20


@dg.asset(partitions_def=batches, deps=[raw_images], **asset_args("silver", table="image_quality"))
def image_quality(context: dg.AssetExecutionContext, boatseg: Boatseg) -> dg.MaterializeResult[Any]:
    """Measurements and the verdict per image, judged by the criteria in the settings."""
    lake, settings = boatseg.lake(), boatseg.settings()
    summary = judge_batch(
        lake,
        context.partition_key,
        settings,
        version=pinned(context, "raw_images").get("raw_images"),
    )
    return written(
        lake,
        "image_quality",
        summary.version,
        summary.images,
        passed=summary.passed,
        pass_rate=summary.pass_rate,
        unmet_criteria=summary.reasons,
        duplicates=len(summary.duplicates),
        duplicate_examples=[f"{a} = {b}" for a, b in list(summary.duplicates.items())[:_SHOWN]],
        criteria=criteria_hash(settings.quality),
        limits=markdown(_limits(settings.quality)),
    )


def with_criteria(
    assets: Iterable[dg.AssetsDefinition], boatseg: Boatseg
) -> list[dg.AssetsDefinition]:
    """Let the code version of ``image_quality`` carry the criteria in force.

    A changed criterion then shows its partitions as stale once the definitions are reloaded.

    Args:
        assets: All assets.
        boatseg: The home whose criteria count.
    """
    try:
        version = f"1-{criteria_hash(boatseg.settings().quality)}"
    except ConfigError:
        # Who needs the settings says what is wrong with them; the definitions do not, and without
        # them there would be no UI to say it in.
        return list(assets)
    return [
        asset.map_asset_specs(lambda spec: spec.replace_attributes(code_version=version))
        if asset.keys == image_quality.keys
        else asset
        for asset in assets
    ]


def _limits(quality: Quality) -> str:
    """The criteria as a Markdown table."""
    rows = [
        f"| `quality.{name}` | {', '.join(map(str, v)) if isinstance(v, tuple) else v} | "
        f"{field.description} |"
        for name, field in type(quality).model_fields.items()
        for v in [getattr(quality, name)]
    ]
    return "\n".join(["| criterion | in force | |", "|---|---|---|", *rows])


@dg.asset(
    partitions_def=batches,
    deps=[raw_images, raw_masks],
    **asset_args("silver", table="rasterized_masks"),
)
def rasterized_masks(
    context: dg.AssetExecutionContext, boatseg: Boatseg
) -> dg.MaterializeResult[Any]:
    """One lossless mask picture per labelled image, from its newest mask rows.

    Rows that cannot be used are in the table ``label_issues`` with the reason.
    """
    lake = boatseg.lake()
    summary = rasterize_batch(
        lake,
        context.partition_key,
        boatseg.settings(),
        versions=pinned(context, "raw_images"),
    )
    return written(
        lake,
        "rasterized_masks",
        summary.version,
        summary.masks,
        boats=summary.boats,
        unlabelled_images=summary.unlabelled,
        rejected_rows=summary.rejected,
    )


@dg.asset(partitions_def=batches, deps=[raw_images], **asset_args("silver", table="image_groups"))
def image_groups(context: dg.AssetExecutionContext, boatseg: Boatseg) -> dg.MaterializeResult[Any]:
    """Images that show the same place, found from their pixels, and the split they share."""
    lake = boatseg.lake()
    summary = group_batch(lake, context.partition_key, boatseg.settings())
    return written(
        lake,
        "image_groups",
        summary.version,
        summary.images,
        groups=summary.groups,
        excluded_images=summary.excluded,
    )
