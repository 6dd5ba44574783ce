"""A home in one object, for notebooks and scripts: SQL, pictures and gold.

    from boatseg_core import open_home

    lake = open_home()
    lake.sql("SELECT split, count(*) FROM gold_dataset GROUP BY 1")
    lake.gallery("SELECT * FROM gold_dataset WHERE boat_count > 5 LIMIT 60")
    lake.gold().index("train")

This module only brings rooms together that do not know each other.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from boatseg_core.config import Settings, load_settings
from boatseg_core.dataset import GoldDataset
from boatseg_core.errors import InputError
from boatseg_core.gallery.page import MAX_BYTES
from boatseg_core.gallery.query import cards_from_frame
from boatseg_core.gallery.view import Page
from boatseg_core.lake import TABLES, Lake

if TYPE_CHECKING:
    from boatseg_core.lake.sql import Answer

LABELLED = (
    "select image_id, image, mask, boat_count, boat_area, brightness, split "
    "from gold_dataset order by boat_count desc, image_id limit 120"
)
"""What a gallery shows when nothing is asked for."""


def open_home(home: str | Path | None = None) -> OpenHome:
    """Open a home.

    Args:
        home: Its folder; by default what ``BOATSEG_HOME`` says.

    Raises:
        ConfigError: The settings are not valid.
    """
    return OpenHome(load_settings() if home is None else load_settings(home=Path(home)))


class OpenHome:
    """A home, opened.

    Attributes:
        settings: Its settings.
        lake: Its tables, for :mod:`boatseg_core.lake`.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.lake = Lake.from_settings(settings)

    def sql(self, query: str, **options: Any) -> Answer:
        """Ask the tables; nothing is read before the answer is looked at.

        Args:
            query: One reading statement, DuckDB's dialect.
            **options: ``versions``, ``at``, ``seconds``, ``memory`` and ``max_bytes``; see
                :func:`boatseg_core.lake.sql.ask`.

        Returns:
            The answer: ``.polars()``, ``.arrow()``, ``.lazy()``, ``.stats``.
        """
        return self.lake.sql(query, **options)

    def gallery(
        self,
        query: str = LABELLED,
        *,
        title: str = "",
        size: int | None = None,
        max_bytes: int = MAX_BYTES,
        **options: Any,
    ) -> Page:
        """Draw a page of the pictures that a query selects, masks over them.

        Args:
            query: A query with the column ``image``; ``mask`` (the truth), ``boat_rles`` (a
                prediction) and ``image_id`` are understood, every other column is printed.
            title: Heading; by default the query.
            size: Longer side of the pictures in pixels; by default as large as fits.
            max_bytes: Bound of the page.
            **options: As for :meth:`sql`.

        Returns:
            The page, which a notebook shows; ``.save("page.html")`` keeps it.
        """
        answer = self.sql(query, **options)
        frame = answer.polars()
        return Page.of(
            title or ("Labelled images" if query is LABELLED else query),
            cards_from_frame(frame, scored="predictions" in answer.versions),
            class_name=self.settings.labels.class_name,
            count=frame.height,
            size=size,
            max_bytes=max_bytes,
        )

    def gold(self, version: int | None = None) -> GoldDataset:
        """Open gold for training, pinned to one version.

        Args:
            version: Delta version; by default the newest.
        """
        return GoldDataset(self.lake, version)

    def tables(self) -> pl.DataFrame:
        """List the tables: name, layer, version, rows, bytes, and what a row is."""
        facts = [self._facts(name) for name in TABLES]
        kinds = {"version": pl.Int64, "rows": pl.Int64, "bytes": pl.Int64}
        return pl.DataFrame(facts, schema_overrides=kinds)

    def describe(self, table: str) -> pl.DataFrame:
        """List the columns of a table: name, type, whether it partitions, meaning.

        Raises:
            InputError: No table has that name.
        """
        spec = TABLES.get(table)
        if spec is None:
            raise InputError(f"no table is called {table!r}: there are {', '.join(TABLES)}")
        return pl.DataFrame(
            [
                {
                    "column": column.name,
                    "type": str(column.type),
                    "partition": column.name in spec.partition_by,
                    "meaning": column.comment,
                }
                for column in spec.columns
            ]
        )

    def __repr__(self) -> str:
        return f"<home {self.settings.home}: lake {self.lake.root}>"

    def _facts(self, name: str) -> dict[str, Any]:
        spec, facts = TABLES[name], dict.fromkeys(("version", "rows", "bytes"))
        if self.lake.exists(name):
            table = self.lake.table(name)
            sizes = table.get_add_actions(flatten=True).column("size_bytes").to_pylist()
            rows = self.lake.count(name, table.version())
            facts = {"version": table.version(), "rows": rows, "bytes": sum(sizes)}
        return {"name": name, "layer": spec.layer, **facts, "a row is": spec.description}
