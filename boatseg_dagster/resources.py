"""Resources: they hand out plain core objects and hold no behaviour of their own."""

import dagster as dg

from boatseg_core.config import Settings, load_settings
from boatseg_core.lake import Lake
from boatseg_dagster.liveness import PROCESS_TAG, this_process


class Boatseg(dg.ConfigurableResource):  # type: ignore[type-arg]  # generic only in name
    """The settings in force and the lake they name.

    Attributes:
        home: Home to use; empty for ``BOATSEG_HOME`` or its default.
    """

    home: str = ""

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Tag the run with its process, see :mod:`boatseg_dagster.liveness`."""
        if context.instance is not None and context.run_id is not None:
            context.instance.add_run_tags(context.run_id, {PROCESS_TAG: this_process()})

    def settings(self) -> Settings:
        """Load the settings anew, so that a changed ``boatseg.toml`` needs no reload."""
        return load_settings(home=self.home) if self.home else load_settings()

    def lake(self) -> Lake:
        """Open the lake."""
        return Lake.from_settings(self.settings())
