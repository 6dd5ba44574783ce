from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import numpy as np
import pytest
import torch  # noqa: TID253

from boatseg_core.config.sections import Train
from boatseg_core.errors import TrainingError
from boatseg_core.inference.spec import MODEL_FILE, SPEC_FILE, ModelSpec
from boatseg_core.training import commit as commit_module
from boatseg_core.training import export as export_module
from boatseg_core.training.commit import git_commit, uncommitted_changes
from boatseg_core.training.export import check_parity, export, rehearse, to_onnx
from boatseg_core.training.fit import fit, resolve
from boatseg_core.training.network import build_network, size_multiple
from boatseg_core.training.normalised import Normalised

MEAN, STD = [0.5, 0.4, 0.3], [0.5, 0.2, 0.1]


def network(architecture: str = "Unet", **train: Any) -> Normalised:
    torch.manual_seed(0)
    width = (32, 16, 16, 8, 8)
    built = build_network(
        Train(architecture=architecture, decoder_channels=width, crop=64, batch_size=2, **train)
    )
    return Normalised(built, MEAN, STD, size_multiple(built)).eval()


def test_every_architecture_computes_the_same_on_any_size(tmp_path):
    import onnxruntime
    import segmentation_models_pytorch as smp

    names = [item.__name__ for item in smp.MODEL_ARCHITECTURES_MAPPING.values()]
    assert {"Unet", "PSPNet", "UPerNet", "PAN", "DPT"} <= set(names)
    path = tmp_path / "model.onnx"
    for name in names:
        model = network(name, encoder="tu-test_resnet", pretrained=False)
        to_onnx(model, path)
        assert check_parity(model, path) < 1e-3, name
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        (found,), (given,) = session.get_outputs(), session.get_inputs()
        assert (given.name, given.type, given.shape[1]) == ("image", "tensor(float)", 3)
        assert (found.name, found.type) == ("logits", "tensor(float)")
        side = model.multiple
        image = torch.rand(2, 3, side, 5 * side, generator=torch.Generator().manual_seed(3))
        (logits,) = session.run(None, {"image": image.numpy()})
        with torch.inference_mode():
            np.testing.assert_allclose(logits, model(image).numpy(), atol=2e-3, err_msg=name)


@pytest.mark.parametrize(
    ("architecture", "encoder"),
    [("DPT", "tu-test_vit"), ("Unet", "mobileone_s4"), ("Segformer", "mit_b0")],
)
def test_encoders_whose_operators_onnx_has_in_other_words(architecture, encoder, tmp_path):
    model = network(architecture, encoder=encoder, pretrained=False)
    to_onnx(model, tmp_path / "model.onnx")
    assert check_parity(model, tmp_path / "model.onnx") < 1e-3


def test_what_could_not_be_served_is_refused_before_it_is_trained(gold, settings, tmp_path, capfd):
    # Its attention folds the picture with sizes that tracing takes for constants.
    chosen = resolve(
        settings, {"encoder": "tu-mobilevit_xxs", "pretrained": False, "max_steps": 10**6}
    )
    with pytest.raises(
        TrainingError, match=r"Unet on .*mobilevit.* could not be served \(.*Reshape"
    ):
        fit(gold, settings, chosen, work=tmp_path, on_epoch=None, progress=False)
    assert capfd.readouterr().out == ""


