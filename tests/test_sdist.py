"""The source distribution has every file of the repository, so that its tests run from it."""

import subprocess
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_sdist_has_every_tracked_file(tmp_path: Path) -> None:
    sdist = pytest.importorskip("hatchling.builders.sdist")
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout: what belongs in the sdist is not known")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (archive,) = sdist.SdistBuilder(str(ROOT)).build(directory=str(tmp_path))
    with tarfile.open(archive) as opened:
        packed = {name.partition("/")[2] for name in opened.getnames()}
    tracked = {name for name in listed.split("\0") if name and (ROOT / name).exists()}
    assert tracked - packed == set()
