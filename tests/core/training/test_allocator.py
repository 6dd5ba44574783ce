"""Memory that a training has freed stays where it is until the training ends."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from boatseg_core.training import allocator
from boatseg_core.training.allocator import memory_kept

glibc = pytest.mark.skipif(allocator._glibc() is None, reason="another C library")

# Faults of a page each, of touching 64 MB of new memory when as much has just been freed.
FAULTS = """
import ctypes, resource, sys
from boatseg_core.training.allocator import memory_kept
libc, size = ctypes.CDLL(None), 64 * 2**20
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]

def step():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    place = libc.malloc(size)
    ctypes.memset(place, 1, size)
    libc.free(place)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

with memory_kept(sys.argv[1]) as kept:
    step()
    inside, held = step(), resident()
print(kept, inside < 1000, held - resident() > size // 2)
"""


def faults(kind: str, **environment: str) -> list[str]:
    command = [sys.executable, "-c", FAULTS, kind]
    clean = {k: v for k, v in os.environ.items() if k not in allocator._SET_BY_USER}
    done = subprocess.run(
        command, env=clean | environment, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@glibc
def test_memory_is_kept_inside_and_given_back_afterwards() -> None:
    assert faults("cpu") == ["True", "True", "True"]


@glibc
def test_elsewhere_everything_stays_as_it_was() -> None:
    assert faults("cuda") == ["False", "False", "False"]
    assert faults("cpu", MALLOC_TRIM_THRESHOLD_="131072") == ["False", "False", "False"]


@glibc
def test_a_process_with_few_addresses_keeps_none_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    monkeypatch.setattr(resource, "getrlimit", lambda _: (2**33, resource.RLIM_INFINITY))
    with memory_kept("cpu") as kept:
        assert not kept


def test_another_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with memory_kept("cpu") as kept:
        assert not kept
