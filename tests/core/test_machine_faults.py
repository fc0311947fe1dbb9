"""An image that the machine could not read is not one that is damaged."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from nevus.core.errors import DataError, ImageError, MissingImageError, UnavailableError
from nevus.core.machine_faults import check_available, is_of_machine
from nevus.core.preprocess import decode, load_pixels

# A regular file that cannot be read: there is nothing at address 0.
UNREADABLE = Path("/proc/self/mem")

UNDER_A_LIMIT = """
import json, resource, sys
from nevus.core.errors import ImageError
from nevus.core.preprocess import decode, load_pixels
from pathlib import Path
load_pixels(Path(sys.argv[1]), 8)  # Decoders are loaded.
now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + 60 * 2**20, -1))
for name in sys.argv[1:]:
    try:
        decode(Path(name))
        print(json.dumps(["decoded", ""]))
    except ImageError as problem:
        print(json.dumps([problem.code, str(problem)]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_a_good_image_for_which_memory_does_not_reach_is_not_damaged(tmp_path: Path) -> None:
    large = Image.linear_gradient("L").resize((5000, 4000)).convert("RGB")
    small = large.resize((200, 200))
    large.save(tmp_path / "large.png", compress_level=1)
    # 40 million coefficients of two bytes and more, next to 80 MB of pixels.
    large.resize((3000, 2500)).save(tmp_path / "progressive.jpg", progressive=True, subsampling=0)
    small.save(tmp_path / "small.jpg", progressive=True)
    buffer = io.BytesIO()
    small.save(buffer, "PNG")
    (tmp_path / "damaged.png").write_bytes(buffer.getvalue()[:200])
    names = ["small.jpg", "large.png", "progressive.jpg", "damaged.png", "small.jpg"]
    done = subprocess.run(
        [sys.executable, "-c", UNDER_A_LIMIT, *(str(tmp_path / name) for name in names)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert found[:3] == [["decoded", ""], ["unavailable", "memory ran out"], ["unavailable", "memory ran out"]]
    assert found[3][0] == "not_readable"
    assert found[4] == ["decoded", ""]


@pytest.mark.skipif(not UNREADABLE.exists(), reason="the system has no such file")
def test_a_file_that_the_machine_cannot_read_is_named_as_that(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="Input/output error") as raised:
        decode(UNREADABLE)
    assert raised.value.code == "unavailable"
    with pytest.raises(MissingImageError, match="no such file") as raised:
        decode(tmp_path / "none.png")
    assert raised.value.code == "not_readable"
    (tmp_path / "text.png").write_text("text")
    with pytest.raises(ImageError) as damaged:
        decode(tmp_path / "text.png")
    assert not isinstance(damaged.value, UnavailableError)


def test_an_image_is_not_left_unturned_because_memory_ran_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_out(_: Image.Image) -> Image.Exif:
        raise MemoryError

    Image.linear_gradient("L").save(tmp_path / "image.png")
    monkeypatch.setattr(Image.Image, "getexif", run_out)
    with pytest.raises(UnavailableError, match="memory ran out"):
        load_pixels(tmp_path / "image.png", 8)


def test_what_tells_the_machine_from_the_file() -> None:
    assert is_of_machine(OSError(5, "Input/output error"))
    assert is_of_machine(MemoryError())
    assert is_of_machine(OSError("out of memory error when reading image file"))
    assert not is_of_machine(OSError("image file is truncated"))
    assert not is_of_machine(OSError(22, "Invalid argument"))
    assert not is_of_machine(ValueError("out of range"))


def test_few_faults_are_counted_and_more_stop_the_command() -> None:
    error = UnavailableError("Stale file handle")
    failed = [(f"{number}.png", error) for number in range(41)]
    check_available(failed[:2], 10)
    check_available(failed[:40], 4_000)
    for count, num_images in ((3, 10), (41, 4_000)):
        with pytest.raises(DataError, match=rf"^{count} of {num_images:,} .*Stale file handle \(the first: 0.png\)"):
            check_available(failed[:count], num_images)
