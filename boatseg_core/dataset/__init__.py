"""From gold tables to arrays: groups and splits, the gold join, and reading it for training."""

from boatseg_core.dataset.reader import GoldDataset, Sample

__all__ = ["GoldDataset", "Sample"]
