"""What every section is made of."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


def setting(default: Any, unit: str, sentence: str, **bounds: Any) -> Any:
    """Declare a field with its unit and the sentence that explains it."""
    return Field(default, description=sentence, json_schema_extra={"unit": unit}, **bounds)


class Section(BaseModel):
    """Base of the sections: immutable, and a misspelt name is an error rather than ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)
