"""Jobs: selections of assets that are run together."""

import dagster as dg

from boatseg_dagster.partitions import batches

# One training at a time on a machine; the limit is in the home's dagster.yaml.
HEAVY = {"boatseg/heavy": "training"}

# Images to gold, one batch per run: a range run would yield one check result for many partitions.
ingest_batch = dg.define_asset_job(
    "ingest_batch",
    dg.AssetSelection.assets(
        "raw_images", "image_quality", "rasterized_masks", "image_groups", "gold_dataset"
    ),
    partitions_def=batches,
    description="One sealed batch, from files to gold.",
)

# Criteria have changed, or an image was found to be a duplicate: nothing is read or decoded again.
requalify_batch = dg.define_asset_job(
    "requalify_batch",
    dg.AssetSelection.assets("image_quality", "gold_dataset"),
    partitions_def=batches,
    description="Judge one batch again by the criteria in force, and join its gold again.",
)

rebuild_labels = dg.define_asset_job(
    "rebuild_labels",
    dg.AssetSelection.assets("rasterized_masks", "gold_dataset"),
    partitions_def=batches,
    description="New labels of one batch: masks and gold. No picture file is read.",
)

load_labels = dg.define_asset_job(
    "load_labels",
    dg.AssetSelection.assets("raw_masks"),
    description="Label files that are new or changed.",
)

tune_model = dg.define_asset_job(
    "tune_model",
    dg.AssetSelection.assets("tuned_hyperparameters"),
    tags=HEAVY,
    description="Search hyperparameters on gold.",
)

train_model = dg.define_asset_job(
    "train_model",
    dg.AssetSelection.assets("trained_model"),
    tags=HEAVY,
    description="Train on gold, register, and promote what passes the gate.",
)

score_batch = dg.define_asset_job(
    "score_batch",
    dg.AssetSelection.assets("batch_predictions", "drift"),
    partitions_def=batches,
    description="Score one batch with the model in production and compare it with training.",
)

all_jobs = [
    ingest_batch,
    requalify_batch,
    rebuild_labels,
    load_labels,
    tune_model,
    train_model,
    score_batch,
]
"""Every job."""
