"""Which batches do the tables not yet, or no longer, agree on with what they are made from?

The answer is a function of the tables, the settings and the landing folder. A process that asks
again and again (the sensor, ``boatseg ingest --watch``) does not compute it anew: what it knows is
kept with the table versions and data files it is true for, and only batches that can have changed
are compared. Losing that knowledge costs seconds, never an answer.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Literal, TypeAlias

import polars as pl

from boatseg_core.config import Settings
from boatseg_core.dataset.differences import (
    CRITERIA,
    DUPLICATES,
    GOLD,
    LABELS,
    SPLIT,
    differences,
    splits_of,
)
from boatseg_core.dataset.groups import EXCLUDED
from boatseg_core.dataset.neighbours import Neighbours
from boatseg_core.ingest.quality import criteria_hash
from boatseg_core.ingest.reconcile import gone_files, returned
from boatseg_core.labels.match import newest_labels
from boatseg_core.lake import Lake
from boatseg_core.lake.snapshot import Snapshot

Need: TypeAlias = Literal["ingest", "labels", "judge"]

INCOMPLETE = "sealed files are not in bronze"
RETURNED = "files that were gone are back"
UNGROUPED = "not grouped"
UNJUDGED = "not judged"

_NEEDS: dict[str, Need] = {
    INCOMPLETE: "ingest",
    RETURNED: "ingest",
    UNGROUPED: "ingest",
    SPLIT: "ingest",
    UNJUDGED: "judge",
    CRITERIA: "judge",
    DUPLICATES: "judge",
    LABELS: "labels",
    GOLD: "judge",
}
"""What each reason needs, the strongest reason first."""

_COMPARED = ("raw_images", "image_quality", "rasterized_masks", "image_groups", "gold_dataset")
_LABELS = ("raw_masks", "label_files")
_READ = ("files", "quarantine", *_COMPARED, *_LABELS)
_AT_ONCE = 200  # batches compared at a time: bounds memory at some 300 MB for 1,000 images each
_HOMES = 4  # remembered in one process; a server has one, a test many


def outdated_batches(lake: Lake, settings: Settings) -> dict[str, str]:
    """List the batches that have to be built, or built again, oldest first.

    Only the ledger, transaction logs and narrow columns are read. Whatever was lost or failed
    shows up again.

    Args:
        lake: The lake.
        settings: Criteria and splits that the tables have to be up to date with.

    Returns:
        Batch id and its strongest reason, in a few words; :func:`needs` says what it asks for.
    """
    return {batch: reasons[0] for batch, reasons in all_reasons(lake, settings).items()}


def all_reasons(lake: Lake, settings: Settings) -> dict[str, tuple[str, ...]]:
    """Like :func:`outdated_batches`, with every reason of each batch, the strongest first."""
    with _lock:
        memory = _memories.pop(lake.root, None) or Memory()
        _memories[lake.root] = memory  # the one asked for last is forgotten last
        while len(_memories) > _HOMES:
            del _memories[next(iter(_memories))]
    return memory.look(lake, settings)


def needs(reason: str) -> Need:
    """Say what has to be run for a reason.

    Returns:
        ``ingest``: everything, from the files on. ``labels``: masks and gold. ``judge``: verdicts
        and gold.
    """
    return _NEEDS[reason]


def resplit_batches(lake: Lake, settings: Settings) -> list[str]:
    """List the batches whose groups were split by other settings than those in force."""
    groups = Snapshot(lake).scan("image_groups").filter(pl.col("split") != EXCLUDED)
    stored = groups.select("batch_id", "group_id", "split").unique().collect(engine="streaming")
    expected = splits_of(stored["group_id"], settings.split)
    return stored.filter(stored["split"] != expected)["batch_id"].unique().sort().to_list()


class Memory:
    """What one process knows about one lake; empty at first, and right at any time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # a sensor and a schedule may look at the same time
        self._forget()

    def _forget(self) -> None:
        self._criteria = ""
        self._identities: dict[str, object] = {}
        self._files: dict[str, dict[str, tuple[str, ...]]] = {}
        self._sealed: dict[str, int] = {}
        self._counted: dict[str, set[str]] = {}
        self._compared: dict[str, set[str]] = {}
        self._gone = pl.DataFrame()
        self._labels: pl.DataFrame | None = None
        self._index: Neighbours | None = None

    def look(self, lake: Lake, settings: Settings) -> dict[str, tuple[str, ...]]:
        """See :func:`all_reasons`."""
        with self._lock:
            snapshot = Snapshot(lake)
            identities: dict[str, object] = {name: snapshot.identity(name) for name in _READ}
            criteria = f"{criteria_hash(settings.quality)} {settings.split.model_dump_json()}"
            if (identities, criteria) != (self._identities, self._criteria):
                changed = {n for n in _READ if identities[n] != self._identities.get(n, "unknown")}
                everything = criteria != self._criteria
                try:
                    self._update(snapshot, settings, changed, everything=everything)
                except BaseException:
                    self._forget()  # half of an update would be taken for all of it
                    raise
                self._identities, self._criteria = identities, criteria
            back = set(returned(self._gone, settings))
        found: dict[str, tuple[str, ...]] = {}
        for batch in self._sealed:
            reasons = self._counted.get(batch, set()) | self._compared.get(batch, set())
            if batch in back:
                reasons = reasons | {RETURNED}
            if reasons:
                found[batch] = tuple(reason for reason in _NEEDS if reason in reasons)
        return found

    def _update(
        self, snapshot: Snapshot, settings: Settings, changed: set[str], *, everything: bool
    ) -> None:
        everything = everything or self._index is None
        suspects = self._rewritten(snapshot, changed) | self._relabelled(snapshot, changed)
        assert self._index is not None and self._labels is not None
        if "files" in changed or not self._sealed:
            counts = self._index.files.group_by("batch_id").len()
            self._sealed = dict(sorted((str(b), rows) for b, rows in counts.iter_rows()))
        if changed & {"files", "quarantine"}:
            self._gone = gone_files(snapshot)
        self._count(snapshot)
        chosen = [batch for batch in self._sealed if everything or batch in suspects]
        for batch in list(self._compared):
            if everything or batch in suspects:
                del self._compared[batch]
        for part in _parts(chosen):
            around = self._index.around(part)
            self._compared |= differences(snapshot, settings, self._labels, part, around)

    def _rewritten(self, snapshot: Snapshot, changed: set[str]) -> set[str]:
        """Batches with rows that are not those they were, and the batches these bear upon."""
        rewritten: dict[str, set[str]] = {}
        for name in changed & set(_COMPARED):
            now, then = snapshot.files(name), self._files.get(name, {})
            rewritten[name] = {b for b in now.keys() | then.keys() if now.get(b) != then.get(b)}
            self._files[name] = now
        before = self._index
        if before is None:
            self._index = Neighbours.read(snapshot)
            return set()
        index, moved = before, rewritten.get("raw_images", set())
        if moved:
            index = index.with_images(snapshot, moved)
        if "files" in changed:
            index = index.with_files(snapshot)
            moved = moved | index.changed_files(before)
        self._index = index
        return set().union(*rewritten.values()) | (index.touched(moved, before) if moved else set())

    def _relabelled(self, snapshot: Snapshot, changed: set[str]) -> set[str]:
        """Batches with an image whose label in force is not the one it was."""
        if not changed & set(_LABELS):
            return set()
        versions = {name: snapshot.version(name) for name in _LABELS}
        pins = {name: version for name, version in versions.items() if version is not None}
        labels, before = newest_labels(snapshot.lake, pins), self._labels
        self._labels, by = labels, labels.columns
        if before is None:
            return set()
        assert self._index is not None
        differing = pl.concat(
            [labels.join(before, on=by, how="anti"), before.join(labels, on=by, how="anti")]
        )
        return self._index.named(differing["label_id"])

    def _count(self, snapshot: Snapshot) -> None:
        """Reasons that numbers of rows tell, all from transaction logs."""
        images, refused = snapshot.counts("raw_images"), snapshot.counts("quarantine")
        judged, grouped = snapshot.counts("image_quality"), snapshot.counts("image_groups")
        self._counted = {}
        for batch, files in self._sealed.items():
            read = images.get(batch, 0)
            reasons = {
                INCOMPLETE: read + refused.get(batch, 0) != files,
                UNJUDGED: judged.get(batch, 0) != read,
                UNGROUPED: grouped.get(batch, 0) != read,
            }
            self._counted[batch] = {reason for reason, holds in reasons.items() if holds}


def _parts(batches: list[str]) -> Iterator[list[str]]:
    for first in range(0, len(batches), _AT_ONCE):
        yield batches[first : first + _AT_ONCE]


_memories: dict[str, Memory] = {}
_lock = threading.Lock()
