from __future__ import annotations

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tiny_model import SLOPE, encoded, scene, write_model

from boatseg_core.errors import ImageError, InputError, RegistryError
from boatseg_core.inference import tiles
from boatseg_core.inference.calibration import ScoreCalibration
from boatseg_core.inference.prediction import Prediction
from boatseg_core.inference.predictor import Predictor
from boatseg_core.inference.spec import MODEL_FILE, ModelSpec


def test_finds_what_is_there(model_folder: Path) -> None:
    boats = ((10, 20, 8, 3), (60, 5, 4, 9))
    (answer,) = Predictor.load(model_folder).predict([encoded(scene(boats=boats))])
    assert isinstance(answer, Prediction)
    assert (answer.width, answer.height) == (100, 80)
    assert sorted(answer.boxes) == sorted(map(list, boats))
    assert answer.boat_count == 2
    assert answer.boat_area == 8 * 3 + 4 * 9
    assert all(0.9 < score <= 1 for score in answer.scores)
    expected = scene(boats=boats)[..., 0] > 128
    np.testing.assert_array_equal(answer.mask(), expected)


def test_scores_are_those_of_the_models_calibration(tmp_path: Path) -> None:
    image = encoded(scene(boats=((10, 20, 8, 3), (60, 5, 9, 9))))
    write_model(tmp_path, score_calibration=ScoreCalibration(bias=-4.0, slope=0.25))
    (answer,) = Predictor.load(tmp_path).predict([image])
    assert isinstance(answer, Prediction)
    logit = SLOPE * (240 / 255 - 0.5)  # of every pixel
    assert answer.scores == pytest.approx([1 / (1 + np.exp(4 - logit / 4))] * 2, rel=1e-4)
    assert answer.scores[0] < 0.2 and all(mean > 0.9 for mean in answer.means)


def test_a_bad_image_does_not_disturb_the_others(model_folder: Path) -> None:
    good = encoded(scene(boats=((1, 1, 5, 5),)))
    images = [good, b"", good, b"GIF89a nonsense", good[: len(good) // 2], good, good]
    answers = Predictor.load(model_folder, batch_size=2).predict(images)
    bad = [isinstance(answer, ImageError) for answer in answers]
    assert bad == [False, True, False, True, True, False, False]
    assert answers[0] == answers[2] == answers[5] == answers[6]


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_sizes_may_be_mixed_and_padding_is_never_an_object(
    model_folder: Path, batch_size: int
) -> None:
    sizes = [(33, 65), (32, 64), (1, 1), (31, 63), (32, 64), (5, 200)]
    images = [scene(w, h, boats=((0, 0, w, h),)) for w, h in sizes]
    predictor = Predictor.load(model_folder, batch_size=batch_size, min_area=0)
    predictor.pass_size = batch_size  # as on a GPU
    answers = predictor.predict_arrays(images)
    assert [answer.boxes for answer in answers] == [[[0, 0, w, h]] for w, h in sizes]
    dark = Predictor.load(model_folder, batch_size=batch_size).predict_arrays(
        [scene(w, h) for w, h in sizes]
    )
    assert [answer.boat_count for answer in dark] == [0] * len(sizes)


def test_batches_change_nothing(model_folder: Path) -> None:
    rng = np.random.default_rng(5)
    images = [rng.integers(0, 256, (64, 96, 3), dtype=np.uint8) for _ in range(7)]
    one = Predictor.load(model_folder, batch_size=1, threads=1).predict_arrays(images)
    predictor = Predictor.load(model_folder, batch_size=4, threads=2)
    assert predictor.pass_size == (4 if predictor.session.on_gpu else 1)
    for predictor.pass_size in (1, 4):
        assert predictor.predict_arrays(images) == one


def test_memory_is_bounded_by_two_batches(model_folder: Path) -> None:
    taken = 0
    good = encoded(scene())

    def source():
        nonlocal taken
        for _ in range(50):
            taken += 1
            yield good

    stream = Predictor.load(model_folder, batch_size=3).stream(source())
    for answered, _ in enumerate(stream, 1):
        assert taken <= answered + 2 * 3
    assert answered == 50


def test_threshold_and_min_area_can_be_overruled(model_folder: Path) -> None:
    image = scene(boats=((3, 3, 4, 4),))
    assert Predictor.load(model_folder, min_area=17).predict_arrays([image])[0].boat_count == 0
    assert Predictor.load(model_folder, min_area=16).predict_arrays([image])[0].boat_count == 1
    assert Predictor.load(model_folder, threshold=0.99999).predict_arrays([image])[0].boxes == []


def test_tiles_answer_as_the_whole_picture(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(7)
    image = rng.integers(0, 256, (300, 521, 3), dtype=np.uint8)
    predictor = Predictor.load(model_folder)
    whole = predictor.predict_arrays([image])
    monkeypatch.setattr(tiles, "SIDE", 128)
    monkeypatch.setattr(tiles, "MARGIN", 16)
    assert predictor.predict_arrays([image, image]) == whole * 2


@pytest.mark.parametrize(("height", "width"), [(1537, 10), (4000, 3000), (2561, 1536)])
def test_tiles_cover_once_and_stay_small(height: int, width: int) -> None:
    covered = np.zeros((height, width), dtype=np.uint8)
    for tile in tiles.cut(height, width):
        covered[tile.keep] += 1
        for look, keep, within in zip(tile.look, tile.keep, tile.within, strict=True):
            assert look.stop - look.start <= tiles.SIDE
            assert look.start + within.start == keep.start
            assert look.start + within.stop == keep.stop
    assert (covered == 1).all()


def test_threads_may_share_a_predictor(model_folder: Path) -> None:
    predictor = Predictor.load(model_folder, threads=1)
    images = [encoded(scene(boats=((i, i, 5, 5),))) for i in range(1, 40)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda data: predictor.predict([data])[0], images))
    assert [answer.boxes for answer in answers] == [[[i, i, 5, 5]] for i in range(1, 40)]


def test_graphs_that_do_not_keep_the_promise_are_refused(tmp_path: Path) -> None:
    write_model(tmp_path / "name", input_name="pixels")
    with pytest.raises(RegistryError, match=r"no input named 'image' \(it has pixels\)"):
        Predictor.load(tmp_path / "name")
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk" / MODEL_FILE).write_bytes(b"junk")
    spec = ModelSpec().save(tmp_path / "junk")
    assert spec.onnx_sha256 == hashlib.sha256(b"junk").hexdigest()
    with pytest.raises(RegistryError, match=r"model.onnx cannot be loaded"):
        Predictor.load(tmp_path / "junk")


def test_neither_torch_nor_mlflow_nor_scipy_is_imported(model_folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from boatseg_core.inference.predictor import Predictor\n"
        f"Predictor.load(Path({str(model_folder)!r})).warm_up()\n"
        "bad = {'torch', 'mlflow', 'scipy', 'optuna', 'dagster', 'onnx', 'pandas'}\n"
        "assert not bad & set(sys.modules), bad & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), dtype=np.uint8),
        np.zeros((4, 4, 4), dtype=np.uint8),
        np.zeros((0, 4, 3), dtype=np.uint8),
        np.zeros((4, 4, 3), dtype=np.float32),
    ],
)
def test_arrays_of_another_shape_are_refused(model_folder: Path, image: np.ndarray) -> None:
    with pytest.raises(InputError, match="image 1 is"):
        Predictor.load(model_folder).predict_arrays([scene(), image])
