"""Images in tar archives: the same dataset as from files, each archive unpacked once, and no harm from hostile ones."""

from __future__ import annotations

import gzip
import io
import tarfile
import time
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from test_archives import listed, members, random_png

from nevus.core.errors import DataError, ImageError
from nevus.data.archives import ImageReader, TarArchive, tars
from nevus.data.prepare import prepare
from nevus.data.sources import TableColumns, find_images

NAMES = ("images.tar", "images.tar.gz", "images.TGZ")


def write_tar(path: Path, files: dict[str, bytes], mode: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, f"w:{mode or ('gz' if path.name.lower().endswith('gz') else '')}") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize("name", NAMES)
def test_a_tar_archive_prepares_as_its_files_do(tmp_path: Path, name: str) -> None:
    # As they lie on a disk: in no order of names.
    files = dict(reversed(members(8).items()))
    for path, data in files.items():
        (tmp_path / "folder" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / path).write_bytes(data)
    archive = write_tar(
        tmp_path / "elsewhere" / name, {"./": b"", **{f"./{path}": data for path, data in files.items()}}
    )
    from_files = prepare(tmp_path / "folder", tmp_path / "one", image_size=16, workers=1)
    from_tar = prepare(archive, tmp_path / "two", image_size=16, workers=1)
    expected = {row.path: row.sha256 for row in from_files.rows}
    assert {row.path.removeprefix(f"{name}/"): row.sha256 for row in from_tar.rows} == expected
    assert [file.name for file in archive.parent.iterdir()] == [name], "nothing is unpacked"


def test_a_compressed_archive_is_unpacked_once_whatever_the_layout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"img/{number}.png": random_png(number) for number in (5, 3, 1, 4, 2, 0)}
    write_tar(tmp_path / "images.tar.gz", files)
    rows = [f"{number},{('nevus', 'melanoma')[number % 2]}" for number in range(6)]
    (tmp_path / "mine.csv").write_text("\n".join(["file,dx", *rows]))
    listing = find_images(tmp_path / "mine.csv", TableColumns(image="file", diagnosis="dx"))
    assert [image.path.stem for image in listing.images] == ["5", "3", "1", "4", "2", "0"]
    opened = []
    monkeypatch.setattr(tars.gzip, "open", lambda path, mode: opened.append(path) or gzip.GzipFile(path, mode))
    with ImageReader(tmp_path) as reader:
        assert [reader.locate(image.path) for image in listing.images] == list(files.values())
        # To be listed, and to be read.
        assert len(opened) == 2
        assert reader.locate(Path("images.tar.gz/img/5.png")) == files["img/5.png"]


def test_tar_archives_stand_for_folders_of_splits_and_classes(tmp_path: Path) -> None:
    write_tar(tmp_path / "train.tar.gz", {"train/nv/1.jpg": b""})
    write_tar(tmp_path / "test.tar", {"mel/2.jpg": b"", "mel/._2.jpg": b""})
    write_tar(tmp_path / "unpacked.tar", {"nv/3.jpg": b""})
    (tmp_path / "unpacked").mkdir()
    (tmp_path / "unpacked" / "notes.txt").touch()
    assert sorted((diagnosis, split) for _, diagnosis, split in listed(tmp_path)) == [("mel", "test"), ("nv", "train")]


