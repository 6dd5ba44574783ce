"""Train a model from gold: the one entrance of this room that callers need.

Importing this module is cheap; torch and lightning come with the first call.
"""

from __future__ import annotations

import logging
import signal
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from boatseg_core.config.sections import Train
from boatseg_core.errors import TrainingError
from boatseg_core.training.result import Entry, OnEpoch, TrainResult

if TYPE_CHECKING:
    import pytorch_lightning as pl
    from torch import nn

    from boatseg_core.config import Settings
    from boatseg_core.dataset import GoldDataset

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fitted:
    """Trained weights before test and export.

    Attributes:
        network: In evaluation mode, with the best weights, on the device it was trained on.
        history: One entry a validation.
        best_step: Step the weights are from.
    """

    network: nn.Module
    history: list[Entry]
    best_step: int


def train(
    gold: GoldDataset,
    settings: Settings,
    *,
    overrides: Mapping[str, Any] | None = None,
    work: Path,
    on_epoch: OnEpoch | None = None,
    progress: bool = True,
    resume: bool = False,
) -> TrainResult:
    """Train on ``train``, choose weights and threshold on ``valid``, measure once on ``test``.

    The test goes through the exported model and the predictor, as every later use does.

    Args:
        gold: A pinned version of the data set.
        settings: ``train`` says how; during training ``predict.threshold`` counts as predicted.
        overrides: Fields of ``settings.train`` to replace, such as a study's best parameters.
        work: Folder for the checkpoint and the model folder; created.
        on_epoch: Called with each validation's entry; what it raises ends the training.
        progress: Show progress on standard error.
        resume: Go on with the training of the same settings and data that was killed in ``work``,
            if there is one; its validations are told to ``on_epoch`` again.

    Returns:
        The model folder and everything worth logging.

    Raises:
        TrainingError: A split is empty or shows no object, the network cannot be built, the loss
            is no longer a number, memory runs out, or the exported model computes something else.
        ImageError: An image of gold no longer decodes.
    """
    from boatseg_core.inference.predictor import Predictor
    from boatseg_core.inference.spec import ModelSpec
    from boatseg_core.training.evaluate import evaluate
    from boatseg_core.training.export import export
    from boatseg_core.training.operating_point import choose_operating_point

    started = time.monotonic()
    chosen = resolve(settings, overrides)
    check_splits(gold, ("train", "valid", "test"))
    fitted = fit(
        gold, settings, chosen, work=work, on_epoch=on_epoch, progress=progress, resume=resume
    )
    params = {**chosen.model_dump(mode="json"), "best_step": fitted.best_step}
    folder = export(fitted.network, work / "model", settings, chosen, {}, params, gold.version)
    point = choose_operating_point(
        Predictor.load(folder),
        gold,
        **_bounds(settings),
        usual_area=settings.predict.min_area,
        limit=chosen.valid_images,
        threads=chosen.threads,
    )
    picked = {name: getattr(point, name) for name in ("threshold", "min_area", "split_neck")}
    params |= picked
    spec = ModelSpec.load(folder).model_copy(update={**picked, "params": params})
    spec.save(folder)
    evaluation = evaluate(Predictor.load(folder), gold, "test", threads=chosen.threads)
    metrics = evaluation.metrics
    spec.model_copy(update={"metrics": metrics}).save(folder)
    return TrainResult(
        folder=folder,
        history=fitted.history,
        metrics=metrics,
        params=params,
        gold_version=gold.version,
        seconds=time.monotonic() - started,
        best_step=fitted.best_step,
        evaluation=evaluation,
    )


def _bounds(settings: Settings) -> dict[str, Any]:
    """What the choice of the operating point is free in: all that nobody set."""
    fixed = settings.predict.model_fields_set
    return {
        plural: (getattr(settings.predict, name),)
        for plural, name in (("min_areas", "min_area"), ("necks", "split_neck"))
        if name in fixed
    }


def resolve(settings: Settings, overrides: Mapping[str, Any] | None = None) -> Train:
    """Put overrides over ``settings.train``.

    Raises:
        TrainingError: An override is unknown or out of range.
    """
    try:
        chosen = Train.model_validate({**settings.train.model_dump(), **(overrides or {})})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise TrainingError(f"the training cannot be run with train.{name}: {first['msg']}") from (
            error
        )
    if chosen.crop % 32:
        raise TrainingError(
            f"train.crop is {chosen.crop} px but has to be a multiple of 32: "
            f"set it to {max(32, round(chosen.crop / 32) * 32)}"
        )
    return chosen


