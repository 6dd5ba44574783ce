"""What governs, runs, serves and watches a model."""

from __future__ import annotations

from boatseg_core.config.sections.base import Section, setting


class Registry(Section):
    """Where models are governed."""

    tracking_uri: str = setting(
        "", "URI", "MLflow's SQL store or server; empty means mlflow.db in the home."
    )
    experiment: str = setting(
        "boatseg", "", "MLflow experiment of the training runs.", min_length=1
    )
    model_name: str = setting("boatseg", "", "Name of the registered model.", min_length=1)
    min_boat_iou: float = setting(
        0.2,
        "IoU",
        "Gate: a version whose mean IoU on test images with objects is lower is never promoted.",
        ge=0,
        le=1,
    )
    max_iou_drop: float = setting(  # two trainings of the same model differ by about this much
        0.01,
        "IoU",
        "Gate: most that this IoU may be below production's.",
        ge=0,
        le=1,
    )
    max_f2_drop: float = setting(
        0.02,
        "F2",
        "Gate: most that F2 of objects may be below production's, where chance does not explain "
        "it.",
        ge=0,
        le=1,
    )
    max_false_alarm_rise: float = setting(
        0.02,
        "share",
        "Gate: most that the share of empty images with a false alarm may be above production's, "
        "where chance does not explain it.",
        ge=0,
        le=1,
    )


class Predict(Section):
    """The predictor, wherever it runs."""

    threshold: float = setting(
        0.5, "probability", "A pixel above it belongs to an object.", gt=0, lt=1
    )
    min_area: int = setting(30, "px", "Smaller connected regions are dropped.", ge=0)
    split_neck: float = setting(
        0.0,
        "share",
        "Regions are cut at necks narrower than this share of the narrower part; 0 never cuts.",
        ge=0,
        lt=1,
    )
    batch_size: int = setting(4, "images", "Images in one forward pass.", ge=1)
    threads: int = setting(0, "threads", "Threads of one forward pass; 0 means one per core.", ge=0)


class Serve(Section):
    """The REST service."""

    host: str = setting(
        "127.0.0.1", "address", "Address the service listens on; loopback by default."
    )
    port: int = setting(8000, "port", "TCP port the service listens on.", ge=0, le=65_535)
    refresh_seconds: float = setting(
        5.0, "s", "How often the service looks for a newly promoted version.", gt=0
    )
    max_body_bytes: int = setting(64 * 2**20, "bytes", "Larger requests are refused.", ge=1)
    max_pixels: int = setting(
        16_000_000,
        "px",
        "A picture with more pixels is refused: a few kilobytes can hold minutes of work.",
        ge=1,
    )


class Drift(Section):
    """Monitoring of new batches against the training reference."""

    max_shift: float = setting(
        0.35,
        "KS distance",
        "A larger Kolmogorov-Smirnov distance from the training reference raises a warning.",
        gt=0,
        le=1,
    )
    min_images: int = setting(20, "images", "Smaller batches are reported but not judged.", ge=1)
