"""The contestants of benchmarks/training.py, one a process: ``training_contestants.py NAME ...``.

Each trains the same network and prints seconds and processor seconds of its steps, of which the
first are not counted. Nothing of a step is looked at in between: a GPU is waited for at the first
counted step and after the last one only.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch  # noqa: TID253
from PIL import Image

from boatseg_core.config import load_settings
from boatseg_core.config.sections import Train
from boatseg_core.dataset import GoldDataset
from boatseg_core.lake import Lake
from boatseg_core.training.allocator import memory_kept
from boatseg_core.training.augment import augment
from boatseg_core.training.augment_strong import strengthen
from boatseg_core.training.data import _crops
from boatseg_core.training.encoder_weights import input_statistics
from boatseg_core.training.fit import fit, resolve
from boatseg_core.training.model import Segmenter, pixel_counts, prepare
from boatseg_core.training.network import build_network
from boatseg_core.training.normalised import Normalised
from boatseg_core.training.trainer import computes_in_bf16

LENGTH = 10_000  # steps of the schedule; the clock ends every training long before


class Clock:
    """Counts steps and times those that count."""

    def __init__(self, warm: int, steps: int, device: str) -> None:
        self._warm, self._steps, self._device = warm, steps, device
        self._count = 0
        self.first = time.perf_counter()
        self.result: dict[str, Any] = {}

    def tick(self) -> bool:
        """After each step; whether it was the last one."""
        self._count += 1
        if self._count == 1:
            self._wait()
            self.result["first_s"] = time.perf_counter() - self.first
        if self._count == self._warm:
            self._wait()
            self._wall, self._cpu = time.perf_counter(), _cpu()
        if self._count < self._warm + self._steps:
            return False
        self._wait()
        self.result |= {
            "steps": self._steps,
            "seconds": time.perf_counter() - self._wall,
            "cpu_s": _cpu() - self._cpu,
        }
        return True

    @property
    def counts(self) -> bool:
        """Whether the step that runs is one of those that count."""
        return self._count >= self._warm

    def _wait(self) -> None:
        if self._device == "cuda":
            torch.cuda.synchronize()


def _cpu() -> float:
    return time.process_time()  # of all threads


def _settings(options: argparse.Namespace, home: str, **train: Any) -> Any:
    chosen = {"crop": options.crop, "batch_size": options.batch, "augment": options.augment}
    chosen |= {"device": options.device, "compile": False, "max_steps": LENGTH, "validations": 1}
    return load_settings(home=home, train=chosen | train)


def _gold(options: argparse.Namespace) -> GoldDataset:
    return GoldDataset(Lake(str(options.data / "lake")))


def ours(options: argparse.Namespace) -> dict[str, Any]:
    """The product's own entrance: gold table, loader, augmentation, Lightning, callbacks."""
    import pytorch_lightning as pl

    class Done(Exception):
        pass

    class Timer(pl.Callback):
        def __init__(self) -> None:
            self.clock = Clock(options.warm, options.steps, options.device)
            self.waited, self._left = 0.0, 0.0

        def on_train_start(self, trainer: Any, module: Any) -> None:
            self.clock.first = time.perf_counter()

        def on_train_batch_start(self, *_: Any) -> None:
            if self._left and self.clock.counts:
                self.waited += time.perf_counter() - self._left

        def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
            if self.clock.tick():
                # What a training writes every so many steps is shared out among them.
                start, cpu = time.perf_counter(), _cpu()
                trainer.callbacks[-1].on_validation_end(trainer, module)
                every = Train().checkpoint_steps / options.steps
                written = time.perf_counter() - start
                result = self.clock.result
                result["checkpoint_ms"] = 1000 * written / Train().checkpoint_steps
                result["seconds"] += written / every
                result["cpu_s"] += (_cpu() - cpu) / every
                result["wait_share"] = self.waited / result["seconds"]
                raise Done
            self._left = time.perf_counter()

    timer = Timer()
    with tempfile.TemporaryDirectory() as home:
        settings = _settings(options, home)
        chosen = resolve(settings)
        try:
            fit(
                _gold(options),
                settings,
                chosen,
                work=Path(home) / "work",
                on_epoch=None,
                progress=False,
                callbacks=[timer],
            )
        except Done:
            return timer.clock.result
    raise AssertionError("the clock did not end the training")


