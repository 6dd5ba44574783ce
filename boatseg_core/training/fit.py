"""Train a model from gold: the one entrance of this room that callers need.

Importing this module is cheap; torch and lightning come with the first call.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boatseg_core.config.sections import Train
from boatseg_core.errors import TrainingError
from boatseg_core.training.plan import check_splits, epoch_lengths, resolve
from boatseg_core.training.rank import place
from boatseg_core.training.ranks import device_kind, together
from boatseg_core.training.result import Entry, OnEpoch, TrainResult

if TYPE_CHECKING:
    import pytorch_lightning as pl
    from torch import nn

    from boatseg_core.config import Settings
    from boatseg_core.dataset import GoldDataset
    from boatseg_core.training.data import GoldModule
    from boatseg_core.training.model import Segmenter


# Where the errors of torch.compile are from.
_COMPILERS = ("torch._dynamo", "torch._inductor")

__all__ = ["Fitted", "check_splits", "epoch_lengths", "fit", "fit_rank", "resolve", "train"]


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
        cautious=chosen.cautious,
        limit=chosen.valid_images,
        threads=chosen.threads,
    )
    picked = {name: getattr(point, name) for name in ("threshold", "min_area", "split_neck")}
    params |= picked
    spec = ModelSpec.load(folder).model_copy(
        update={**picked, "score_calibration": point.scores, "params": params}
    )
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
    """Train on as many devices as are asked for, and go back to the best weights.

    See :func:`train`. ``callbacks`` stand behind the judge, whose history they find written.
    """
    with together(gold, settings, chosen, work=work, resume=resume) as mine:
        return fit_rank(
            gold,
            settings,
            mine,
            work=work,
            on_epoch=on_epoch,
            progress=progress,
            resume=resume,
            callbacks=callbacks,
        )


def fit_rank(
    gold: GoldDataset,
    settings: Settings,
    chosen: Train,
    *,
    work: Path,
    on_epoch: OnEpoch | None = None,
    progress: bool = False,
    resume: bool = False,
    callbacks: Sequence[pl.Callback] = (),
) -> Fitted:
    """Train as one of the ranks, or alone; the first rank writes, reports and is listened to."""
    import torch

    from boatseg_core.training import resume as resuming
    from boatseg_core.training.allocator import memory_kept
    from boatseg_core.training.callbacks import Judge, LossGuard
    from boatseg_core.training.data import GoldModule
    from boatseg_core.training.ema import Ema
    from boatseg_core.training.encoder_weights import LITE0, input_statistics
    from boatseg_core.training.export import rehearse
    from boatseg_core.training.model import Segmenter
    from boatseg_core.training.network import build_network, size_multiple
    from boatseg_core.training.normalised import Normalised
    from boatseg_core.training.progress import ProgressBar
    from boatseg_core.training.strategy import AgreeOnStatistics
    from boatseg_core.training.trainer import make_trainer, quiet

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
    statistics = input_statistics(chosen.encoder, pretrained=chosen.pretrained)
    network = Normalised(plain, *statistics, multiple=size_multiple(plain))
    if chosen.encoder != LITE0 and not state:  # the default's exports are known to work
        rehearse(network, f"{chosen.architecture} on the encoder {chosen.encoder}")
    segmenter = Segmenter(network, chosen, chosen.max_steps, settings.predict.threshold)
    if state:
        network.load_state_dict(state["network"])
    checkpoint = work / "best.pt"
    with ExitStack() as stack:
        stack.enter_context(quiet())
        stack.enter_context(memory_kept(device_kind(chosen)))
        judge = Judge(checkpoint, on_epoch, chosen.patience)
        guard = LossGuard(judge, first=done * chosen.accumulate)
        ema = Ema(chosen.ema_decay) if chosen.ema_decay else None
        # The judge looks before the average gives way to the weights.
        used: list[pl.Callback] = [guard, judge, *([ema] if ema else []), *callbacks]
        if chosen.devices > 1:
            used.append(AgreeOnStatistics())
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
                guard=guard,
                ema=ema,
                state=state,
            )
        )
        trainer = make_trainer(
            chosen, device_kind(chosen), epochs=len(epochs), callbacks=used, work=work
        )
        batches = [steps * chosen.accumulate for steps in epochs]
        data = GoldModule(gold, chosen, batches, skip=done * chosen.accumulate)
        if epochs:
            _run(trainer, segmenter, data, chosen)
        elif state:  # killed after its last validation
            judge.load_state_dict(state["judge"])
        device = trainer.strategy.root_device
    if place()[0] == 0:
        network.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True))
    return Fitted(network.to(device).eval(), judge.history, judge.best_step)


def _run(trainer: pl.Trainer, segmenter: Segmenter, data: GoldModule, chosen: Train) -> None:
    """Train; where memory runs out, find out what would fit."""
    from boatseg_core.training.memory import advice, largest_batch, ran_out, release
    from boatseg_core.training.network import first_line
    from boatseg_core.training.trainer import computes_in_bf16, interruptible

    try:
        with interruptible():
            trainer.fit(segmenter, datamodule=data)
    except Exception as error:
        if chosen.compile and type(error).__module__.startswith(_COMPILERS):
            raise TrainingError(
                f"the network cannot be compiled here ({first_line(error)}): set train.compile to "
                "false"
            ) from error
        if not ran_out(error):
            raise
        # The module itself has been moved off its device by now.
        device = trainer.strategy.root_device
        release(error)
        if segmenter.looks:
            height, width = segmenter.largest
            raise TrainingError(
                f"memory ran out while whole validation images were looked at (the largest so far "
                f"has {width}x{height} px): keep larger ones out of gold with quality.max_width "
                "and quality.max_height, or train on a device with more memory"
            ) from error
        bf16 = computes_in_bf16(chosen.precision, device.type)
        fits = largest_batch(segmenter.network, segmenter.loss, chosen, device, bf16=bf16)
        raise TrainingError(advice(chosen, fits)) from error
