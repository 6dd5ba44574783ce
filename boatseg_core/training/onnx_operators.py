"""What torch's tracing exporter cannot write for pictures of any size, in ONNX's own operators.

- Adaptive average pooling (PSPNet, UPerNet, some encoders): ONNX pools with windows of one fixed
  size, so torch exports it only to a single cell, or for an input whose size it knows. Its bins are
  means over rows and columns, though, and a mean is a product with a matrix of weights: that matrix
  is written into the graph as a function of the input's size.
- Antialiased bicubic resizing (the position embedding of vision transformers, in DPT): ONNX has it
  since opset 18, torch's exporter does not know.
- Average pooling with a window as large as the picture (MobileOne's squeeze and excitation): the
  size of a window has to be a constant, a mean over rows and columns does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


@contextmanager
def any_size(network: nn.Module, opset: int) -> Iterator[None]:
    """Let torch's tracing exporter write these for any size.

    Args:
        network: What is exported; left as it was.
        opset: Of the export, 18 or later.
    """
    import torch
    from segmentation_models_pytorch.encoders.mobileone import SEBlock

    blocks = [module for module in network.modules() if isinstance(module, SEBlock)]
    logs = torch._C._jit_is_onnx_log_enabled()
    # On a failure the exporter prints its whole graph on standard output, thousands of lines.
    torch._C._jit_set_onnx_log_enabled(False)
    for name, write in _OPERATORS.items():
        torch.onnx.register_custom_op_symbolic(name, write, opset)  # type: ignore[attr-defined]
    for block in blocks:
        block.forward = partial(_excite, block)
    try:
        yield
    finally:
        for block in blocks:
            del block.forward
        for name in _OPERATORS:
            torch.onnx.unregister_custom_op_symbolic(name, opset)  # type: ignore[attr-defined]
        torch._C._jit_set_onnx_log_enabled(logs)


def _excite(block: nn.Module, inputs: Tensor) -> Tensor:
    """Compute what MobileOne's block does, with a mean in the place of the pooling."""
    reduced = block.get_submodule("reduce")(inputs.mean((2, 3), keepdim=True))
    weights: Tensor = block.get_submodule("expand")(reduced.relu()).sigmoid()
    return inputs * weights


def _resize(g: Any, image: Any, size: Any, align: Any, scales: Any) -> Any:
    """Write ``_upsample_bicubic2d_aa`` of ``[N, C, H, W]`` to a size given in whole pixels."""
    import torch
    from torch.onnx import symbolic_helper

    if symbolic_helper._is_none(size) or symbolic_helper._maybe_get_const(align, "b"):
        return symbolic_helper._unimplemented("_upsample_bicubic2d_aa", "by scale or aligned")

    def numbers(*values: int) -> Any:
        return g.op("Constant", value_t=torch.tensor(values, dtype=torch.int64))

    if symbolic_helper._is_packed_list(size):
        sides = [g.op("Reshape", s, numbers(1)) for s in symbolic_helper._unpack_list(size)]
        size = g.op("Concat", *sides, axis_i=0)
    lead = g.op("Slice", g.op("Shape", image), numbers(0), numbers(2))
    target = g.op("Concat", lead, g.op("Cast", size, to_i=7), axis_i=0)  # 7 is int64
    unused = g.op("Constant", value_t=torch.tensor([], dtype=torch.float32))
    return g.op(
        "Resize",
        image,
        unused,
        unused,
        target,
        mode_s="cubic",
        antialias_i=1,
        cubic_coeff_a_f=-0.5,  # Pillow's, as torch uses it where it antialiases
        exclude_outside_i=1,  # weights beyond the edge are shared out among the others
        coordinate_transformation_mode_s="half_pixel",
    )


def _pool(g: Any, image: Any, size: Any) -> Any:
    """Write ``rows @ image @ columns`` for ``image`` ``[N, C, H, W]``."""
    from torch.onnx import symbolic_helper

    # Torch's own words where a size is not a constant, as of a pooling that keeps one side.
    cells: Sequence[int] = symbolic_helper._get_const(size, "is", "output_size")  # type: ignore[no-untyped-call]
    if list(cells) == [1, 1]:
        return g.op("GlobalAveragePool", image)
    rows = _weights(g, image, axis=2, cells=cells[0])
    columns = g.op("Transpose", _weights(g, image, axis=3, cells=cells[1]), perm_i=[1, 0])
    pooled = g.op("MatMul", g.op("MatMul", rows, image), columns)
    kind = image.type()
    sides = kind.sizes() if hasattr(kind, "sizes") else None
    if sides is not None:  # what comes after may ask for the channels
        pooled.setType(kind.with_sizes([*sides[:2], *cells]))
    return pooled


def _weights(g: Any, image: Any, *, axis: int, cells: int) -> Any:
    """Write the ``[cells, L]`` weights of one axis of length ``L``.

    Bin ``i`` is the mean of ``floor(i L / cells)`` up to, not including,
    ``ceil((i + 1) L / cells)``, as torch's kernels have it.
    """
    import torch

    def number(*values: int) -> Any:
        return g.op("Constant", value_t=torch.tensor(values, dtype=torch.int64))

    length = g.op("Gather", g.op("Shape", image), number(axis), axis_i=0)
    scalar = g.op("Squeeze", length)
    zero, one = (g.op("Squeeze", number(value)) for value in (0, 1))
    places = g.op("Range", zero, scalar, one)
    first = torch.arange(cells, dtype=torch.int64).view(-1, 1)
    starts = g.op("Div", g.op("Mul", g.op("Constant", value_t=first), length), number(cells))
    # ceil(a / b) of whole numbers is floor((a + b - 1) / b).
    upper = g.op("Mul", g.op("Constant", value_t=first + 1), length)
    ends = g.op("Div", g.op("Add", upper, number(cells - 1)), number(cells))
    inside = g.op("And", g.op("GreaterOrEqual", places, starts), g.op("Less", places, ends))
    kind = image.type().scalarType() or "Float"
    cast = torch.onnx.symbolic_helper.cast_pytorch_to_onnx[kind]
    counts = g.op("Cast", g.op("Sub", ends, starts), to_i=cast)
    return g.op("Div", g.op("Cast", inside, to_i=cast), counts)


_OPERATORS: dict[str, Callable[..., Any]] = {
    "aten::adaptive_avg_pool2d": _pool,
    "aten::_upsample_bicubic2d_aa": _resize,
}