def _network(train: Train) -> torch.nn.Module:
    torch.manual_seed(train.seed)
    return Normalised(
        build_network(train), *input_statistics(train.encoder, pretrained=train.pretrained)
    )


def _synthetic(options: argparse.Namespace) -> tuple[torch.Tensor, torch.Tensor]:
    shape = options.batch, 3, options.crop, options.crop
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    masks = (torch.rand(shape[0], 1, *shape[2:], generator=generator) < 0.02).to(torch.uint8)
    return images.to(options.device), masks.to(options.device)


def limit(options: argparse.Namespace, *, augmented: bool = False) -> dict[str, Any]:
    """Network, loss, backward pass and optimiser on tensors in memory, and nothing else."""
    with tempfile.TemporaryDirectory() as home:
        train = resolve(_settings(options, home))
    layout = torch.contiguous_format if options.contiguous else torch.channels_last
    segmenter = Segmenter(_network(train), train, LENGTH, 0.5).to(options.device).train()
    network = segmenter.network.to(memory_format=layout)
    forward = torch.compile(network.forward) if options.compile else network.forward
    optimizer = segmenter.configure_optimizers()["optimizer"]
    raw, masks = _synthetic(options)
    fixed = (raw.float() / 255).contiguous(memory_format=layout)
    generator = torch.Generator(options.device).manual_seed(0)
    bf16 = options.bf16 or computes_in_bf16(train.precision, options.device)
    clock = Clock(options.warm, options.steps, options.device)
    while True:
        images, truth = fixed, masks
        if augmented:
            images, truth = prepare(raw), masks
            if train.augment == "strong":
                images, truth = strengthen(images, truth, generator)
            images, truth = augment(images, truth, generator)
            images = images.contiguous(memory_format=layout)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(options.device, torch.bfloat16, enabled=bf16):
            loss = segmenter.loss(forward(images), truth)
        loss.backward()
        optimizer.step()
        if clock.tick():
            return clock.result


def limit_augmented(options: argparse.Namespace) -> dict[str, Any]:
    """The limit with our augmentation of the batch in it."""
    return limit(options, augmented=True)


class Files(torch.utils.data.Dataset[Any]):
    """Pictures and masks as files: what one writes without a loader."""

    def __init__(self, folder: Path, crop: int) -> None:
        from torchvision.transforms import v2

        self._files = sorted(folder.glob("*.jpg"))
        self._transform = v2.Compose(
            [
                v2.RandomCrop(crop),
                v2.RandomHorizontalFlip(),
                v2.RandomVerticalFlip(),
                v2.ColorJitter(brightness=0.1, contrast=0.25),
                v2.ToDtype(torch.float32, scale=True),
            ]
        )

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        from torchvision import tv_tensors

        path = self._files[number]
        image = torch.from_numpy(np.asarray(Image.open(path).convert("RGB")).copy())
        mask = torch.from_numpy(np.asarray(Image.open(path.with_suffix(".png"))).astype(np.uint8))
        pair = tv_tensors.Image(image.permute(2, 0, 1)), tv_tensors.Mask(mask[None])
        cut, inside = self._transform(*pair)
        return torch.as_tensor(cut), torch.as_tensor(inside)


def _file_loader(options: argparse.Namespace) -> Any:
    return torch.utils.data.DataLoader(
        Files(options.data / "files", options.crop),
        batch_size=options.batch,
        shuffle=True,
        num_workers=options.workers,
        persistent_workers=True,
        drop_last=True,
        pin_memory=options.device == "cuda",
    )