def test_a_rehearsal_leaves_the_network_as_it_was():
    model = network(encoder="tu-test_resnet", pretrained=False).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(5)
    after = torch.rand(1)
    torch.manual_seed(5)
    rehearse(model, "a pair")
    assert torch.equal(torch.rand(1), after)
    assert model.training and all(p.requires_grad for p in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_folder_holds_two_files_that_describe_the_model(settings, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "left-over").touch()
    metrics = {"boat_iou": 0.5, "empty_false_positive_rate": float("nan")}
    export(network(), folder, settings, settings.train, metrics, {"crop": 64}, 0)
    assert sorted(path.name for path in folder.iterdir()) == sorted([MODEL_FILE, SPEC_FILE])
    spec = ModelSpec.load(folder)
    assert (spec.architecture, spec.encoder) == ("Unet", "tu-tf_efficientnet_lite0")
    assert (spec.class_name, spec.threshold, spec.min_area) == ("boat", 0.5, 30)
    # Version 0 is a version.
    assert spec.gold_version == 0 and spec.metrics["empty_false_positive_rate"] is None
    assert spec.git_commit == git_commit()


def test_another_model_is_not_taken_for_the_same(tmp_path):
    model, path = network(), tmp_path / "model.onnx"
    to_onnx(model, path)
    with torch.no_grad():
        next(model.network.segmentation_head.parameters()).mul_(1.5)
    with pytest.raises(TrainingError, match="differ from torch's"):
        check_parity(model, path)


class Rounding(torch.nn.Module):
    """A small number as the difference of two huge ones, in an order that may be the other way."""

    def __init__(self, swapped: bool = False, wrong: float = 0.0) -> None:
        super().__init__()
        self.swapped, self.wrong = swapped, wrong

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        small, huge = image[:, :1] + self.wrong, 3e5 * image[:, 1:2]
        if self.swapped:
            return (small - huge) + huge
        return (small + huge) - huge


def test_rounding_of_which_torch_itself_has_as_much_is_no_other_model(tmp_path):
    path = tmp_path / "model.onnx"
    to_onnx(Rounding(swapped=True), path)
    # More than the tolerance, and yet the graph is as near to the truth as torch is.
    assert check_parity(Rounding(), path) > 1e-3
    to_onnx(Rounding(wrong=0.2), path)
    with pytest.raises(TrainingError, match="differ from torch's"):
        check_parity(Rounding(), path)


def test_a_size_that_tracing_took_for_a_constant_is_found_before_the_training():
    class Folded(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image[:, :1].sum((2, 3), keepdim=True) / float(image.shape[2]) + 0 * image[:, :1]

    with pytest.raises(TrainingError, match=r"a pair could not be served \(.* differ from torch's"):
        rehearse(Folded(), "a pair")


def test_nan_does_not_pass_for_agreement(tmp_path):
    model, path = network(), tmp_path / "model.onnx"
    with torch.no_grad():
        next(model.network.segmentation_head.parameters()).fill_(float("nan"))
    to_onnx(model, path)
    with pytest.raises(TrainingError, match="differ from torch's by inf"):
        check_parity(model, path)


def test_a_graph_that_cannot_run_is_reported(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"not a graph")
    with pytest.raises(TrainingError, match="onnxruntime cannot run"):
        check_parity(network(), path)


def test_a_network_that_cannot_be_traced_is_reported(tmp_path):
    class Odd(torch.nn.Module):
        def forward(self, image):
            raise RuntimeError("no way")

    with pytest.raises(TrainingError, match=r"exported to ONNX .*no way"):
        to_onnx(Odd(), tmp_path / "model.onnx")


def test_the_commit_is_that_of_the_checkout(tmp_path, monkeypatch):
    found = git_commit()
    assert found == "" or re.fullmatch("[0-9a-f]{40}", found)
    # Installed into an environment that lies inside some other checkout.
    package = tmp_path / "lib" / "boatseg_core" / "training"
    package.mkdir(parents=True)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    monkeypatch.setattr(commit_module, "__file__", str(package / "commit.py"))
    assert git_commit() == "" and uncommitted_changes() is None


def test_code_that_was_changed_since_its_commit_is_told(tmp_path, monkeypatch):
    package = tmp_path / "boatseg_core" / "training"
    package.mkdir(parents=True)
    monkeypatch.setattr(commit_module, "__file__", str(package / "commit.py"))

    def git(*words):
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", "-C", str(tmp_path), *who, *words], check=True)

    git("init", "-q")
    assert git_commit() == ""  # a checkout without any commit
    (package / "commit.py").write_text("one")
    git("add", "boatseg_core")
    git("commit", "-q", "-m", "one")
    assert re.fullmatch("[0-9a-f]{40}", git_commit()) and uncommitted_changes() is False
    (tmp_path / "notes").touch()  # beside the package
    assert uncommitted_changes() is False
    (package / "new.py").touch()
    assert uncommitted_changes() is True
    git("add", "boatseg_core/training/new.py")
    git("commit", "-q", "-m", "two")
    (package / "commit.py").write_text("two")
    assert uncommitted_changes() is True


def test_an_installation_from_a_repository_knows_its_commit(tmp_path, monkeypatch):
    monkeypatch.setattr(commit_module, "__file__", str(tmp_path / "boatseg_core" / "commit.py"))
    note = {"url": "https://example.org/b.git", "vcs_info": {"vcs": "git", "commit_id": "f" * 40}}

    class Installed:
        def __init__(self, text):
            self.text = text

        def read_text(self, name):
            assert name == "direct_url.json"
            return self.text

    for text, commit in ((json.dumps(note), "f" * 40), ('{"dir_info": {}}', ""), (None, "")):
        monkeypatch.setattr(
            commit_module.metadata, "distribution", lambda name, text=text: Installed(text)
        )
        assert git_commit() == commit


def test_parity_is_checked_on_every_export(settings, tmp_path, monkeypatch):
    for limit in ("_TOLERANCE", "_ROUNDING"):
        monkeypatch.setattr(export_module, limit, -1.0)
    with pytest.raises(TrainingError, match="differ"):
        export(network(), tmp_path / "m", settings, settings.train, {}, {}, 1)
