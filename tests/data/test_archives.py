"""Images in zip, HDF5 and NumPy archives: the same dataset as from files, and no harm from hostile archives."""

from __future__ import annotations

import io
import shutil
import struct
import sys
import tracemalloc
import zipfile
import zlib
from collections import deque
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_importers import ISIC2024_COLUMNS, isic2024_rows, table, write_dermamnist

from bad_inputs import PICTURE, bad_files, encode, odd_but_good_files
from nevus.core.errors import DataError, ImageError
from nevus.core.preprocess import resize
from nevus.data import decoding
from nevus.data.archives import ImageReader, ZipArchive, arrays, zips
from nevus.data.archives.arrays import ArrayArchive
from nevus.data.archives.hdf5 import Hdf5Archive
from nevus.data.audit.shortcuts import find_shortcuts
from nevus.data.prepare import prepare
from nevus.data.sources import TableColumns, find_images


def random_png(seed: int, size: int = 20) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return encode(Image.fromarray(pixels), "PNG")


def write_zip(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def members(num_images: int = 12, prefix: str = "") -> dict[str, bytes]:
    return {
        f"{prefix}{('benign', 'malignant')[number % 2]}/image_{number:04}.png": random_png(number)
        for number in range(num_images)
    }


def listed(source: Path) -> list[tuple[str, str, str]]:
    return [(image.path.as_posix(), image.diagnosis, image.split) for image in find_images(source).images]


# Zip archives are folders


def test_a_zip_archive_prepares_as_its_files_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = odd_but_good_files(), bad_files()
    # They take seconds, and what becomes of them does not depend on where they lie.
    for slow in ("huge_text.png", "bomb.png"):
        del bad[slow]
    files = members(4) | {f"benign/{name}": data for name, data in good.items()}
    files |= {f"benign/{name}": data for name, (data, _) in bad.items()}
    for name, data in files.items():
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).write_bytes(data)
    from_files = prepare(tmp_path / "images", tmp_path / "one", image_size=16, workers=1)
    archive = write_zip(tmp_path / "elsewhere" / "images.zip", files)
    monkeypatch.setattr(decoding, "MIN_IMAGES_FOR_WORKERS", 1)
    from_zip = prepare(archive, tmp_path / "two", image_size=16, workers=2)
    np.testing.assert_array_equal(from_zip.pixels, from_files.pixels)
    assert [row.sha256 for row in from_zip.rows] == [row.sha256 for row in from_files.rows]
    assert [row.path for row in from_zip.rows] == [f"images.zip/{row.path}" for row in from_files.rows]
    reasons = from_zip.rejected_csv.read_text(encoding="utf-8").replace('"images.zip/', '"')
    assert reasons == from_files.rejected_csv.read_text(encoding="utf-8")
    assert not list(archive.parent.glob("*/")), "nothing is unpacked"


@pytest.mark.parametrize(
    ("archives", "expected"),
    [
        ({"a.zip": ["nv/1.jpg", "mel/2.jpg"]}, [("mel", ""), ("nv", "")]),
        ({"a.zip": ["set/train/nv/1.jpg", "set/test/mel/2.jpg"]}, [("mel", "test"), ("nv", "train")]),
        ({"nv.zip": ["1.jpg"], "mel.zip": ["2.jpg"]}, [("mel", ""), ("nv", "")]),
        ({"nv.zip": ["nv/1.jpg"], "mel.zip": ["mel/2.jpg"]}, [("mel", ""), ("nv", "")]),
        ({"train.zip": ["nv/1.jpg"], "test.zip": ["mel/2.jpg"]}, [("mel", "test"), ("nv", "train")]),
        ({"train.zip": ["train/nv/1.jpg"], "test.zip": ["test/mel/2.jpg"]}, [("mel", "test"), ("nv", "train")]),
        ({"train/nv.zip": ["1.jpg"], "train/mel.zip": ["2.jpg"]}, [("mel", "train"), ("nv", "train")]),
        ({"a.zip": ["nv/1.jpg", "mel/2.jpg", "__MACOSX/nv/._1.jpg", "nv/.x.jpg"]}, [("mel", ""), ("nv", "")]),
        ({"a.zip": ["./nv/1.jpg", "./mel/2.jpg"]}, [("mel", ""), ("nv", "")]),
    ],
)
def test_folders_and_archives_may_stand_for_one_another(
    tmp_path: Path, archives: dict[str, list[str]], expected: list[tuple[str, str]]
) -> None:
    for name, names in archives.items():
        write_zip(tmp_path / "root" / name, dict.fromkeys(names, b""))
    assert sorted((diagnosis, split) for _, diagnosis, split in listed(tmp_path / "root")) == expected
    for path, _, _ in listed(tmp_path / "root"):
        with ImageReader(tmp_path / "root") as reader:
            assert reader.locate(Path(path)) == b""


