from __future__ import annotations

from pathlib import Path

import pytest
from support import golds

from boatseg_core.dataset import GoldDataset
from boatseg_core.lake import Lake


@pytest.fixture
def gold(tmp_path: Path) -> GoldDataset:
    """60 images of ``train`` (20 with a boat) and 15 of ``valid``, in row groups of five."""
    return golds.write(Lake(str(tmp_path / "lake"), durable=False), golds.mixed(75))
