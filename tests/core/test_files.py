import math
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nevus.core.errors import DataError, RunError
from nevus.core.files import read_json, replacing, sha256_of, write_json, write_text


def test_failure_while_writing_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_has_null_where_a_number_is_not_finite(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.json"
    write_json(path, {"a": [1.5, math.nan, (math.inf,)], "b": {"c": -math.inf}})
    assert read_json(path, "") == {"a": [1.5, None, [None]], "b": {"c": None}}


def test_missing_and_damaged_json_say_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    with pytest.raises(RunError, match=r"does not exist. Run 'nevus train' first."):
        read_json(path, "Run 'nevus train' first.")
    path.write_bytes(b'{"a": \xff')
    with pytest.raises(DataError, match="not valid JSON"):
        read_json(path, "", DataError)


def test_sha256_of_known_bytes(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert sha256_of(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_pipe_gets_the_text_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_text)
        write_text(pipe, "risk\n0.5\n")
        assert read.result(timeout=10) == "risk\n0.5\n"
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_pipe_gets_nothing_of_a_text_that_failed_and_its_reader_goes_on(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_text)
        with pytest.raises(ValueError, match="in the middle"), replacing(pipe) as temporary:  # noqa: PT012
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
    write_text(device, "lost")
    link = tmp_path / "link"
    link.symlink_to(device)
    write_text(link, "lost too")
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
        write_text(first, "one")
        write_text(third, "two")
        assert reader.read() == "old"
    assert (target.read_text(), new.read_text()) == ("one", "two")
    assert target.stat().st_ino != inode
    assert all(link.is_symlink() for link in (first, second, third))
    assert sorted((tmp_path / "far").iterdir()) == [new, target]


def test_a_link_to_itself_is_an_error_that_names_it(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    with pytest.raises(OSError, match="loop"):
        write_text(loop, "text")
    assert loop.is_symlink()


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="the system has no /dev/fd")
def test_an_open_descriptor_is_written_to_where_it_stands(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    link = tmp_path / "link"
    with log.open("wb") as file:
        file.write(b"before\n")
        file.flush()
        link.symlink_to(f"/dev/fd/{file.fileno()}")
        write_text(Path(f"/dev/fd/{file.fileno()}"), "one\n")
        write_text(link, "two\n")
        file.write(b"after\n")
        closed = f"/dev/fd/{file.fileno()}"
    assert log.read_text() == "before\none\ntwo\nafter\n"
    with pytest.raises(OSError, match=closed):
        write_text(Path(closed), "nobody reads it")


def test_standard_output_by_its_path_keeps_what_is_there(tmp_path: Path) -> None:
    if not Path("/dev/stdout").exists():
        pytest.skip("the system has no /dev/stdout")
    code = (
        "from pathlib import Path; from nevus.core.files import write_text; write_text(Path('/dev/stdout'), 'new\\n')"
    )
    log = tmp_path / "log.txt"
    log.write_text("old\n")
    with log.open("a") as file:
        subprocess.run([sys.executable, "-c", code], stdout=file, check=True)
    assert log.read_text() == "old\nnew\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "new\n"
