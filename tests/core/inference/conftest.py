from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from tiny_model import write_model


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    write_model(tmp_path / "model")
    return tmp_path / "model"
