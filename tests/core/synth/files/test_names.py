from __future__ import annotations

import shutil
from pathlib import Path

from boatseg_core import synth
from boatseg_core.synth import generator_digest, image_name
from boatseg_core.synth.files import names


def test_names_never_clash() -> None:
    drawn = {image_name(seed, slot) for seed in range(300) for slot in range(300)}
    assert len(drawn) == 300 * 300
    assert all(len(name) == len("0a1b2c3d4.jpg") for name in drawn)
    far = {
        image_name(10**9, 3),
        image_name(10**9 + 1, 3),
        image_name(10**9, 4),
        image_name(1, 2**30),
    }
    assert len(far) == 4


def test_the_digest_names_the_source_of_the_generator(monkeypatch, tmp_path: Path) -> None:
    before = generator_digest()
    assert before == generator_digest() and len(before) == 64
    copy = tmp_path / "synth"
    shutil.copytree(Path(synth.__file__).parent, copy)
    monkeypatch.setattr(names, "_GENERATOR", copy)
    assert generator_digest() == before
    seen = {before}
    for part in ("scene.py", "water/sea.py", "boats/decks/cargo.py"):
        with (copy / part).open("a") as file:
            file.write("# drawn otherwise\n")
        assert generator_digest() not in seen
        seen.add(generator_digest())
