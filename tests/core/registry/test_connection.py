from __future__ import annotations

import logging

import pytest
from sqlalchemy.exc import OperationalError

from boatseg_core.errors import RegistryError
from boatseg_core.registry.connection import quiet_store, reported


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("database is locked", r"the run cannot be kept: .*database is locked; .*try again when"),
        ("attempt to write a readonly database", "not to be written to by this user"),
        ("(raised as a result of an autoflush)\nno such table", "kept: no such table$"),
        ("something else", "something else$"),
        ("", "MlflowException"),
    ],
)
def test_what_a_store_says_comes_with_what_to_do(said: str, told: str) -> None:
    from mlflow.exceptions import MlflowException

    with pytest.raises(RegistryError, match=told), reported("the run cannot be kept"):
        raise MlflowException(said)


def test_a_statement_that_fails_is_told_in_its_first_line() -> None:
    with (
        pytest.raises(RegistryError, match=r"\(builtins\.OSError\) disk is full; make room there$"),
        reported("the run cannot be kept"),
    ):
        raise OperationalError("INSERT", {}, OSError("disk is full"))


def test_a_store_prints_no_traceback_beside_the_sentence() -> None:
    quiet_store()
    assert not logging.getLogger("mlflow.store.db.utils").isEnabledFor(logging.ERROR)
