"""``python -m boatseg_core.cli``."""

from boatseg_core.cli import main

main()
