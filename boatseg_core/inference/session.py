"""The ONNX session: which device, how many threads, and arrays in and out of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from boatseg_core.errors import RegistryError
from boatseg_core.inference.spec import MODEL_FILE, ModelSpec

if TYPE_CHECKING:
    import onnxruntime

Image = npt.NDArray[np.uint8]
Logits = npt.NDArray[np.float32]

# The strongest first. The CUDA one is there only in the GPU build of ONNX Runtime.
PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")


def cores() -> int:
    """Count the cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Session:
    """A checked model graph, ready to run.

    Attributes:
        spec: The model's description.
        providers: Execution providers in force, the strongest first.
        on_gpu: Whether the strongest is not the CPU.
        threads: Threads of one forward pass.
    """

    def __init__(self, spec: ModelSpec, graph: bytes, *, threads: int = 0) -> None:
        """Load a graph.

        Args:
            spec: Its description.
            graph: Bytes of ``model.onnx``.
            threads: Threads of one forward pass; 0 means one per core.

        Raises:
            RegistryError: ONNX Runtime cannot load the graph, or its input or output is not the
                one the description names.
        """
        import onnxruntime

        self.spec = spec
        self.threads = threads or cores()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        # Threads that wait by spinning take the cores from decoding and from everybody else.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3  # errors only; they arrive as exceptions as well
        available = onnxruntime.get_available_providers()
        try:
            self._session: onnxruntime.InferenceSession = onnxruntime.InferenceSession(
                graph, options, providers=[name for name in PROVIDERS if name in available]
            )
        except Exception as error:  # the runtime's own classes share no public base
            raise RegistryError(
                f"{MODEL_FILE} cannot be loaded: {_first_line(error)}; the model has to be one "
                "ONNX file with its weights inside"
            ) from error
        self.providers: list[str] = self._session.get_providers()
        self.on_gpu = self.providers[0] != PROVIDERS[-1]
        for kind, wanted, nodes in (
            ("input", spec.input_name, self._session.get_inputs()),
            ("output", spec.output_name, self._session.get_outputs()),
        ):
            names = [node.name for node in nodes]
            if wanted not in names:
                raise RegistryError(
                    f"{MODEL_FILE} has no {kind} named {wanted!r} (it has {', '.join(names)}): "
                    "register the model again"
                )

    def padded(self, height: int, width: int) -> tuple[int, int]:
        """Round a size up to what the graph accepts, in pixels."""
        multiple = self.spec.multiple
        return -(-height // multiple) * multiple, -(-width // multiple) * multiple

    def run(self, images: list[Image], size: tuple[int, int]) -> list[Logits]:
        """Run images of one padded size through the graph.

        Args:
            images: uint8 ``[H, W, 3]`` each, none larger than ``size``.
            size: Padded height and width, see :meth:`padded`. What an image lacks at the bottom
                and the right is filled by repeating its edge.

        Returns:
            float32 ``[H, W]`` for each image, at its own size.

        Raises:
            RegistryError: The graph fails, or its output has another shape than promised.
        """
        batch = np.empty((len(images), 3, *size), dtype=np.float32)
        for one, image in zip(batch, images, strict=True):
            height, width = image.shape[:2]
            np.multiply(image.transpose(2, 0, 1), np.float32(1 / 255), out=one[:, :height, :width])
            one[:, height:, :width] = one[:, height - 1 : height, :width]
            one[:, :, width:] = one[:, :, width - 1 : width]
        try:
            (logits,) = self._session.run([self.spec.output_name], {self.spec.input_name: batch})
        except Exception as error:  # the runtime's own classes share no public base
            raise RegistryError(
                f"{MODEL_FILE} fails on {len(images)} images of {size[1]}x{size[0]}: "
                f"{_first_line(error)}"
            ) from error
        if logits.shape != (len(images), 1, *size):
            raise RegistryError(
                f"{MODEL_FILE} answers with shape {list(logits.shape)}, promised were "
                f"{[len(images), 1, *size]}: register the model again"
            )
        return [
            logits[at, 0, : image.shape[0], : image.shape[1]] for at, image in enumerate(images)
        ]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
