"""Find what is damaged in a lake, say what it means, and repair what can be repaired safely."""

from boatseg_core.lake.doctor.examine import examine
from boatseg_core.lake.doctor.finding import Finding, Kind
from boatseg_core.lake.doctor.repair import Repaired, repair

__all__ = ["Finding", "Kind", "Repaired", "examine", "repair"]
