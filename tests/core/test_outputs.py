"""A file that a user names is written to in whatever way it can be."""

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nevus.core.outputs import is_replaced, writing_to


def put(path: Path, text: str) -> None:
    with writing_to(path) as temporary:
        temporary.write_text(text)


def test_a_pipe_gets_the_text_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_text)
        put(pipe, "risk\n0.5\n")
        assert read.result(timeout=10) == "risk\n0.5\n"
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_pipe_gets_nothing_of_a_text_that_failed_and_its_reader_goes_on(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_text)
        with pytest.raises(ValueError, match="in the middle"), writing_to(pipe) as temporary:  # noqa: PT012
            temporary.write_text("half")
            raise ValueError("in the middle")
        assert read.result(timeout=10) == ""


def test_a_device_is_written_to_and_never_replaced(tmp_path: Path) -> None:
    device = tmp_path / "null"
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        device.write_bytes(b"")
    except OSError:
        pytest.skip("making and opening a device needs rights that this process lacks")
    before = device.lstat()
    put(device, "lost")
    link = tmp_path / "link"
    link.symlink_to(device)
    put(link, "lost too")
    after = device.lstat()
    assert stat.S_ISCHR(after.st_mode)
    assert (after.st_ino, after.st_rdev) == (before.st_ino, before.st_rdev)
    assert link.is_symlink()
    assert sorted(tmp_path.iterdir()) == [link, device]


def test_links_are_followed_to_a_file_that_is_replaced_or_made(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    target, new = tmp_path / "far" / "target.txt", tmp_path / "far" / "new.txt"
    target.write_text("old")
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    second.symlink_to("far/target.txt")
    first.symlink_to(second)
    third.symlink_to("far/new.txt")
    inode = target.stat().st_ino
    with target.open() as reader:
        put(first, "one")
        put(third, "two")
        assert reader.read() == "old"
    assert (target.read_text(), new.read_text()) == ("one", "two")
    assert target.stat().st_ino != inode
    assert all(link.is_symlink() for link in (first, second, third))
    assert sorted((tmp_path / "far").iterdir()) == [new, target]


def test_a_link_to_itself_is_an_error_that_names_it(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    with pytest.raises(OSError, match="loop"):
        put(loop, "text")
    assert loop.is_symlink()


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="the system has no /dev/fd")
def test_an_open_descriptor_is_written_to_where_it_stands(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    link = tmp_path / "link"
    with log.open("wb") as file:
        file.write(b"before\n")
        file.flush()
        link.symlink_to(f"/dev/fd/{file.fileno()}")
        put(Path(f"/dev/fd/{file.fileno()}"), "one\n")
        put(link, "two\n")
        file.write(b"after\n")
        closed = f"/dev/fd/{file.fileno()}"
    assert log.read_text() == "before\none\ntwo\nafter\n"
    with pytest.raises(OSError, match=closed):
        put(Path(closed), "nobody reads it")


def test_standard_output_by_its_path_keeps_what_is_there(tmp_path: Path) -> None:
    if not Path("/dev/stdout").exists():
        pytest.skip("the system has no /dev/stdout")
    code = """
from pathlib import Path
from nevus.core.outputs import writing_to
with writing_to(Path("/dev/stdout")) as temporary:
    temporary.write_text("new\\n")
"""
    log = tmp_path / "log.txt"
    log.write_text("old\n")
    with log.open("a") as file:
        subprocess.run([sys.executable, "-c", code], stdout=file, check=True)
    assert log.read_text() == "old\nnew\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "new\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_the_error_of_a_device_that_takes_no_more_names_it() -> None:
    with pytest.raises(OSError, match=r"No space left on device: '/dev/full'"):
        put(Path("/dev/full"), "text")


def test_is_replaced(tmp_path: Path) -> None:
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    assert [is_replaced(path) for path in (tmp_path / "absent", tmp_path, pipe, link)] == [True, True, False, False]
