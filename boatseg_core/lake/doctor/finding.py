"""What the doctor can find."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "torn_commit",
    "gap",
    "bad_checkpoint",
    "bad_pointer",
    "old_damage",
    "leftover",
    "missing_file",
    "corrupt_file",
    "orphan_files",
    "unreadable",
    "ledger_without_rows",
    "rows_without_ledger",
    "dead_batches",
    "gold_without_source",
    "labels_without_rows",
]
_HARMLESS = frozenset(
    {"old_damage", "leftover", "orphan_files", "bad_pointer", "ledger_without_rows"}
)
Remedy = Literal["safe", "rewind", "run", "hand", "none"]


@dataclass(frozen=True)
class Finding:
    """One damage.

    Attributes:
        table: The table.
        kind: What it is, for programs.
        what: What was found, in a sentence.
        consequence: What it means for who reads or writes.
        remedy: How to get over it: ``safe`` is done by a repair; ``rewind`` is done by a repair
            that may take a table back to its last whole version; ``run`` is done by the next
            ingestion; ``hand`` needs a person; ``none`` needs nothing.
        advice: What to do, in a sentence.
        paths: Files concerned, below the lake's root.
        version: Delta version concerned.
        batches: Batches concerned.
    """

    table: str
    kind: Kind
    what: str
    consequence: str
    remedy: Remedy
    advice: str
    paths: tuple[str, ...] = ()
    version: int | None = None
    batches: tuple[str, ...] = ()

    @property
    def serious(self) -> bool:
        """Whether rows are lost, doubled or cannot be read; an outstanding batch is none of it."""
        return self.kind not in _HARMLESS
