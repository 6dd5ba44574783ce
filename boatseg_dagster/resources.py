"""Resources: they hand out plain core objects and hold no behaviour of their own."""

import dagster as dg

from boatseg_core.config import Settings, load_settings
from boatseg_core.lake import Lake


class Boatseg(dg.ConfigurableResource):  # type: ignore[type-arg]  # generic only in name
    """The settings in force and the lake they name.

    Attributes:
        home: Home to use; empty for ``BOATSEG_HOME`` or its default.
    """

    home: str = ""

    def settings(self) -> Settings:
        """Load the settings anew, so that a changed ``boatseg.toml`` needs no reload."""
        return load_settings(home=self.home) if self.home else load_settings()

    def lake(self) -> Lake:
        """Open the lake."""
        return Lake.from_settings(self.settings())