def test_ham10000_as_dataverse_has_it_in_archives(tmp_path: Path) -> None:
    write_zip(tmp_path / "HAM10000_images_part_1.zip", {"ISIC_0024306.jpg": b"", "ISIC_0024307.jpg": b""})
    write_zip(tmp_path / "HAM10000_images_part_2.zip", {"ISIC_0029306.jpg": b""})
    (tmp_path / "HAM10000_metadata.csv").write_text(
        "lesion_id,image_id,dx\nHAM_1,ISIC_0024306,nv\nHAM_2,ISIC_0024307,mel\nHAM_3,ISIC_0029306,bcc\n"
    )
    assert [path for path, _, _ in listed(tmp_path)] == [
        "HAM10000_images_part_1.zip/ISIC_0024306.jpg",
        "HAM10000_images_part_1.zip/ISIC_0024307.jpg",
        "HAM10000_images_part_2.zip/ISIC_0029306.jpg",
    ]


def test_a_table_in_an_archive_is_read_there(tmp_path: Path) -> None:
    truth = b"image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\nISIC_0024306,0.0,1.0,0.0,0.0,0.0,0.0,0.0\n"
    name = "ISIC2018_Task3_Training_GroundTruth"
    write_zip(tmp_path / f"{name}.zip", {f"{name}/{name}.csv": truth, f"{name}/LICENSE.txt": b""})
    images = {"ISIC2018_Task3_Training_Input/ISIC_0024306.jpg": b""}
    write_zip(tmp_path / "ISIC2018_Task3_Training_Input.zip", images)
    assert [(diagnosis, split) for _, diagnosis, split in listed(tmp_path)] == [("NV", "train")]


def test_an_archive_beside_its_unpacked_folder_is_passed_over(tmp_path: Path) -> None:
    write_zip(tmp_path / "root" / "nv.zip", {"1.jpg": b""})
    shutil.unpack_archive(tmp_path / "root" / "nv.zip", tmp_path / "root" / "nv")
    write_zip(tmp_path / "root" / "mel.zip", {"2.jpg": b""})
    assert [path for path, _, _ in listed(tmp_path / "root")] == ["mel.zip/2.jpg", "nv/1.jpg"]


def test_an_archive_that_is_named_is_read_whatever_lies_beside_it(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "set.zip", members(6))
    shutil.unpack_archive(archive, tmp_path / "set")
    assert len(listed(archive)) == 6
    shutil.rmtree(tmp_path / "set")
    for _ in range(2):
        assert len(prepare(archive, tmp_path / "set", image_size=8, overwrite=True).rows) == 6


@pytest.mark.parametrize("made", ["dataset.json", "rejected.csv", "run.json", "dataset/dataset.json", "empty/"])
def test_a_folder_that_nevus_made_is_no_unpacked_archive(tmp_path: Path, made: str) -> None:
    write_zip(tmp_path / "root" / "nv.zip", {"1.jpg": b""})
    write_zip(tmp_path / "root" / "mel.zip", {"2.jpg": b""})
    folder = tmp_path / "root" / "nv" / Path(made).parent
    folder.mkdir(parents=True)
    if not made.endswith("/"):
        (tmp_path / "root" / "nv" / made).write_text("{}")
    assert [path for path, _, _ in listed(tmp_path / "root")] == ["mel.zip/2.jpg", "nv.zip/1.jpg"]


