"""``boatseg ingest``: from the landing folder to gold, without an orchestrator.

The steps are those of the Dagster assets; what is outstanding is read from the tables, so a run
that was cut off is taken up where it stopped.
"""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import click

from boatseg_core.cli import screen
from boatseg_core.cli.options import current_settings, home_option, open_lake
from boatseg_core.errors import BoatsegError, InputError

if TYPE_CHECKING:
    from boatseg_core.cli.ingest_steps import Totals
    from boatseg_core.config import Settings
    from boatseg_core.ingest.seal import Sealed
    from boatseg_core.labels.ingest import LoadSummary
    from boatseg_core.lake import Lake

# A longer settle time is meant for slow copies, which nobody wants to watch.
_PATIENCE = 10.0  # s
# What is built can bear upon other batches (the same bytes in both), and that upon no more.
_ROUNDS = 3


@click.command()
@click.option("--once", is_flag=True, help="Look once; do not wait for files still being written.")
@click.option("--watch", is_flag=True, help="Go on looking for new files until Ctrl-C.")
@click.option(
    "--every",
    type=click.FloatRange(min=0.1),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="With --watch: least time between two looks.",
)
@home_option
def ingest(once: bool, watch: bool, every: float) -> None:
    """Take in new images and labels: seal, read, judge, draw masks, group, join gold.

    Nothing is taken twice, and whatever an earlier run did not finish is finished. Files changed a
    moment ago may still be being written: they are waited for, or left with --once. With --watch,
    a line is printed for every batch; Ctrl-C lets the batch at hand be finished, a second Ctrl-C
    does not.

    A batch that cannot be read stops no other one, and is said at the end: the exit code is then
    not 0. A disk that is full, or a lake that cannot be written to, stops everything at once.
    """
    if once and watch:
        raise InputError("--once and --watch exclude each other: look once, or go on looking")
    settings = current_settings()
    settings.paths.create()
    lake = open_lake(settings)
    if watch:
        from boatseg_core.cli.ingest_watch import Watch

        Watch(lake, settings, every).run()
        # Whoever was asked twice to end is ending: that is no moment for a traceback.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return
    from boatseg_core.cli.ingest_failures import end
    from boatseg_core.cli.ingest_report import explain, summarise

    started = time.perf_counter()
    labels, sealed, totals = take_in(lake, settings, wait=not once)
    summarise(settings, sealed, labels, totals, time.perf_counter() - started)
    explain(lake, settings, sealed, labels, totals)
    end(totals)


def take_in(
    lake: Lake, settings: Settings, *, wait: bool
) -> tuple[LoadSummary, Sealed | None, Totals]:
    """Take in what is in the landing folder, up to gold.

    Returns:
        What became of the label files, what was sealed, unless it could not be listed, and what
        was done, with what went wrong.

    Raises:
        LakeUnusable: Nothing can be written.
    """
    trouble: list[BoatsegError] = []
    labels = _load_labels(lake, settings, trouble)
    try:
        sealed = _seal(lake, settings, wait=wait)
    except InputError as error:  # what was sealed before may be from elsewhere
        trouble.append(error)
        sealed = None
    return labels, sealed, _build(lake, settings, trouble)


def _load_labels(lake: Lake, settings: Settings, trouble: list[BoatsegError]) -> LoadSummary:
    from boatseg_core.labels.ingest import LoadSummary, load

    with screen.err().status("reading label files"):
        try:
            return load(lake, settings)
        except InputError as error:  # the images are taken all the same
            trouble.append(error)
            return LoadSummary()


def _seal(lake: Lake, settings: Settings, *, wait: bool) -> Sealed:
    from boatseg_core.ingest.seal import Sealed, seal

    with screen.err().status("listing files") as status:
        first = seal(lake, settings)
        settle = settings.landing.settle_seconds
        if not (wait and first.discovery.unsettled and settle <= _PATIENCE):
            return first
        status.update(f"waiting {settle:g} s for {first.discovery.unsettled:,} fresh files")
        time.sleep(settle + 0.05)
        second = seal(lake, settings)
    return Sealed(first.batches | second.batches, second.discovery)


def _build(lake: Lake, settings: Settings, trouble: list[BoatsegError]) -> Totals:
    """Build what is outdated, and then what that has made outdated."""
    from boatseg_core.cli.ingest_failures import set_aside
    from boatseg_core.cli.ingest_progress import Progress
    from boatseg_core.cli.ingest_steps import Totals, Work, build, to_read
    from boatseg_core.dataset.staleness import all_reasons
    from boatseg_core.ingest.ahead import Reading
    from boatseg_core.ingest.reconcile import sealed_batches

    totals = Totals(trouble=trouble)
    done: set[tuple[str, tuple[str, ...]]] = set()
    with Progress() as bar:
        for _ in range(_ROUNDS):
            outdated = [
                (batch, reasons)
                for batch, reasons in all_reasons(lake, settings).items()
                if (batch, reasons) not in done and not totals.gave_up(batch)
            ]
            if not outdated:
                break
            sizes = sealed_batches(lake)
            bar.expect(sum(sizes[batch] for batch, _ in outdated))
            with Reading(lake, settings, to_read(outdated)) as reading:
                work = Work(lake, settings, totals, reading)
                for number, (batch, reasons) in enumerate(outdated, start=1):
                    bar.at = f"{batch} ({number:,}/{len(outdated):,})"
                    with set_aside(batch, totals):
                        build(work, batch, reasons, bar.step(sizes[batch], totals))
                        done.add((batch, reasons))
                    if (batch, reasons) in done or batch in totals.broken:
                        totals.batches.setdefault(batch, reasons[0])
    return totals
