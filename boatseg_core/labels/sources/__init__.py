"""Label files of every kind, read as one stream of annotations.

A module per kind; :func:`boatseg_core.labels.sources.choose.open_source` picks one. A source reads
and does not judge geometry: what an annotation covers is decided when the image's size is known,
in :mod:`boatseg_core.labels.annotation`.
"""