def test_an_archive_stored_in_another_is_read_and_a_compressed_one_refused(tmp_path: Path) -> None:
    inner = write_zip(tmp_path / "inner.zip", members(6)).read_bytes()
    plain = {"PAD/metadata.txt": b"padding before", "PAD/images/part_1.zip": inner}
    outer = write_zip(tmp_path / "outer.zip", plain, zipfile.ZIP_STORED)
    paths = [path for path, _, _ in listed(outer)]
    assert paths[0] == "outer.zip/PAD/images/part_1.zip/benign/image_0000.png"
    with ImageReader(tmp_path) as reader:
        assert [reader.locate(Path(path)) for path in reversed(paths)] == [
            members(6)[path.split(".zip/")[2]] for path in reversed(paths)
        ]
    with pytest.raises(DataError, match=r"part_1\.zip is an archive that another holds compressed"):
        find_images(write_zip(tmp_path / "packed.zip", plain))


# Hostile and damaged zip archives


@pytest.mark.parametrize("name", ["../../etc/a.jpg", "/etc/a.jpg", "C:/a.jpg", "nv\\..\\a.jpg", "nv/../../a.jpg"])
def test_a_member_that_leads_out_of_the_archive_is_refused(tmp_path: Path, name: str) -> None:
    archive = write_zip(tmp_path / "images.zip", members(2) | {name: b"x"})
    with pytest.raises(DataError, match="has no proper place within the archive"):
        find_images(archive)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images.zip"]


def test_a_bomb_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zips, "MAX_FILE_BYTES", 2**20)
    archive = write_zip(tmp_path / "images.zip", {"nv/a.png": bytes(3 * 2**20), "mel/b.png": b""})
    with pytest.raises(DataError, match="would unpack to 3 MiB"):
        find_images(archive)


def repeated(archive: Path, copies: int) -> bytes:
    """An archive of one member, 00000, whose directory names it again as 00001 and so on."""
    raw = bytearray(archive.read_bytes())
    end = raw.rfind(b"PK\5\6")
    start = struct.unpack_from("<I", raw, end + 16)[0]
    entry = raw[start:end]
    directory = b"".join(entry.replace(b"00000", f"{number:05}".encode()) for number in range(copies))
    struct.pack_into("<HHII", raw, end + 8, copies, copies, len(directory), start)
    return bytes(raw[:start] + directory + raw[end:])


