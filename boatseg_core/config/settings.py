"""The settings model and how it is loaded."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from boatseg_core.config.home import Home
from boatseg_core.config.sections import (
    Decode,
    Drift,
    History,
    Labels,
    Landing,
    Predict,
    Quality,
    Registry,
    Seal,
    Serve,
    Split,
    Train,
    Tune,
    Upkeep,
    setting,
)
from boatseg_core.errors import ConfigError

CONFIG_FILE = "boatseg.toml"
_PREFIX = "BOATSEG_"


class Settings(BaseSettings):
    """Everything that can be set, with its default.

    Strongest first: arguments, environment (``BOATSEG_HOME``, ``BOATSEG_TRAIN__MAX_STEPS``),
    ``boatseg.toml`` in the working directory, ``boatseg.toml`` in the home, the default.
    """

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
    )

    home: Path = setting(
        Path(".boatseg"), "path", "Folder that holds everything: landing, lake, models, runs."
    )
    lake_uri: str = setting(
        "", "URI", "Root of the Delta tables, a folder or s3:// URI; empty means lake/ in the home."
    )
    storage_options: dict[str, str] = setting(
        {}, "", "Object store options (endpoint, keys) as delta-rs names them."
    )
    lake: Upkeep = Field(default_factory=Upkeep)
    landing: Landing = Field(default_factory=Landing)
    seal: Seal = Field(default_factory=Seal)
    decode: Decode = Field(default_factory=Decode)
    quality: Quality = Field(default_factory=Quality)
    history: History = Field(default_factory=History)
    labels: Labels = Field(default_factory=Labels)
    split: Split = Field(default_factory=Split)
    train: Train = Field(default_factory=Train)
    tune: Tune = Field(default_factory=Tune)
    registry: Registry = Field(default_factory=Registry)
    predict: Predict = Field(default_factory=Predict)
    serve: Serve = Field(default_factory=Serve)
    drift: Drift = Field(default_factory=Drift)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources as the class docstring says."""
        here = _toml_source(settings_cls, Path(CONFIG_FILE))
        # The home's own file is found through the stronger sources, which may move the home.
        home = next(
            (
                Path(str(values["home"]))
                for values in (init_settings(), env_settings(), here())
                if "home" in values
            ),
            Path(".boatseg"),
        )
        home_file = Home(home).config_file
        if home_file.absolute() == Path(CONFIG_FILE).absolute():
            return init_settings, env_settings, here
        return init_settings, env_settings, here, _toml_source(settings_cls, home_file)

    @property
    def paths(self) -> Home:
        """The home's layout, absolute."""
        return Home(self.home.expanduser().absolute())

    @property
    def lake_root(self) -> str:
        """Root of the Delta tables: a URI or an absolute folder."""
        return self.lake_uri or str(self.paths.lake)

    @property
    def tracking_uri(self) -> str:
        """MLflow's tracking and registry URI in force."""
        return self.registry.tracking_uri or f"sqlite:///{self.paths.mlflow_db}"

    @property
    def images_folder(self) -> Path:
        """Folder the images are discovered in."""
        if self.landing.images:
            return Path(self.landing.images).expanduser().absolute()
        return self.paths.landing / "images"

    @property
    def images_location(self) -> str:
        """Where the images are discovered, for people: an absolute folder or an s3:// URI."""
        remote = "://" in self.landing.images
        return self.landing.images if remote else str(self.images_folder)

    @property
    def labels_path(self) -> Path:
        """CSV file or folder of CSV files with the labels."""
        if self.landing.labels:
            return Path(self.landing.labels).expanduser().absolute()
        return self.paths.landing


