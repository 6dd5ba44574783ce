from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
import torch  # noqa: TID253

from boatseg_core.config.sections import Train
from boatseg_core.errors import TrainingError
from boatseg_core.training.encoder_weights import hub_weights, lite0_state
from boatseg_core.training.network import build_network, size_multiple
from boatseg_core.training.normalised import Normalised


@pytest.mark.parametrize("architecture", ["Unet", "FPN", "UnetPlusPlus", "DeepLabV3Plus"])
def test_architectures_give_logits_of_the_input_size(architecture):
    network = build_network(Train(architecture=architecture)).eval()
    with torch.inference_mode():
        logits = network(torch.zeros(1, 3, 64, 96))
    assert logits.shape == (1, 1, 64, 96)
    stem = network.get_submodule("encoder").state_dict()["model.conv_stem.weight"]
    assert torch.equal(stem, lite0_state()["conv_stem.weight"])


def test_what_a_network_wants_sizes_to_be_multiples_of_is_found_out():
    train = Train(encoder="tu-test_resnet", pretrained=False, crop=64, batch_size=2)
    unet, pan = (
        build_network(train.model_copy(update={"architecture": name})) for name in ("Unet", "PAN")
    )
    assert (size_multiple(unet), size_multiple(pan)) == (32, 128)
    with pytest.raises(RuntimeError, match="too small"):
        pan(torch.zeros(2, 3, 96, 96))
    padded = Normalised(pan, [0.5] * 3, [0.5] * 3, multiple=128)
    logits = padded(torch.rand(2, 3, 96, 160))
    assert logits.shape == (2, 1, 96, 160)
    torch.autograd.backward(logits.sum())  # what is trained on such crops learns


def test_padding_repeats_the_edge_and_is_cut_off_again():
    network = Normalised(torch.nn.Identity(), [0.0] * 3, [1.0] * 3, multiple=8)
    seen = []
    network.network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    image = torch.rand(1, 3, 5, 9)
    assert torch.equal(network(image), image)
    assert seen[0].shape == (1, 3, 8, 16)
    assert torch.equal(seen[0][:, :, 7, 15], image[:, :, 4, 8])


def test_a_new_network_expects_few_objects():
    torch.manual_seed(0)
    network = build_network(Train())
    with torch.no_grad():  # batch statistics, as in the first step
        probability = network(torch.rand(4, 3, 64, 64)).sigmoid()
    assert 0.001 < float(probability.median()) < 0.1


def test_pretrained_false_starts_from_chance():
    torch.manual_seed(0)
    stem = build_network(Train(pretrained=False)).get_submodule("encoder").state_dict()
    assert not torch.equal(stem["model.conv_stem.weight"], lite0_state()["conv_stem.weight"])


def test_decoder_channels_are_those_of_the_settings():
    wide, narrow = (
        sum(p.numel() for p in build_network(Train(decoder_channels=width)).parameters())
        for width in ((256, 128, 64, 32, 16), (32, 16, 16, 8, 8))
    )
    assert wide > narrow


def test_unknown_names_suggest_near_ones():
    with pytest.raises(TrainingError, match=r"'Unett'.*Unet"):
        build_network(Train(architecture="Unett"))
    with pytest.raises(TrainingError, match=r"'resnet19'.*resnet18"):
        build_network(Train(encoder="resnet19"))
    with pytest.raises(TrainingError, match=r"tu-tf_efficientnet_lite9.*tf_efficientnet_lite"):
        build_network(Train(encoder="tu-tf_efficientnet_lite9", pretrained=False))


