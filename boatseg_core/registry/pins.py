"""Delta versions of gold that registered models were trained on."""

from __future__ import annotations

from boatseg_core.config import Settings
from boatseg_core.registry.lookup import SqliteStore


def gold_versions(settings: Settings) -> set[int]:
    """Versions of ``gold_dataset`` that any version of any registered model names.

    Args:
        settings: Name the registry.

    Returns:
        The versions; none where nothing was ever registered.

    Raises:
        RegistryError: The registry cannot be read: what may be deleted is not known then.
    """
    if settings.tracking_uri.startswith("sqlite:") and not _exists(settings):
        return set()  # mlflow would create an empty registry
    from boatseg_core.registry.connection import connect, reported

    client = connect(settings)
    found: set[int] = set()
    token: str | None = None
    with reported("the versions of the registered models cannot be listed"):
        while True:
            page = client.search_model_versions(max_results=1000, page_token=token)
            for version in page:
                tag = version.tags.get("gold_version", "")
                if tag.isdigit():
                    found.add(int(tag))
            token = page.token or None
            if token is None:
                return found


def _exists(settings: Settings) -> bool:
    return SqliteStore(settings.tracking_uri).path.is_file()
