"""The way back: labels in force as label files, which read again are the same labels.

:mod:`~boatseg_core.labels.export.choose` decides what is written, a module per format writes it.
"""