@pytest.fixture
def no_hub(monkeypatch):
    """A hub at an address of this machine where nobody listens."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")


@pytest.mark.usefixtures("no_hub")
def test_a_hub_out_of_reach_is_not_asked_again_and_again(monkeypatch, tmp_path, caplog):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    for encoder in ("resnet18", "tu-resnet10t"):
        with pytest.raises(
            TrainingError, match=rf"{encoder} .*hub is out of reach \(http://127.*train\.pretrained"
        ):
            build_network(Train(encoder=encoder))
    assert "Retrying" not in caplog.text
    assert not constants.HF_HUB_OFFLINE  # only while it was asked


def test_a_hub_that_says_nothing_is_given_up_on(monkeypatch):
    from huggingface_hub import constants, utils

    from boatseg_core.training import hub

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    over = threading.Event()
    silent = SimpleNamespace(head=lambda address, timeout: over.wait(60))
    monkeypatch.setattr(utils, "get_session", lambda: silent)
    monkeypatch.setattr(hub, "_PATIENCE", 0.05)
    with hub.hub_within_reach() as why:
        assert "no answer" in why and constants.HF_HUB_OFFLINE
    over.set()
    silent.head = lambda address, timeout: None
    with hub.hub_within_reach() as why:
        assert why == "" and not constants.HF_HUB_OFFLINE
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with hub.hub_within_reach() as why:
        assert "HF_HUB_OFFLINE" in why
    assert constants.HF_HUB_OFFLINE  # the environment's word stands


@pytest.mark.usefixtures("no_hub")
def test_a_hub_out_of_reach_says_what_can_be_done(monkeypatch):
    import segmentation_models_pytorch as smp
    import timm

    create = timm.create_model

    def unreachable(*args, pretrained=False, **kwargs):
        if pretrained:
            raise OSError("We couldn't connect to the hub to load the files")
        return create(*args, **kwargs)

    monkeypatch.setattr(smp.encoders, "hf_hub_download", unreachable)
    monkeypatch.setattr(timm, "create_model", unreachable)
    for encoder in ("resnet18", "tu-test_resnet.r160_in1k"):
        with pytest.raises(TrainingError, match=rf"{encoder} .*hub.*train\.pretrained"):
            build_network(Train(encoder=encoder))


@pytest.mark.usefixtures("no_hub")
@pytest.mark.parametrize("pretrained", [True, False])
def test_an_encoder_that_does_not_fit_is_not_blamed_on_the_hub(pretrained):
    # Its stages cannot be dilated, which DeepLab asks of them.
    with pytest.raises(TrainingError, match=r"DeepLabV3Plus cannot be built on .*densenet121"):
        build_network(
            Train(architecture="DeepLabV3Plus", encoder="densenet121", pretrained=pretrained)
        )


def test_what_cannot_take_the_pictures_is_refused_before_the_training():
    with pytest.raises(TrainingError, match=r"swin.* pictures of any size \(.*224"):
        build_network(Train(encoder="tu-swin_tiny_patch4_window7_224", pretrained=False, crop=224))
    with pytest.raises(TrainingError, match=r"DeepLabV3Plus .*train\.batch_size to 2"):
        build_network(Train(architecture="DeepLabV3Plus", pretrained=False, batch_size=1))


def test_looking_whether_the_pictures_fit_leaves_no_trace():
    torch.manual_seed(0)
    network = build_network(Train(pretrained=False, crop=64))
    after = torch.rand(1)
    assert network.training
    assert all(not b.any() for name, b in network.named_buffers() if "running_mean" in name)
    torch.manual_seed(0)
    assert torch.equal(network_of_smp(Train(pretrained=False, crop=64)), after)


def network_of_smp(train: Train) -> torch.Tensor:
    """Draw a number after building the bare network, as after ours."""
    import segmentation_models_pytorch as smp

    smp.Unet(
        encoder_name=train.encoder, encoder_weights=None, decoder_channels=train.decoder_channels
    )
    return torch.rand(1)


def test_an_encoder_without_weights_of_the_usual_name_gets_those_it_has():
    assert hub_weights("resnet18") == "imagenet"
    assert hub_weights("dpn92") == "imagenet+5k"
    assert hub_weights("tu-resnet18.a1_in1k") is True


def test_normalisation_is_inside():
    inner = torch.nn.Identity()
    network = Normalised(inner, [0.5, 0.4, 0.3], [0.5, 0.2, 0.1])
    image = torch.rand(2, 3, 4, 4)
    expected = (image - torch.tensor([0.5, 0.4, 0.3]).view(1, 3, 1, 1)) / torch.tensor(
        [0.5, 0.2, 0.1]
    ).view(1, 3, 1, 1)
    torch.testing.assert_close(network(image), expected)
    assert not network.state_dict()