def load_settings(**overrides: Any) -> Settings:
    """Load the settings in force.

    Args:
        **overrides: Strongest values, by top-level field name.

    Raises:
        ConfigError: A value is unknown, of the wrong type or out of range, or a file is
            not TOML in UTF-8; or the home's path holds a question mark.
    """
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']) or 'settings'}: {item['msg']}"
            for item in error.errors()
        )
        raise ConfigError(
            f"settings are not valid: {problems} (boatseg config lists every name)"
        ) from error
    except SettingsError as error:
        raise ConfigError(_not_json(error)) from error
    home = settings.paths.root
    if "?" in str(home):  # MLflow and Dagster make a URL of it, where a path ends there
        raise ConfigError(
            f"the home cannot be {home}: MLflow and Dagster would cut its path at the question "
            "mark; name a home without one with BOATSEG_HOME (or --home)"
        )
    return settings


def provenance(settings: Settings) -> list[tuple[str, Any, str, str, str]]:
    """List every setting with where its value came from.

    Returns:
        Rows ``(dotted name, value, unit, source, sentence)``; source is ``default``,
        ``environment`` with the variable's name, or the path of a TOML file.
    """
    files = [Path(CONFIG_FILE).absolute(), settings.paths.config_file]
    tables = [(str(path), _read_toml(path)) for path in dict.fromkeys(files) if path.is_file()]
    rows: list[tuple[str, Any, str, str, str]] = []
    for name, value, field in _leaves(settings):
        parts = name.split(".")
        variable = _variable(parts)
        if variable is not None:
            source = f"environment {variable}"
        else:
            source = next((path for path, table in tables if _has(table, parts)), "default")
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        rows.append((name, value, str(extra.get("unit", "")), source, field.description or ""))
    return rows


def _leaves(model: Any, prefix: str = "") -> list[tuple[str, Any, Any]]:
    leaves: list[tuple[str, Any, Any]] = []
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if hasattr(type(value), "model_fields"):
            leaves += _leaves(value, f"{prefix}{name}.")
        else:
            leaves.append((f"{prefix}{name}", value, field))
    return leaves


def _toml_source(settings_cls: type[BaseSettings], path: Path) -> TomlConfigSettingsSource:
    with _told_of(path):
        return TomlConfigSettingsSource(settings_cls, path)


def _read_toml(path: Path) -> dict[str, Any]:
    with _told_of(path), path.open("rb") as file:
        return tomllib.load(file)


@contextmanager
def _told_of(path: Path) -> Iterator[None]:
    """Name the file in what goes wrong with it: there may be two of one name."""
    try:
        yield
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path.absolute()} is not valid TOML: {error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path.absolute()} is not UTF-8 (byte {error.start}): save it in that encoding"
        ) from error
    except OSError as error:
        raise ConfigError(f"{path.absolute()} cannot be read: {error.strerror}") from error


def _not_json(error: SettingsError) -> str:
    """Name the variable that pydantic-settings, which only names the section, stumbled over."""
    text = getattr(error.__cause__, "doc", None)
    found = [key for key, value in _environment().items() if value == text]
    if not found:
        return f"the environment ({_PREFIX}...) is not valid: {error}"
    # Its value is not shown: storage options hold secrets.
    return (
        f"the environment variable {' or '.join(sorted(found))} is not valid: its value has to be "
        'JSON, such as ["a", "b"] for a list or {"name": 1} for a section'
    )


def _environment() -> dict[str, str]:
    """The variables that are ours, by upper-case name."""
    return {k.upper(): v for k, v in os.environ.items() if k.upper().startswith(_PREFIX)}


def _variable(parts: list[str]) -> str | None:
    """Name of the environment variable that says a setting, itself or in a section's JSON."""
    variables = _environment()
    name = _PREFIX + "__".join(parts).upper()
    # A dictionary may be given key by key.
    own = [key for key in variables if key == name or key.startswith(f"{name}__")]
    if own:
        return ", ".join(sorted(own))
    for length in range(len(parts) - 1, 0, -1):
        section = _PREFIX + "__".join(parts[:length]).upper()
        if section in variables and _has(json.loads(variables[section]), parts[length:]):
            return section
    return None


def _has(table: Any, parts: list[str]) -> bool:
    for part in parts:
        if not isinstance(table, dict) or part not in table:
            return False
        table = table[part]
    return True
