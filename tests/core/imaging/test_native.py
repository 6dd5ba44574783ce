"""Which compiled module is used, if any."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import multiprocessing
import sys
import warnings
from pathlib import Path
from types import ModuleType

import pytest
from support.pictures import encoded, texture

import boatseg_core.imaging
from boatseg_core.imaging import native
from boatseg_core.imaging.measure import measure

NAME = "boatseg_core.imaging._pixels"


def loaded_beside(compiled: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Load ``native`` once more, as if this were the compiled module that is installed."""
    monkeypatch.setitem(sys.modules, NAME, compiled)
    return loaded()


def loaded() -> ModuleType:
    """Load ``native`` once more."""
    spec = importlib.util.spec_from_file_location("another_native", native.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_module_of_another_build_is_passed_over_aloud(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.warns(RuntimeWarning, match="another version: .* install the package again"):
        found = loaded_beside(ModuleType("_pixels"), monkeypatch)
    assert not found.NATIVE
    assert found.pixels is None


def test_a_module_of_this_build_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = ModuleType("_pixels")
    compiled.INTERFACE = native._INTERFACE  # type: ignore[attr-defined]
    found = loaded_beside(compiled, monkeypatch)
    assert found.NATIVE
    assert found.pixels is compiled


def imaging_without_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the compiled module be looked for in a folder where it is not."""
    monkeypatch.delitem(sys.modules, NAME, raising=False)
    monkeypatch.setattr(boatseg_core.imaging, "__path__", [str(folder)])
    importlib.invalidate_caches()
    return folder / f"_pixels{importlib.machinery.EXTENSION_SUFFIXES[0]}"


def test_without_a_compiler_it_is_said_what_that_costs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imaging_without_it(tmp_path, monkeypatch)
    with pytest.warns(
        RuntimeWarning, match="not compiled when it was installed: .* takes longer"
    ) as said:
        found = loaded()
    assert len(said) == 1
    assert not found.NATIVE


def test_one_that_cannot_be_loaded_is_passed_over_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = imaging_without_it(tmp_path, monkeypatch)
    file.write_bytes(b"not for this processor")
    with pytest.warns(RuntimeWarning, match=r"cannot be loaded \(.*_pixels.*\): the results"):
        found = loaded()
    assert not found.NATIVE


def test_workers_do_not_say_it_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imaging_without_it(tmp_path, monkeypatch)
    monkeypatch.setattr(multiprocessing, "parent_process", multiprocessing.current_process)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not loaded().NATIVE


def test_what_is_installed_without_it_measures_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(texture(1, 64, 96))
    expected = measure(data)
    imaging_without_it(tmp_path, monkeypatch)
    with pytest.warns(RuntimeWarning):
        monkeypatch.setattr(native, "pixels", loaded().pixels)
    assert native.pixels is None
    assert measure(data) == expected
