"""Upkeep: the tables themselves, once a week.

The asset is the care the tables were given; what it reports is what ``boatseg lake`` prints. It
belongs to no layer and nothing depends on it.
"""

import dagster as dg

from boatseg_core.ingest.consistency import compare
from boatseg_core.lake import TABLES
from boatseg_core.lake.doctor import Finding, examine
from boatseg_core.lake.maintenance import checkpoint, optimize, vacuum
from boatseg_core.registry.pins import gold_versions
from boatseg_dagster.resources import Boatseg

_SHOWN = 20
_SOUND = dg.AssetCheckSpec(
    "lake_is_sound",
    asset="lake_upkeep",
    description="No table has lost, doubled or unreadable rows (`boatseg lake doctor`).",
)


@dg.asset(
    group_name="operations",
    owners=["team:data-engineering"],
    kinds={"python", "delta"},
    code_version="1",
    check_specs=[_SOUND],
)
def lake_upkeep(context: dg.AssetExecutionContext, boatseg: Boatseg) -> dg.MaterializeResult:  # type: ignore[type-arg]  # dagster does not see it with one
    """Tables examined, small files compacted, logs checkpointed, unneeded files deleted.

    A table that is damaged is left as it is, for `boatseg lake doctor`.
    """
    lake, settings = boatseg.lake(), boatseg.settings()
    findings = examine(lake)
    damaged = {finding.table for finding in findings if finding.serious}
    names = [name for name in TABLES if name not in damaged and lake.exists(name)]
    if not damaged:  # comparing tables means reading them
        findings += compare(lake)
    pinned = {"gold_dataset": gold_versions(settings)}
    compacted = optimize(lake, names, small_bytes=settings.lake.small_bytes)
    logs = checkpoint(lake, names, log_days=settings.lake.log_days, keep_versions=pinned)
    vacuumed = vacuum(
        lake, names, keep_days=settings.lake.keep_days, keep_versions=pinned, dry_run=False
    )
    for finding in findings:
        context.log.warning(f"{finding.table}: {finding.what}. {finding.advice}")
    return dg.MaterializeResult(
        metadata={
            "tables": len(names),
            "damaged_tables": sorted(damaged),
            "files_compacted": sum(row.files_before - row.files_after for row in compacted),
            "megabytes_rewritten": round(sum(row.bytes_rewritten for row in compacted) / 1e6, 3),
            "log_entries_cleaned": sum(row.cleaned for row in logs),
            "files_deleted": sum(len(row.files) for row in vacuumed),
            "megabytes_deleted": round(sum(row.bytes for row in vacuumed) / 1e6, 3),
            "gold_versions_kept_for_models": sorted(pinned["gold_dataset"]),
            "data_files": {row.name: row.kept_files for row in vacuumed},
        },
        check_results=[_verdict(findings)],
    )


def _verdict(findings: list[Finding]) -> dg.AssetCheckResult:
    serious = [finding for finding in findings if finding.serious]
    return dg.AssetCheckResult(
        check_name=_SOUND.name,
        passed=not serious,
        severity=dg.AssetCheckSeverity.ERROR,
        description="run `boatseg lake doctor`" if serious else "no damage found",
        metadata={
            "findings": len(findings),
            "examples": [f"{f.table}: {f.what}" for f in [*serious, *findings][:_SHOWN]],
        },
    )


keep_lake = dg.define_asset_job(
    "keep_lake",
    dg.AssetSelection.assets("lake_upkeep"),
    description="Examine, compact, checkpoint and vacuum the tables.",
)


@dg.schedule(
    job=keep_lake,
    cron_schedule="30 4 * * 0",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def weekly_upkeep(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Give the tables a care every Sunday, after the nightly schedules."""
    return dg.RunRequest(run_key=f"upkeep-{context.scheduled_execution_time:%Y%m%d%H%M}")