def test_a_bomb_of_overlapping_members_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many entries of the directory name the same bytes (Fifield 2019, 'A better zip bomb')."""
    monkeypatch.setattr(zips, "MAX_FILE_BYTES", 2**20)
    data = np.random.default_rng(0).bytes(2**16)
    archive = write_zip(tmp_path / "images.zip", {"nv/00000.png": data}, zipfile.ZIP_STORED)
    archive.write_bytes(repeated(archive, 300))
    with pytest.raises(DataError, match=r"would unpack to 19 MiB|Overlapped"):
        find_images(archive)


def test_archives_within_that_are_one_and_the_same_are_refused(tmp_path: Path) -> None:
    """Thirty entries of a directory at each of eight levels, all of the same bytes: 25 KB of 656 billion images."""
    data = write_zip(tmp_path / "inner.zip", members(2)).read_bytes()
    for _ in range(8):
        data = repeated(write_zip(tmp_path / "outer.zip", {"00000.zip": data}, zipfile.ZIP_STORED), 30)
    archive = tmp_path / "images.zip"
    archive.write_bytes(data)
    with pytest.raises(DataError, match=r"members '00000\.zip' and '00001\.zip' overlap"):
        find_images(archive)


def test_an_archive_within_is_no_longer_than_it_is_stored(tmp_path: Path) -> None:
    """Or else each entry could begin in a place of its own, and reach over all that follow."""
    inner = write_zip(tmp_path / "inner.zip", members(2)).read_bytes()
    archive = write_zip(tmp_path / "images.zip", {"inner.zip": inner}, zipfile.ZIP_STORED)
    raw = bytearray(archive.read_bytes())
    entry = raw.rfind(b"PK\1\2")
    struct.pack_into("<I", raw, entry + 20, 0)
    archive.write_bytes(raw)
    with pytest.raises(DataError, match="Expected it stored as it is"):
        find_images(archive)


def test_archives_are_read_a_few_deep_and_no_deeper(tmp_path: Path) -> None:
    data = write_zip(tmp_path / "images.zip", members(2)).read_bytes()
    for level in range(1, 401):
        data = write_zip(tmp_path / "images.zip", {"a.zip": data}, zipfile.ZIP_STORED).read_bytes()
        if level == zips.MOST_LEVELS:
            assert len(listed(tmp_path / "images.zip")) == 2
    with pytest.raises(DataError, match="lies in 6 archives, one within the other"):
        find_images(tmp_path / "images.zip")


def test_a_member_larger_than_an_image_file_may_be_is_rejected_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zips, "MAX_FILE_BYTES", 2**20)
    archive = write_zip(tmp_path / "images.zip", members(4) | {"benign/big.png": random_png(9, 1000)})
    dataset = prepare(archive, tmp_path / "dataset", image_size=16)
    assert dataset.info.num_images == 4
    assert '"images.zip/benign/big.png","larger than 1 MiB"' in dataset.rejected_csv.read_text()


def test_a_damaged_member_is_rejected_and_the_others_stay(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "images.zip", members(6), zipfile.ZIP_STORED)
    raw = bytearray(archive.read_bytes())
    raw[raw.index(members(6)["benign/image_0002.png"]) + 100] ^= 0xFF
    archive.write_bytes(raw)
    dataset = prepare(archive, tmp_path / "dataset", image_size=16)
    assert dataset.info.num_images == 5
    assert '"images.zip/benign/image_0002.png","damaged in its archive' in dataset.rejected_csv.read_text()


def test_a_member_whose_compression_is_damaged_is_rejected_alone(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "images.zip", members(6))
    with zipfile.ZipFile(archive) as file:
        damaged = file.getinfo("benign/image_0002.png")
    raw = bytearray(archive.read_bytes())
    begin = damaged.header_offset + 30 + len(damaged.filename)
    raw[begin + 9 : begin + damaged.compress_size] = b"\xff" * (damaged.compress_size - 9)
    archive.write_bytes(raw)
    dataset = prepare(archive, tmp_path / "dataset", image_size=16)
    assert dataset.info.num_images == 5
    assert '"images.zip/benign/image_0002.png","damaged in its archive' in dataset.rejected_csv.read_text()


@pytest.mark.parametrize(("compression", "name"), [(zipfile.ZIP_BZIP2, "bzip2"), (zipfile.ZIP_LZMA, "LZMA")])
def test_a_member_of_another_compression_is_rejected_with_what_was_expected(
    tmp_path: Path, compression: int, name: str
) -> None:
    archive = write_zip(tmp_path / "images.zip", members(4))
    with zipfile.ZipFile(archive, "a", compression) as file:
        file.writestr("benign/other.png", random_png(9))
        file.writestr("table.csv", "a,b\n")
    dataset = prepare(archive, tmp_path / "dataset", image_size=16)
    assert dataset.info.num_images == 4
    assert f"it is compressed by {name}; expected deflate" in dataset.rejected_csv.read_text()
    with pytest.raises(DataError, match=f"'table.csv' cannot be read .*{name}"):
        ZipArchive(archive).open("table.csv")


def lying(archive: Path, size: int) -> Path:
    """An archive of one member whose directory states another size of it, and the checksum of what that would be."""
    with zipfile.ZipFile(archive) as file:
        (info,) = file.infolist()
        begin = file.read(info)[:size]
    raw = bytearray(archive.read_bytes())
    for signature, place in ((b"PK\3\4", 14), (b"PK\1\2", 16)):
        start = raw.index(signature) + place
        struct.pack_into("<I", raw, start, zlib.crc32(begin))
        struct.pack_into("<I", raw, start + 8, size)
    archive.write_bytes(raw)
    return archive


@pytest.mark.parametrize("size", [1000, 2**23])
def test_a_member_that_lies_about_its_size_is_refused_in_little_memory(tmp_path: Path, size: int) -> None:
    archive = lying(write_zip(tmp_path / "images.zip", {"nv/a.csv": bytes(2**25 + 5)}), size)
    tracemalloc.start()
    try:
        with ZipArchive(archive).open("nv/a.csv") as file, pytest.raises(zipfile.BadZipFile):
            deque(iter(lambda: file.read(2**16), b""), maxlen=0)
        # All that is stated may come out before the rest is missed.
        assert tracemalloc.get_traced_memory()[1] < 2**20
        with pytest.raises(ImageError, match="damaged in its archive"):
            ZipArchive(archive).read("nv/a.csv")
        assert tracemalloc.get_traced_memory()[1] < 2 * size + 2**20
    finally:
        tracemalloc.stop()


def test_a_member_that_holds_less_than_it_states_is_damaged(tmp_path: Path) -> None:
    archive = lying(write_zip(tmp_path / "images.zip", {"nv/a.csv": bytes(500)}), 501)
    with pytest.raises(ImageError, match="damaged in its archive"):
        ZipArchive(archive).read("nv/a.csv")
    with ZipArchive(archive).open("nv/a.csv") as file, pytest.raises(zipfile.BadZipFile):
        file.read()


def test_one_member_that_would_expand_a_thousand_times_is_refused(tmp_path: Path) -> None:
    noise = {f"nv/{number}.png": np.random.default_rng(number).bytes(2**18) for number in range(2)}
    archive = write_zip(tmp_path / "images.zip", {"nv/bomb.png": bytes(2**25), **noise})
    with pytest.raises(ImageError, match="KiB would unpack to 32 MiB"):
        ZipArchive(archive).read("nv/bomb.png")


def test_an_encrypted_member_is_rejected(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "images.zip", members(4))
    raw = bytearray(archive.read_bytes())
    for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        raw[raw.index(signature) + flags] |= 1
    archive.write_bytes(raw)
    dataset = prepare(archive, tmp_path / "dataset", image_size=16)
    assert "encrypted in its archive" in dataset.rejected_csv.read_text()
    assert dataset.info.num_images == 3


@pytest.mark.parametrize("data", [b"", b"PK\3\4 cut off", b"\x89PNG"])
def test_a_file_that_is_no_archive_is_an_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "images.zip").write_bytes(data)
    with pytest.raises(DataError, match="is not a readable zip archive"):
        find_images(tmp_path / "images.zip")


def test_a_member_that_vanished_is_a_reason(tmp_path: Path) -> None:
    write_zip(tmp_path / "images.zip", members(2))
    with ImageReader(tmp_path) as reader:
        for path in ("images.zip/benign/gone.png", "gone.zip/a.png"):
            with pytest.raises(ImageError, match="no such file"):
                reader.locate(Path(path))
    with pytest.raises(DataError, match="cannot be read"):
        ZipArchive(tmp_path / "images.zip").open("gone.csv")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_was_written_anew_is_one_image(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "images.zip", members(4))
    again = random_png(99)
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("benign/image_0002.png", again)
    dataset = prepare(archive, tmp_path / "dataset", image_size=20)
    assert [row.image_id for row in dataset.rows] == ["image_0000", "image_0002", "image_0001", "image_0003"]
    with Image.open(io.BytesIO(again)) as image:
        np.testing.assert_array_equal(dataset.pixels[1], np.asarray(image))


def test_an_archive_within_another_that_is_said_to_begin_at_its_end_is_an_error(tmp_path: Path) -> None:
    inner = write_zip(tmp_path / "in.zip", members(1))
    outer = write_zip(tmp_path / "outer.zip", {"in.zip": inner.read_bytes()}, zipfile.ZIP_STORED)
    raw = bytearray(outer.read_bytes())
    struct.pack_into("<I", raw, raw.rindex(b"PK\1\2") + 42, len(raw) - 10)
    outer.write_bytes(raw)
    with pytest.raises(DataError, match=r"outer\.zip/in\.zip is damaged"):
        find_images(outer)


# HDF5


def test_isic_2024_prepares_from_its_hdf5_file(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    rows = isic2024_rows()
    (tmp_path / "train-metadata.csv").write_text(table(ISIC2024_COLUMNS, *rows), encoding="utf-8")
    jpegs = {str(row["isic_id"]): random_png(number) for number, row in enumerate(rows)}
    with h5py.File(tmp_path / "train-image.hdf5", "w") as file:
        for isic_id, data in jpegs.items():
            file[isic_id] = np.void(data)
    dataset = prepare(tmp_path, tmp_path / "dataset", image_size=16)
    assert dataset.info.classes.names == ("benign", "malignant")
    assert [(row.image_id, row.label, row.patient_id) for row in dataset.rows] == [
        ("ISIC_0015670", "benign", "IP_1117527"),
        ("ISIC_0015845", "benign", "IP_1117527"),
        ("ISIC_0082829", "malignant", "IP_1117527"),
    ]
    for row in dataset.rows:
        with Image.open(io.BytesIO(jpegs[row.image_id])) as image:
            np.testing.assert_array_equal(dataset.pixels[row.pixel_index], resize(image, 16))


def test_an_hdf5_file_gives_bytes_and_nothing_from_elsewhere(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    (tmp_path / "secret.bin").write_bytes(b"secret")
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        file["secret"] = np.void(b"secret")
    data = random_png(0)
    with h5py.File(tmp_path / "images.hdf5", "w") as file:
        file["opaque"] = np.void(data)
        file["array"] = np.frombuffer(data, dtype=np.uint8)
        file["numbers"] = np.arange(5.0)
        file["picture"] = PICTURE
        file.create_group("group")
        file["type"] = np.dtype(np.uint8)
        file["soft"] = h5py.SoftLink("/opaque")
        file["external"] = h5py.ExternalLink("other.hdf5", "secret")
        file.create_dataset("outside", (6,), np.uint8, external=[(str(tmp_path / "secret.bin"), 0, 6)])
        layout = h5py.VirtualLayout((), np.dtype("V6"))
        layout[...] = h5py.VirtualSource(tmp_path / "other.hdf5", "secret", ())
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("huge", (2**40,), np.uint8, chunks=(2**20,))
    archive = Hdf5Archive(tmp_path / "images.hdf5")
    assert archive.read("opaque") == archive.read("array") == data
    reasons = {
        "numbers": "expected the bytes of an image file",
        "picture": "expected the bytes of an image file",
        "huge": "expected the bytes of an image file",
        "group": "a group of the HDF5 file",
        "type": "a datatype of the HDF5 file",
        "soft": "a link to elsewhere",
        "external": "a link to elsewhere",
        "outside": "in another file",
        "virtual": "in another file",
        "gone": "no such dataset",
    }
    for name, reason in reasons.items():
        with pytest.raises(ImageError, match=reason):
            archive.read(name)
    archive.close()
    (tmp_path / "images.hdf5").write_bytes(b"\x89HDF\r\n\x1a\n cut off")
    with pytest.raises(DataError, match="is not a readable HDF5 file"):
        Hdf5Archive(tmp_path / "images.hdf5")


def test_an_hdf5_file_whose_names_are_damaged_is_an_error(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "images.hdf5"
    with h5py.File(path, "w") as file:
        file["a"] = np.void(b"image")
    path.write_bytes(path.read_bytes().replace(b"SNOD", b"XXXX"))
    archive = Hdf5Archive(path)
    with pytest.raises(DataError, match=r"images\.hdf5 is not a readable HDF5 file"):
        list(archive.names())
    archive.close()


@pytest.mark.parametrize(("package", "name"), [("h5py", "images.hdf5/a"), ("pyarrow", "mine.parquet")])
def test_a_package_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, name: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / Path(name).parts[0]).write_bytes(b"")
    columns = TableColumns(image="a", diagnosis="b")
    read = ImageReader(tmp_path).locate if package == "h5py" else lambda path: find_images(tmp_path / path, columns)
    with pytest.raises(DataError, match=rf"needs the package '{package}'.*pip install '\.\[data\]'"):
        read(Path(name))


# NumPy archives


@pytest.mark.parametrize("workers", [1, 2])
def test_dermamnist_prepares_to_the_very_pixels_of_its_arrays(
    tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = write_dermamnist(tmp_path / "dermamnist.npz", num=(40, 7, 7))
    monkeypatch.setattr(decoding, "MIN_IMAGES_FOR_WORKERS", 1)
    dataset = prepare(tmp_path / "dermamnist.npz", tmp_path / "dataset", image_size=28, workers=workers)
    expected = np.concatenate([written[f"{split}_images"] for split in ("train", "val", "test")])
    np.testing.assert_array_equal(dataset.pixels, expected)
    assert dataset.info.classes.names == ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
    assert dataset.info.given_splits == ("test", "train", "val")
    assert [row.split for row in dataset.rows] == ["train"] * 40 + ["val"] * 7 + ["test"] * 7
    assert dataset.rows[0].image_id == "dermamnist.npz/train_images/00000"


def test_images_of_an_array_are_read_in_any_order(tmp_path: Path) -> None:
    written = write_dermamnist(tmp_path / "dermamnist.npz")
    archive = ArrayArchive(tmp_path / "dermamnist.npz")
    for index in (3, 0, 13, 5, 5):
        with Image.open(io.BytesIO(archive.read(f"train_images/{index}"))) as image:
            np.testing.assert_array_equal(np.asarray(image), written["train_images"][index])
    for name in ("train_images/14", "train_images/-1", "train_images/x", "train_labels/0", "gone/0", "train_images"):
        with pytest.raises(ImageError, match="damaged in the NumPy archive"):
            archive.read(name)
    archive.close()


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damaged_labels_are_an_error(tmp_path: Path, compression: int) -> None:
    labels = io.BytesIO()
    np.save(labels, np.random.default_rng(0).integers(0, 7, (20_000, 1), dtype=np.uint8))
    path = write_zip(tmp_path / "dermamnist.npz", {"train_labels.npy": labels.getvalue()}, compression)
    with zipfile.ZipFile(path) as file:
        info = file.getinfo("train_labels.npy")
    raw = bytearray(path.read_bytes())
    raw[info.header_offset + info.compress_size - 40] ^= 0xFF
    path.write_bytes(raw)
    archive = ArrayArchive(path)
    with pytest.raises(DataError, match=r"dermamnist\.npz: array 'train_labels' is damaged"):
        archive.labels("train_labels")
    archive.close()


def test_an_array_of_absurd_images_is_refused_without_being_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "MAX_FILE_BYTES", 28 * 28 * 3)
    for size in (28, 29):
        write_dermamnist(tmp_path / f"dermamnist_{size}.npz", size)
    assert ArrayArchive(tmp_path / "dermamnist_28.npz").read("train_images/0")
    with pytest.raises(ImageError, match="images of 2,523 bytes"):
        ArrayArchive(tmp_path / "dermamnist_29.npz").read("train_images/0")


@pytest.mark.parametrize(
    "shape",
    [b"(" * 3000 + b")" * 3000, b"((((", b"(7, 28, 28, 3", b"(" + b"9" * 400 + b",)", b"(7.0, 28, 28, 3)", b"[" * 90],
)
def test_a_header_that_is_not_numpys_is_an_error(tmp_path: Path, shape: bytes) -> None:
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': " + shape + b", }\n"
    array = b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header
    archive = ArrayArchive(write_zip(tmp_path / "dermamnist.npz", {"train_images.npy": array}))
    with pytest.raises(DataError, match=r"not one that numpy\.save writes"):
        archive.shape("train_images")


@pytest.mark.parametrize("shape", [(arrays._MOST_IMAGES + 1, 8, 8, 3), (1000, 1, 1, 3)])
def test_more_images_or_smaller_ones_than_any_dataset_has_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.savez_compressed(tmp_path / "dermamnist.npz", train_images=np.zeros(shape, np.uint8))
    with pytest.raises(DataError, match="may be malicious"):
        ArrayArchive(tmp_path / "dermamnist.npz").shape("train_images")


def test_the_audit_sees_the_files_in_an_archive(tmp_path: Path) -> None:
    from nevus.data.splits import split

    archive = write_zip(tmp_path / "images.zip", members(40))
    dataset = split(prepare(archive, tmp_path / "dataset", image_size=16), val_fraction=0.2, test_fraction=0.2, seed=0)
    assert "not looked at" not in find_shortcuts(dataset, []).note
    archive.unlink()
    assert "the source folder is not there any more" in find_shortcuts(dataset, []).note


def test_folders_of_a_zip_are_no_files_however_they_are_written(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for name in ("./nv/", "mel/", "./nv/a.jpg"):
            archive.writestr(name, b"")
    assert list(ZipArchive(tmp_path / "data.zip").names()) == ["nv/a.jpg"]