def files(options: argparse.Namespace) -> dict[str, Any]:
    """A plain loop over a plain DataLoader of files, with the network laid out as ours."""
    train = Train(crop=options.crop, batch_size=options.batch)
    segmenter = Segmenter(_network(train), train, LENGTH, 0.5).to(options.device).train()
    optimizer = segmenter.configure_optimizers()["optimizer"]
    loader = _file_loader(options)
    bf16 = computes_in_bf16(train.precision, options.device)
    clock = Clock(options.warm, options.steps, options.device)
    for images, masks in _endless(loader):
        images = images.to(options.device, memory_format=torch.channels_last, non_blocking=True)
        masks = masks.to(options.device, non_blocking=True)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(options.device, torch.bfloat16, enabled=bf16):
            loss = segmenter.loss(segmenter.network(images), masks)
        loss.backward()
        optimizer.step()
        if clock.tick():
            break
    return clock.result


def _endless(loader: Any) -> Iterator[Any]:
    return itertools.chain.from_iterable(itertools.repeat(loader))


def lightning(options: argparse.Namespace) -> dict[str, Any]:
    """The same files in a Lightning training as its documentation has it."""
    import pytorch_lightning as pl

    train = Train(crop=options.crop, batch_size=options.batch)
    network, inner = _network(train), Segmenter(_network(train), train, LENGTH, 0.5)
    clock = Clock(options.warm, options.steps, options.device)

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network, self.loss = network, inner.loss

        def training_step(self, batch: Any, _: int) -> Any:
            images, masks = batch
            return self.loss(self.network(images), masks)

        def on_train_batch_end(self, *_: Any) -> None:
            if clock.tick():
                self.trainer.should_stop = True

        def configure_optimizers(self) -> Any:
            return torch.optim.AdamW(self.parameters(), lr=train.learning_rate)

    trainer = pl.Trainer(
        accelerator="gpu" if options.device == "cuda" else "cpu",
        devices=1,
        precision="bf16-mixed" if computes_in_bf16("auto", options.device) else "32-true",
        max_steps=LENGTH,
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Module(), _file_loader(options))
    return clock.result


def parts(options: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds of processor time a step, of each thing we do beside the network."""
    with tempfile.TemporaryDirectory() as home:
        train = resolve(_settings(options, home, threads=1))
    raw, masks = _synthetic(options)
    images = prepare(raw)
    generator = torch.Generator(options.device).manual_seed(0)
    logits = torch.randn(masks.shape, device=options.device)
    network = _network(train)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    batches = _crops(_gold(options), train).forever()
    cases: dict[str, Callable[[], object]] = {
        "decode_and_crop": lambda: next(batches),
        "augment_light": lambda: augment(images, masks, generator),
        "augment_strong": lambda: strengthen(images, masks, generator),
        "count_pixels": lambda: pixel_counts(logits, masks, 0.0),
        "clip_gradients": lambda: torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0),
    }
    spent = {}
    for name, case in cases.items():
        for _ in range(4):  # until as many batches are decoded as are held
            case()
        start = _cpu()
        for _ in range(options.steps):
            case()
        spent[name] = 1000 * (_cpu() - start) / options.steps
    return {"breakdown_cpu_ms": spent, "steps": options.steps, "seconds": 0.0, "cpu_s": 0.0}


def main() -> None:
    parser = argparse.ArgumentParser()
    known = (ours, limit, limit_augmented, files, lightning, parts)
    parser.add_argument("name", choices=[f.__name__ for f in known])
    parser.add_argument("--data", type=Path, required=True)
    for name in ("steps", "warm", "crop", "batch", "workers"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--augment", choices=("light", "strong"), default="light")
    for name in ("compile", "bf16", "contiguous"):
        parser.add_argument(f"--{name}", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    (chosen,) = (f for f in known if f.__name__ == options.name)
    with memory_kept(options.device):  # a fifth of a step: all of them have it, as ours does
        print(json.dumps(chosen(options)))
    sys.stdout.flush()
    os._exit(0)  # workers of a DataLoader may take their time


if __name__ == "__main__":
    main()
