"""Scenes as files: pictures and label file in the layout of the real data set, and faults."""
