"""How the settings shape a predictor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from boatseg_core.config import Settings


def predictor_options(settings: Settings) -> dict[str, Any]:
    """Keyword arguments of :meth:`boatseg_core.inference.predictor.Predictor.load`.

    A model brings the threshold, the smallest area and the splitting it was measured with; the
    settings overrule them only where somebody set them.
    """
    predict = settings.predict
    return {
        "threads": predict.threads,
        "batch_size": predict.batch_size,
        "max_pixels": settings.decode.max_pixels,
    } | {
        name: getattr(predict, name)
        for name in ("threshold", "min_area", "split_neck")
        if name in predict.model_fields_set
    }