def test_links_are_read_within_the_archive_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    (tmp_path / "secret.png").write_bytes(b"secret")
    with tarfile.open(path, "w") as archive:
        first = tarfile.TarInfo("nv/1.png")
        first.size = 3
        archive.addfile(first, io.BytesIO(b"one"))
        for name, kind, target in (
            ("nv/hard.png", tarfile.LNKTYPE, "nv/1.png"),
            ("nv/soft.png", tarfile.SYMTYPE, str(tmp_path / "secret.png")),
            ("nv/pipe.png", tarfile.FIFOTYPE, ""),
            ("nv/dangling.png", tarfile.LNKTYPE, "../secret.png"),
        ):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, target
            archive.addfile(link)
    with ImageReader(tmp_path) as reader:
        assert reader.locate(Path("a.tar/nv/hard.png")) == b"one"
        for name in ("soft", "pipe", "dangling"):
            with pytest.raises(ImageError, match="not a regular file in its archive"):
                reader.locate(Path(f"a.tar/nv/{name}.png"))
        with pytest.raises(ImageError, match="no such file"):
            reader.locate(Path("a.tar/nv/none.png"))


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_a_damaged_archive_is_an_error(tmp_path: Path, suffix: str) -> None:
    path = write_tar(tmp_path / f"a{suffix}", members(6))
    whole = path.read_bytes()
    # Of a plain archive, one cut in the middle of a member and one cut between two.
    for content in (b"no archive at all" * 100, whole[: len(whole) // 2], whole[:1000], whole[: 2 * 512]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.tar(\.gz)? is not a readable tar archive"):
            TarArchive(path)


@pytest.mark.parametrize("name", ["../a.jpg", "/etc/a.jpg", "nv\\..\\..\\a.jpg", "C:\\a.jpg"])
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="has no proper place within the archive"):
        find_images(write_tar(tmp_path / "a.tar", {"nv/1.jpg": b"", name: b""}))


def test_archives_within_archives_are_named(tmp_path: Path) -> None:
    inner = write_tar(tmp_path / "inner.tar", {"nv/1.jpg": b""}).read_bytes()
    with pytest.raises(DataError, match=r"inner\.tar is an archive within a tar archive.*Unpack outer\.tar"):
        find_images(write_tar(tmp_path / "outer.tar", {"nv/2.jpg": b"", "inner.tar": inner}))
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.writestr("inner.tar", inner)
    with pytest.raises(DataError, match=r"inner\.tar is a tar archive within a zip archive.*Unpack outer\.zip"):
        find_images(tmp_path / "outer.zip")


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    return member.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        # A gigabyte of zeros, which gzip makes a megabyte.
        (header("nv/1.jpg", 2**30) + bytes(2**30 // 4), "would unpack to more than"),
        # A name of half a gigabyte, read as a whole before the member is seen.
        (header("././@LongLink", 2**29, tarfile.GNUTYPE_LONGNAME) + bytes(2**20), "a header of 536870912 bytes"),
        # Members that lead back to themselves, without end.
        (header("nv/1.jpg", -512), "do not follow one another"),
        (header("././@PaxHeader", -1024, tarfile.XHDTYPE), "a header of -"),
    ],
)
def test_hostile_archives_are_refused_with_little_memory_and_time(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(content, 1))
    tracemalloc.start()
    began = time.process_time()
    with pytest.raises(DataError, match=message):
        TarArchive(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 * 2**20
    assert time.process_time() - began < 30


# Zip archives that Windows wrote


def test_a_zip_with_backslashes_is_read_as_one_with_slashes(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("set\\train\\nv\\1.jpg", "set\\train\\mel\\2.jpg", "set\\test\\", ".\\set\\test\\nv\\3.jpg"):
            archive.writestr(zipfile.ZipInfo(name), name.encode() if name.endswith("jpg") else b"")
    assert listed(tmp_path / "a.zip") == [
        ("a.zip/set/test/nv/3.jpg", "nv", "test"),
        ("a.zip/set/train/mel/2.jpg", "mel", "train"),
        ("a.zip/set/train/nv/1.jpg", "nv", "train"),
    ]
    with ImageReader(tmp_path) as reader:
        assert reader.locate(Path("a.zip/set/train/nv/1.jpg")) == b"set\\train\\nv\\1.jpg"


@pytest.mark.parametrize("name", ["..\\a.jpg", "nv\\..\\..\\a.jpg", "\\a.jpg", "C:\\a.jpg", "\\\\server\\share\\a.jpg"])
def test_backslashes_that_lead_out_of_a_zip_are_refused(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("nv/1.jpg", b"")
        archive.writestr(zipfile.ZipInfo(name), b"")
    with pytest.raises(DataError, match="has no proper place within the archive"):
        find_images(tmp_path / "a.zip")
