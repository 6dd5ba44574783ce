"""The sections of the settings, one model per room of the house.

Every field carries a unit (empty where it has none) and one sentence for ``boatseg config``.
"""

from __future__ import annotations

from boatseg_core.config.sections.base import Section, setting
from boatseg_core.config.sections.dataset import Labels, Split
from boatseg_core.config.sections.ingest import Decode, History, Landing, Quality, Seal
from boatseg_core.config.sections.lake import Upkeep
from boatseg_core.config.sections.models import Drift, Predict, Registry, Serve
from boatseg_core.config.sections.training import Train, Tune

__all__ = [
    "Decode",
    "Drift",
    "History",
    "Labels",
    "Landing",
    "Predict",
    "Quality",
    "Registry",
    "Seal",
    "Section",
    "Serve",
    "Split",
    "Train",
    "Tune",
    "Upkeep",
    "setting",
]
