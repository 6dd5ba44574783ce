"""Download a Kaggle competition with the official client, resumable, into the landing area.

The archive stays an archive: the images in it are read where it lies. It grows under a name that
discovery leaves alone and gets its own in one step, so that half a download is never ingested.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boatseg_core.errors import InputError

if TYPE_CHECKING:
    from requests import Response

DEFAULT_COMPETITION = "airbus-ship-detection"
ENDPOINT = "KAGGLE_API_ENDPOINT"
"""Environment variable that names another address of the API, for mirrors and tests."""

_CHUNK = 2**16  # bytes; what is lost of a piece when the connection breaks
_TIMEOUT = (10.0, 60.0)  # s, to connect and between two pieces
_ATTEMPTS = 6
_FIRST_PAUSE = 1.0  # s, doubling
_SITE = "https://www.kaggle.com"


@dataclass(frozen=True)
class Download:
    """What is there after a download.

    Attributes:
        archive: The competition's archive.
        size: Its bytes.
        fetched: Bytes that came over the network this time; 0 when it was there already.
        labels: Label files taken out of it.
    """

    archive: Path
    size: int
    fetched: int
    labels: list[Path]


def download(
    competition: str,
    folder: Path,
    labels: Path,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
    note: Callable[[str], None] = lambda text: None,
) -> Download:
    """Download a competition's archive, going on where an earlier call stopped.

    Args:
        competition: Its name, as in the address of its page.
        folder: Folder for the archive.
        labels: Folder for the CSV files in it; samples of submissions are left out.
        progress: Called with the bytes that are there and all bytes.
        note: Called with what a person should know while waiting.

    Raises:
        InputError: The client is not installed, there are no credentials, they or the competition
            are refused, or the network or the disk fails for good; the message says what to do.
    """
    import requests

    archive = folder / f"{competition}.zip"
    folder.mkdir(parents=True, exist_ok=True)
    fetched, pause = 0, _FIRST_PAUSE
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with _asked(competition) as response:
                for taken, done, total in _fetch(response, archive):
                    fetched += taken
                    progress(done, total)
            break
        except requests.RequestException as error:
            if attempt == _ATTEMPTS:
                raise InputError(
                    f"the download of {competition} broke off {_ATTEMPTS} times "
                    f"({_plain(error)}): run the command again, it goes on where it stopped"
                ) from None
            note(f"the connection broke ({_plain(error)}); going on in {pause:g} s")
            time.sleep(pause)
            pause *= 2
    return Download(archive, archive.stat().st_size, fetched, _take_labels(archive, labels))


@contextmanager
def _asked(competition: str) -> Iterator[Response]:
    """Ask the API for the archive; the body is still to be read."""
    import requests

    with _client() as client:
        from kagglesdk.competitions.types.competition_api_service import (
            ApiDownloadDataFilesRequest,
        )

        request = ApiDownloadDataFilesRequest()
        request.competition_name = competition
        try:
            response = client.competitions.competition_api_client.download_data_files(request)
        except requests.HTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            if status in (408, 429) or status >= 500:
                raise
            raise InputError(_refusal(status, competition)) from None
        with response:
            yield response


@contextmanager
def _client() -> Iterator[Any]:
    try:
        from kagglehub.clients import build_kaggle_client
        from kagglehub.config import get_kaggle_credentials
    except ImportError as error:
        raise InputError(
            "boatseg data kaggle needs Kaggle's client: pip install 'boatseg[kaggle]'"
        ) from error
    try:
        credentials = get_kaggle_credentials()
    except ValueError:  # its message is not repeated: it might quote the file
        raise InputError(
            "~/.kaggle/kaggle.json is not what Kaggle writes: make a new token on "
            f"{_SITE}/settings (Create New Token) and put the file there"
        ) from None
    if credentials is None:
        raise InputError(
            f"no Kaggle credentials were found: sign in on {_SITE}/settings, press Create New "
            "Token, and put the file into ~/.kaggle/kaggle.json (chmod 600), or set "
            "KAGGLE_API_TOKEN, or KAGGLE_USERNAME and KAGGLE_KEY"
        )
    with build_kaggle_client() as client:
        if endpoint := os.environ.get(ENDPOINT):
            client.http_client()._endpoint = endpoint.rstrip("/")
        yield client


def _refusal(status: int, competition: str) -> str:
    page = f"{_SITE}/competitions/{competition}"
    if status == 401:
        return (
            f"Kaggle refused the credentials: make a new token on {_SITE}/settings and replace the "
            "old one in ~/.kaggle or the environment"
        )
    if status == 403:
        return (
            f"Kaggle does not hand out {competition} to this account: open {page}/rules in a "
            "browser, accept the rules (Kaggle may ask to verify a telephone number first), then "
            "run the command again"
        )
    if status == 404:
        return f"Kaggle has no competition called {competition}: its name is the end of {page}"
    return f"Kaggle answered {status} when asked for {competition}: see {page}"


def _fetch(response: Response, archive: Path) -> Iterator[tuple[int, int, int]]:
    """Write the body, or what is missing of it; yield bytes written, there, and in all."""
    import requests

    part, state = archive.with_name(f"{archive.name}.part"), _state_of(archive)
    total = int(response.headers.get("Content-Length", 0))
    etag = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
    identity = {"etag": etag, "size": total}
    if archive.exists() and etag and _read_state(state) == identity:
        yield 0, archive.stat().st_size, total
        return
    done = 0
    if part.exists() and etag and _read_state(state, "of_part") == identity:
        done = part.stat().st_size
    _check_room(archive, total - done)
    _write_state(state, identity)
    if done and (done < total or not total):
        # If-Range: should the file have changed, all of it comes, and not a piece of the new one.
        headers = {"Range": f"bytes={done}-", "If-Range": etag}
        url = response.url
        response.close()
        response = requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT)
        response.raise_for_status()
        start = f"bytes {done}-"
        if response.status_code != 206 or not response.headers.get("Content-Range", "").startswith(
            start
        ):
            done = 0
    with response, part.open("r+b" if done else "wb") as file:
        file.truncate(done)
        file.seek(done)
        yield 0, done, total
        if done < total or not total:
            for piece in response.iter_content(_CHUNK):
                try:
                    file.write(piece)
                    file.flush()
                except OSError as error:
                    raise _no_room(archive, error) from error
                done += len(piece)
                yield len(piece), done, total
        os.fsync(file.fileno())
    if total and done != total:
        raise requests.ConnectionError(f"{done:,} of {total:,} bytes came")
    if not zipfile.is_zipfile(part):
        part.unlink()
        raise InputError(f"what Kaggle sent for {archive.stem} is no zip archive: try again later")
    part.replace(archive)
    _write_state(state, identity, finished=True)


def _state_of(archive: Path) -> Path:
    return archive.with_name(f".{archive.name}.json")


def _read_state(state: Path, key: str = "of_archive") -> dict[str, Any] | None:
    try:
        found = json.loads(state.read_text())
    except (OSError, ValueError):  # never written, or cut off: nothing is known
        return None
    known = found.get(key) if isinstance(found, dict) else None
    return known if isinstance(known, dict) else None


def _write_state(state: Path, identity: dict[str, Any], *, finished: bool = False) -> None:
    """Note which version of the archive the part, or the archive itself, belongs to."""
    earlier = _read_state(state)
    known = {"of_archive": identity} if finished else {"of_part": identity}
    if earlier is not None and not finished:
        known["of_archive"] = earlier
    temporary = state.with_name(f"{state.name}.tmp")
    temporary.write_text(json.dumps(known))
    temporary.replace(state)


def _check_room(archive: Path, missing: int) -> None:
    free = shutil.disk_usage(archive.parent).free
    if missing > free:
        raise InputError(
            f"{archive.parent} has room for {free / 1e9:.1f} GB and {missing / 1e9:.1f} GB are to "
            "come: make room, or name another folder with --output"
        )


def _no_room(archive: Path, error: OSError) -> InputError:
    return InputError(
        f"{archive.parent} cannot take more of the download ({error.strerror}): make room and run "
        "the command again, it goes on where it stopped"
    )


def _take_labels(archive: Path, folder: Path) -> list[Path]:
    """Put the archive's CSV files where labels are looked for, each in one step."""
    taken = []
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            name = member.filename.rpartition("/")[2]
            # A sample of a submission has the columns of labels, and says nothing true.
            if not name.lower().endswith(".csv") or name.startswith(("sample_submission", ".")):
                continue
            folder.mkdir(parents=True, exist_ok=True)
            target = folder / name
            if not target.exists() or target.stat().st_size != member.file_size:
                temporary = target.with_name(f".{name}.tmp")
                with opened.open(member) as source, temporary.open("wb") as copy:
                    shutil.copyfileobj(source, copy, _CHUNK)
                temporary.replace(target)
            taken.append(target)
    return taken


def _plain(error: Exception) -> str:
    # Addresses of archives are signed: whoever has one can download in the user's name.
    return type(error).__name__
