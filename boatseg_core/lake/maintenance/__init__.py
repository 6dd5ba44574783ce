"""Keep the tables small, fast and readable: compaction, vacuum, checkpoints."""

from boatseg_core.lake.maintenance.checkpoint import Checkpointed, checkpoint
from boatseg_core.lake.maintenance.optimize import Compacted, optimize
from boatseg_core.lake.maintenance.vacuum import Vacuumed, vacuum

__all__ = ["Checkpointed", "Compacted", "Vacuumed", "checkpoint", "optimize", "vacuum"]
