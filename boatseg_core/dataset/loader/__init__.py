"""Gold as batches: shuffled, balanced, sharded, resumable; decoded in threads.

:class:`.core.Loader` deals arrays and needs no torch; :class:`.tensors.TorchLoader` deals tensors
and is what :meth:`boatseg_core.dataset.GoldDataset.torch` makes.
"""

from boatseg_core.dataset.loader.core import Loader
from boatseg_core.dataset.loader.options import Options

__all__ = ["Loader", "Options"]
