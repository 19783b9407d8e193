"""What is installed is the tree: every module, all data, and no foreign name.

The wheel is built from a copy of the tree, so that the checkout gets no `build/`.
"""

from __future__ import annotations

import configparser
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from email import message_from_string
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

import scaling

ROOT = Path(__file__).parents[2]
FOLDERS = {
    "scaling": "scaling",
    "models": "scaling.models",
    "runs": "scaling.runs",
    "analysis": "scaling.analysis",
}
"""Top-level folder to import package."""


def setup_cfg() -> configparser.ConfigParser:
    """Read setup.cfg."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return config


def packages_of_the_tree() -> dict[str, str]:
    """Find the folders with an `__init__.py`, by package; links are not followed."""
    found = {}
    for top in ROOT.iterdir():
        if top.name.startswith(".") or top.name in {"build", "dist"}:
            continue
        for folder, _, files in os.walk(top):
            if "__init__.py" in files:
                path = Path(folder).relative_to(ROOT)
                name = ".".join((FOLDERS.get(top.name, top.name), *path.parts[1:]))
                found[name] = path.as_posix()
    return found


def files_of_the_tree() -> set[str]:
    """List the files of the four folders by the name that a wheel must give them."""
    found = set()
    for top, package in FOLDERS.items():
        for folder, _, files in os.walk(ROOT / top):
            inside = Path(folder).relative_to(ROOT / top)
            if "__pycache__" not in inside.parts:
                target = Path(package.replace(".", "/")) / inside
                found |= {(target / name).as_posix() for name in files}
    return found


class TestTree:
    def test_package_list_is_the_folders_with_an_init(self) -> None:
        listed = setup_cfg()["options"]["packages"].split()
        assert sorted(listed) == sorted(packages_of_the_tree())

    def test_package_dir_maps_each_to_its_folder(self) -> None:
        lines = setup_cfg()["options"]["package_dir"].strip().splitlines()
        pairs = dict(re.split(r"\s*=\s*", line) for line in lines)
        assert pairs == packages_of_the_tree()

    @pytest.mark.parametrize("name", ["models", "runs", "analysis"])
    def test_link_is_relative_and_leads_to_the_folder(self, name: str) -> None:
        link = ROOT / "scaling" / name
        assert link.is_symlink()
        assert os.readlink(link) == f"../{name}"
        assert link.resolve() == (ROOT / name).resolve()

    def test_type_marker_is_there(self) -> None:
        assert (ROOT / "scaling" / "py.typed").is_file()

    def test_version_is_written_in_one_place(self) -> None:
        config = setup_cfg()
        assert config["metadata"]["version"] == "attr: scaling.__version__"
        sources = [ROOT / "setup.cfg", ROOT / "pyproject.toml"]
        for top in FOLDERS:
            sources += (ROOT / top).glob("*.py")
        assigned = [
            path.relative_to(ROOT).as_posix()
            for path in sources
            if re.search(
                # `==` pins the version of another package
                rf"""(?<!==)(?<=["'= ]){re.escape(scaling.__version__)}["'\s]""",
                path.read_text(),
            )
        ]
        assert assigned == ["scaling/__init__.py"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of the tree."""
    pytest.importorskip("pip", reason="pip is not installed; the wheel is not built")
    try:
        setuptools = int(version("setuptools").partition(".")[0])
    except PackageNotFoundError:
        pytest.skip("setuptools is not installed; the wheel is not built")
    if setuptools < 77:
        pytest.skip(f"setuptools {setuptools} is older than 77; the wheel is not built")
    tree = tmp_path_factory.mktemp("tree")
    for name in ("setup.cfg", "pyproject.toml", "LICENSE", "README.md"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, tree)
    for top in FOLDERS:
        shutil.copytree(
            ROOT / top,
            tree / top,
            symlinks=True,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    out = tmp_path_factory.mktemp("wheel")
    command = [
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps"),
        *("--no-build-isolation", "--disable-pip-version-check", "-w", str(out)),
        str(tree),
    ]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack the wheel, as installing does."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


class TestWheel:
    def test_holds_exactly_the_tree_s_modules_and_data(self, wheel: Path) -> None:
        names = [
            name
            for name in zipfile.ZipFile(wheel).namelist()
            if ".dist-info/" not in name
        ]
        assert sorted(names) == sorted(files_of_the_tree())

    def test_has_one_top_level_name(self, wheel: Path) -> None:
        tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
        assert tops == {"scaling", f"scaling-{scaling.__version__}.dist-info"}

    def test_metadata_has_the_version_the_licence_and_the_command(
        self, installed: Path
    ) -> None:
        folder = installed / f"scaling-{scaling.__version__}.dist-info"
        metadata = message_from_string((folder / "METADATA").read_text())
        assert metadata["Version"] == scaling.__version__
        assert metadata["Requires-Python"] == ">=3.11"
        assert metadata["License-File"] == "LICENSE"
        entry_points = configparser.ConfigParser()
        entry_points.read(folder / "entry_points.txt")
        assert dict(entry_points["console_scripts"]) == {"scaling": "scaling.cli:main"}

    def test_runs_from_where_it_is_installed(
        self, installed: Path, tmp_path: Path
    ) -> None:
        code = (
            "import scaling.cli, scaling.models.flops, scaling.runs, scaling.analysis\n"
            "print(scaling.models.flops.__file__)"
        )
        found = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(installed)},
            check=True,
            capture_output=True,
            text=True,
        )
        expected = installed / "scaling" / "models" / "flops.py"
        assert found.stdout.strip() == str(expected)


FOREIGN = """
import importlib, json, sys
import scaling.models, scaling.runs, scaling.analysis
def origin(name):
    try:
        return importlib.import_module(name).__file__
    except ModuleNotFoundError as error:
        return str(error)
print(json.dumps({name: origin(name) for name in sys.argv[1:]}))
"""


@pytest.mark.parametrize("name", ["models", "runs", "analysis"])
class TestForeignNames:
    def imported(self, name: str, cwd: Path) -> str:
        """Import a bare name in a process that has imported ours."""
        if importlib.util.find_spec("scaling") is None:
            pytest.fail("scaling is not installed")
        env = {key: v for key, v in os.environ.items() if key != "PYTHONPATH"}
        found = subprocess.run(
            [sys.executable, "-c", FOREIGN, name],
            cwd=cwd,
            env=env,
            check=True,
            capture_output=True,
            text=True,
        )
        return str(json.loads(found.stdout)[name])

    def test_a_user_s_module_is_the_user_s(self, name: str, tmp_path: Path) -> None:
        (tmp_path / f"{name}.py").write_text("")
        assert self.imported(name, tmp_path) == str(tmp_path / f"{name}.py")

    def test_without_one_there_is_none(self, name: str, tmp_path: Path) -> None:
        assert self.imported(name, tmp_path) == f"No module named '{name}'"
