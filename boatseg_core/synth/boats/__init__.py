"""Boats: their kinds and hulls, what stands on deck, and where they lie in a scene."""
