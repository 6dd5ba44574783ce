"""Where things live below ``BOATSEG_HOME``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from boatseg_core.errors import ConfigError


@dataclass(frozen=True)
class Home:
    """The folders and files of one home; a path here is a decision no other module repeats.

    Attributes:
        root: Absolute path of the home.
    """

    root: Path

    @property
    def landing(self) -> Path:
        """New images and label files are dropped here."""
        return self.root / "landing"

    @property
    def lake(self) -> Path:
        """Delta tables, one folder each."""
        return self.root / "lake"

    @property
    def mlflow_db(self) -> Path:
        """SQLite file behind MLflow's tracking store and registry."""
        return self.root / "mlflow.db"

    @property
    def mlflow_artifacts(self) -> Path:
        """Models and pictures that MLflow keeps."""
        return self.root / "mlflow-artifacts"

    @property
    def optuna_journal(self) -> Path:
        """Optuna's append-only study file."""
        return self.root / "optuna.journal"

    @property
    def dagster(self) -> Path:
        """``DAGSTER_HOME``: runs, events and schedules."""
        return self.root / "dagster"

    @property
    def work(self) -> Path:
        """Checkpoints and other files that may be deleted between runs."""
        return self.root / "work"

    @property
    def reports(self) -> Path:
        """HTML pages for people."""
        return self.root / "reports"

    @property
    def config_file(self) -> Path:
        """Settings of this home, weaker than the environment and the working directory's."""
        return self.root / "boatseg.toml"

    def create(self) -> Home:
        """Create the home's folders where missing.

        Raises:
            ConfigError: The home cannot be created or written to.
        """
        try:
            for folder in (self.root, self.landing, self.lake, self.dagster, self.work):
                folder.mkdir(parents=True, exist_ok=True)
            probe = self.root / f".write-probe-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise ConfigError(
                f"the home {self.root} cannot be written to ({error.strerror}): set BOATSEG_HOME "
                "(or --home) to a folder on a disk you can write to"
            ) from error
        return self

    def write_config(self, text: str) -> None:
        """Write the home's settings file so that a reader sees all of it or none of it.

        Args:
            text: TOML.

        Raises:
            ConfigError: The file cannot be written.
        """
        temporary = self.root / f".{self.config_file.name}.{os.getpid()}.part"
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(self.config_file)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise ConfigError(
                f"{self.config_file} cannot be written ({error.strerror}): make room, or name "
                "another home with --home"
            ) from error
