"""Asset checks, one module per layer: what has to hold for a batch to be trusted.

A check is a question to the core and the answer as a result; ERROR and blocking for a broken
batch, WARN for rates.
"""

import warnings

import dagster as dg

# Results per partition (`partitions_def` on a check) are a preview feature; a result that did not
# say which batch it is about would be worse. The minor version of dagster is pinned for it.
warnings.filterwarnings("ignore", category=dg.PreviewWarning, message=".*AssetCheckSpec.*")

from boatseg_dagster.checks.data import data_checks  # noqa: E402  # after the filter above
from boatseg_dagster.checks.groups import group_checks  # noqa: E402
from boatseg_dagster.checks.images import image_checks  # noqa: E402
from boatseg_dagster.checks.labels import label_checks  # noqa: E402
from boatseg_dagster.checks.model import model_checks  # noqa: E402

all_checks = [*image_checks, *group_checks, *data_checks, *label_checks, *model_checks]
"""Every check, in the order data flows."""