def check_splits(gold: GoldDataset, splits: tuple[str, ...]) -> None:
    """Refuse splits that nothing can be learnt from or measured on, before any time is spent.

    Raises:
        TrainingError: A split has no image, or none with an object.
    """
    index = gold.index()
    counts = {
        name: (len(part), int((part["boat_count"] > 0).sum()))
        for name in splits
        for part in [index.filter(index["split"] == name)]
    }
    found = ", ".join(
        f"{name} {images} ({boats} with objects)" for name, (images, boats) in counts.items()
    )
    for name, (images, boats) in counts.items():
        if not boats:
            what = "has no image with an object" if images else "is empty"
            raise TrainingError(
                f"the {name} split of gold version {gold.version} {what} (images: {found}): "
                "ingest and label more images of other places"
                + ("" if name == "train" else f", raise split.{name}_share or change split.salt")
            )


def fit(
    gold: GoldDataset,
    settings: Settings,
    chosen: Train,
    *,
    work: Path,
    on_epoch: OnEpoch | None,
    progress: bool,
    resume: bool = False,
    callbacks: Sequence[pl.Callback] = (),
) -> Fitted:
    """Train and go back to the best weights; see :func:`train`.

    ``callbacks`` stand behind the judge, whose history they find written.
    """
    import pytorch_lightning as pl
    import torch

    from boatseg_core.training import resume as resuming
    from boatseg_core.training.callbacks import Judge, LossGuard
    from boatseg_core.training.data import GoldModule
    from boatseg_core.training.ema import Ema
    from boatseg_core.training.encoder_weights import input_statistics
    from boatseg_core.training.model import Segmenter
    from boatseg_core.training.network import build_network
    from boatseg_core.training.normalised import Normalised
    from boatseg_core.training.progress import ProgressBar

    work.mkdir(parents=True, exist_ok=True)
    # Weights and dropout; crops and augmentation have generators of their own.
    torch.manual_seed(chosen.seed)
    name = resuming.fingerprint(gold, chosen, settings.predict.threshold)
    state = resuming.load(work / resuming.FILE, name) if resume else None
    done = state["step"] if state else 0
    epochs = resuming.remaining(epoch_lengths(chosen.max_steps, chosen.validations), done)
    if state and chosen.patience and state["judge"]["waited"] >= chosen.patience:
        epochs = []  # it had stopped early
    plain = build_network(chosen)  # first: it knows unknown encoders from those out of reach
    network = Normalised(plain, *input_statistics(chosen.encoder, pretrained=chosen.pretrained))
    segmenter = Segmenter(network, chosen, chosen.max_steps, settings.predict.threshold)
    if state:
        network.load_state_dict(state["network"])
    checkpoint = work / "best.pt"
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        judge = Judge(checkpoint, on_epoch, chosen.patience)
        ema = Ema(chosen.ema_decay) if chosen.ema_decay else None
        # The judge looks before the average gives way to the weights.
        used: list[pl.Callback] = [LossGuard(), judge, *([ema] if ema else []), *callbacks]
        if progress:
            bar = ProgressBar(chosen.max_steps, judge)
            used.append(bar)
            stack.callback(bar.stop)
        used.append(
            resuming.Keeper(
                work / resuming.FILE,
                name,
                every=chosen.checkpoint_steps,
                judge=judge,
                ema=ema,
                state=state,
            )
        )
        trainer = pl.Trainer(
            accelerator="auto",
            devices=1,
            precision=_precision(chosen.precision),
            max_epochs=len(epochs),
            accumulate_grad_batches=chosen.accumulate,
            callbacks=used,
            default_root_dir=work,
            gradient_clip_val=1.0,
            num_sanity_val_steps=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        try:
            with _interruptible():
                batches = [steps * chosen.accumulate for steps in epochs]
                data = GoldModule(gold, chosen, batches, skip=done * chosen.accumulate)
                if epochs:
                    trainer.fit(segmenter, datamodule=data)
                elif state:  # killed after its last validation
                    judge.load_state_dict(state["judge"])
        except torch.OutOfMemoryError as error:
            raise TrainingError(
                f"the device ran out of memory with {chosen.batch_size} crops of {chosen.crop} px: "
                f"set train.batch_size to {max(1, chosen.batch_size // 2)}"
            ) from error
        device = trainer.strategy.root_device
    network.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True))
    return Fitted(network.to(device).eval(), judge.history, judge.best_step)


def epoch_lengths(steps: int, validations: int) -> list[int]:
    """Steps before each validation: as even as can be, and the last one at the very end."""
    count = min(steps, validations)
    ends = [steps * (index + 1) // count for index in range(count)]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]


def _precision(asked: str) -> Any:
    import torch

    if asked == "auto":
        asked = "bf16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "32"
    return {"32": "32-true", "bf16": "bf16-mixed"}[asked]


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C through: Lightning makes an exit of it and leaves the next one ignored."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        if not isinstance(error.__context__, KeyboardInterrupt):
            raise
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's tips out of the log; our own lines say what matters."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning.pytorch")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            # Above all the advice to use worker processes: decoding runs in threads.
            warnings.filterwarnings("ignore", module="pytorch_lightning")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
