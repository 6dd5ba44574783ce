from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch  # noqa: TID253

from boatseg_core.training.onnx_operators import any_size

OPSET = 18


def exported(module: torch.nn.Module, path):
    """A function from array to array: the module through onnxruntime, traced on one other size."""
    axes = {"image": {0: "N", 2: "H", 3: "W"}}
    with any_size(module, OPSET):
        torch.onnx.export(
            module.eval(),
            (torch.rand(2, 4, 12, 18),),
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=["image"],
            dynamic_axes=axes,
        )
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda image: session.run(None, {"image": image.numpy()})[0]


@pytest.mark.parametrize("cells", [1, 2, 3, 6, (2, 5), (1, 3)])
def test_adaptive_pooling_is_torchs_for_any_size(cells, tmp_path):
    pool = torch.nn.AdaptiveAvgPool2d(cells)
    found = exported(pool, tmp_path / "pool.onnx")
    # Odd sizes whose bins overlap, sizes below the number of bins, a single pixel.
    for shape in ((1, 4, 7, 11), (3, 4, 24, 24), (2, 4, 2, 5), (1, 4, 1, 1), (1, 4, 13, 97)):
        image = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        expected = pool(image).numpy()
        np.testing.assert_allclose(found(image), expected, rtol=1e-5, atol=1e-6, err_msg=str(shape))


def test_resizing_by_area_is_the_same_pooling(tmp_path):
    class Area(torch.nn.Module):
        def forward(self, image):
            return torch.nn.functional.interpolate(image, size=(3, 3), mode="area")

    image = torch.rand(1, 4, 10, 17)
    found = exported(Area(), tmp_path / "area.onnx")
    np.testing.assert_allclose(found(image), Area()(image).numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("factor", [2, 3])
def test_antialiased_resizing_is_torchs(factor, tmp_path):
    class Resize(torch.nn.Module):
        def forward(self, image):
            size = [image.shape[2] * factor // 2, image.shape[3] // factor + 3]
            return torch.nn.functional.interpolate(image, size=size, mode="bicubic", antialias=True)

    found = exported(Resize(), tmp_path / "resize.onnx")
    for shape in ((1, 4, 9, 14), (2, 4, 31, 8)):
        image = torch.randn(shape, generator=torch.Generator().manual_seed(2))
        np.testing.assert_allclose(found(image), Resize()(image).numpy(), rtol=1e-4, atol=1e-5)


def test_the_exporter_is_left_as_it_was(tmp_path, capfd):
    pool = torch.nn.AdaptiveAvgPool2d(3)
    exported(pool, tmp_path / "pool.onnx")
    logs = torch._C._jit_is_onnx_log_enabled()
    torch._C._jit_set_onnx_log_enabled(False)
    try:
        with pytest.raises(torch.onnx.errors.SymbolicValueError):
            torch.onnx.export(
                pool,
                (torch.rand(2, 4, 12, 18),),
                tmp_path / "again.onnx",
                dynamo=False,
                opset_version=OPSET,
                input_names=["image"],
                dynamic_axes={"image": {2: "H", 3: "W"}},
            )
    finally:
        torch._C._jit_set_onnx_log_enabled(logs)
