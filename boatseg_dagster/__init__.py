"""boatseg in Dagster: thin definitions over :mod:`boatseg_core`.

One module per Dagster concept. No logic lives here: an asset is a sentence that calls the core and
returns counts and versions as metadata.
"""
