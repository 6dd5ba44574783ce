"""The predictor: image bytes in, objects out.

One object serves batch scoring, SQL, the registry's pyfunc and REST. It is safe to use from several
threads at once.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from boatseg_core.errors import ImageError, InputError
from boatseg_core.imaging.decode import DEFAULT_MAX_PIXELS, decode
from boatseg_core.inference import tiles
from boatseg_core.inference.prediction import Prediction, from_logits
from boatseg_core.inference.session import Image, Logits, Session, cores
from boatseg_core.inference.spec import ModelSpec, load_model


class Predictor:
    """A loaded model with its decoding and post-processing.

    Attributes:
        spec: The model's description.
        session: The ONNX session.
        batch_size: Most images that are decoded, then predicted, together.
        pass_size: Most images in one forward pass.
    """

    def __init__(
        self,
        session: Session,
        *,
        batch_size: int = 4,
        threshold: float | None = None,
        min_area: int | None = None,
        split_neck: float | None = None,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> None:
        """Wrap a session; most callers want :meth:`load`.

        Args:
            session: The model.
            batch_size: Most images in one forward pass on a GPU, and decoded together anywhere.
            threshold: Probability a pixel needs; None takes the model's own.
            min_area: Smallest object in pixels; None takes the model's own.
            split_neck: Share of a part's width below which a neck is cut; None takes the model's
                own.
            max_pixels: Larger pictures are refused before they are decoded.
        """
        self.session = session
        self.spec: ModelSpec = session.spec
        self.batch_size = max(1, batch_size)
        # Measured on CPUs, 768 px: four images in one pass are no faster than one after the other,
        # and take three times the memory.
        self.pass_size = self.batch_size if session.on_gpu else 1
        self.threshold = self.spec.threshold if threshold is None else threshold
        self.min_area = self.spec.min_area if min_area is None else min_area
        self.split_neck = self.spec.split_neck if split_neck is None else split_neck
        self.max_pixels = max_pixels

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        threads: int = 0,
        batch_size: int = 4,
        threshold: float | None = None,
        min_area: int | None = None,
        split_neck: float | None = None,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> Predictor:
        """Load a model folder (``model.onnx`` and ``boatseg.json``).

        Args:
            folder: The folder.
            threads: Threads of one forward pass; 0 means one per core.
            batch_size: See :meth:`__init__`, as for the others.
            threshold: Probability a pixel needs; None takes the model's own.
            min_area: Smallest object in pixels; None takes the model's own.
            split_neck: Share of a part's width below which a neck is cut; None takes the model's
                own.
            max_pixels: Larger pictures are refused before they are decoded.

        Raises:
            RegistryError: The folder is not a model folder, or its graph cannot be loaded.
        """
        return cls(
            Session(*load_model(folder), threads=threads),
            batch_size=batch_size,
            threshold=threshold,
            min_area=min_area,
            split_neck=split_neck,
            max_pixels=max_pixels,
        )

    def predict(self, images: Sequence[bytes]) -> list[Prediction | ImageError]:
        """Find the objects in images.

        Args:
            images: Encoded pictures (JPEG, PNG, ...).

        Returns:
            One answer for each image, in order; an image that cannot be read gets its
            :class:`ImageError` and does not disturb the others.

        Raises:
            RegistryError: The model itself fails.
        """
        return list(self.stream(images))

    def predict_arrays(self, images: Sequence[Image]) -> list[Prediction]:
        """Find the objects in decoded images.

        Args:
            images: uint8 ``[H, W, 3]`` RGB each, at least one pixel.

        Raises:
            InputError: An image is of another type or shape.
            RegistryError: The model itself fails.
        """
        for at, image in enumerate(images):
            if image.dtype != np.uint8 or image.shape[2:] != (3,) or not image.size:
                raise InputError(
                    f"image {at} is {image.dtype} {list(image.shape)}, expected is uint8 "
                    "[height, width, 3] with at least one pixel"
                )
        answers: list[Prediction] = []
        for start in range(0, len(images), self.batch_size):
            answers += self._run(images[start : start + self.batch_size])
        return answers

    def stream(self, images: Iterable[bytes]) -> Iterator[Prediction | ImageError]:
        """Find the objects in any number of images, in bounded memory.

        At most two batches of pictures are decoded at a time: one is predicted while the next is
        decoded. Answers come in order, see :meth:`predict`.
        """
        source = iter(images)
        with ThreadPoolExecutor(min(self.batch_size, cores()), "decode") as pool:

            def start() -> list[Future[Image | ImageError]]:
                chunk = itertools.islice(source, self.batch_size)
                return [pool.submit(self._decode, data) for data in chunk]

            ahead = start()
            while ahead:
                decoded = [future.result() for future in ahead]
                ahead = start()
                good = [image for image in decoded if not isinstance(image, ImageError)]
                answers = iter(self._run(good))
                for image in decoded:
                    yield image if isinstance(image, ImageError) else next(answers)

    def logits(self, image: Image) -> Logits:
        """Run one image: float32 ``[H, W]`` logits for uint8 ``[H, W, 3]``."""
        height, width = image.shape[:2]
        if not tiles.needed(height, width):
            return self.session.run([image], self.session.padded(height, width))[0]
        whole = np.empty((height, width), dtype=np.float32)
        for tile in tiles.cut(height, width):
            part = image[tile.look]
            (logits,) = self.session.run([part], self.session.padded(*part.shape[:2]))
            whole[tile.keep] = logits[tile.within]
        return whole

    def warm_up(self, side: int = 256) -> None:
        """Run one grey picture, so that the first real one does not pay for allocations."""
        self.predict_arrays([np.full((side, side, 3), 127, dtype=np.uint8)])

    def _decode(self, data: bytes) -> Image | ImageError:
        try:
            return decode(data, max_pixels=self.max_pixels)
        except ImageError as error:
            return error

    def _run(self, images: Sequence[Image]) -> list[Prediction]:
        """Predict at most one batch; images of one padded size share a forward pass."""
        by_size: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        answers: dict[int, Prediction] = {}
        for at, image in enumerate(images):
            height, width = image.shape[:2]
            if tiles.needed(height, width):
                answers[at] = self._answer(self.logits(image))
            else:
                by_size[self.session.padded(height, width)].append(at)
        for size, members in by_size.items():
            for start in range(0, len(members), self.pass_size):
                some = members[start : start + self.pass_size]
                logits = self.session.run([images[at] for at in some], size)
                answers |= {at: self._answer(one) for at, one in zip(some, logits, strict=True)}
        return [answers[at] for at in range(len(images))]

    def _answer(self, logits: Logits) -> Prediction:
        return from_logits(
            logits,
            threshold=self.threshold,
            min_area=self.min_area,
            split_neck=self.split_neck,
            calibration=self.spec.score_calibration,
        )
