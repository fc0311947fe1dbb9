"""Preparation: what is stored is what the files show, in order; what is not an image is rejected with its reason."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bad_inputs import PICTURE, encode, write_bad_inputs
from nevus.core.dataset import Dataset
from nevus.core.errors import DataError
from nevus.core.files import sha256_of
from nevus.core.preprocess import Pixels, load_pixels
from nevus.data import decoding
from nevus.data.audit import audit, write_audit
from nevus.data.manifest_rows import image_ids
from nevus.data.pixel_file import PixelWriter
from nevus.data.prepare import check_sources, prepare
from nevus.data.sources import TableColumns
from nevus.data.splits import split

# The processes that this one has started, on Linux.
CHILDREN = Path(f"/proc/self/task/{os.getpid()}/children")


def write_images(root: Path, num_images: int, size: int = 20) -> Path:
    """Small random PNG files in benign/ and malignant/ by turns; each differs from the others."""
    random = np.random.default_rng(0)
    for number in range(num_images):
        path = root / ("benign", "malignant")[number % 2] / f"image_{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(path)
    return root


def read_rejected(dataset: Dataset) -> dict[str, str]:
    with dataset.rejected_csv.open(encoding="utf-8", newline="") as file:
        return {record["path"]: record["reason"] for record in csv.DictReader(file)}


def test_a_formula_in_the_name_of_a_rejected_file_stays_a_text(tmp_path: Path) -> None:
    root = write_images(tmp_path / "images", 4)
    (root / "=1+1").mkdir()
    (root / "=1+1" / "a.png").write_bytes(b"no image")
    (tmp_path / "one.png").write_bytes(b"")
    dataset = prepare(root, tmp_path / "dataset", image_size=16, malignant=["malignant"])
    assert next(iter(read_rejected(dataset))) == "'=1+1/a.png"


def test_pixels_and_rows_are_those_of_the_files(tmp_path: Path) -> None:
    root = write_images(tmp_path / "images", 12)
    dataset = prepare(root, tmp_path / "dataset", image_size=16)
    assert [row.path for row in dataset.rows] == sorted(row.path for row in dataset.rows)
    for index, row in enumerate(dataset.rows):
        assert row.pixel_index == index
        assert row.sha256 == sha256_of(root / row.path)
        assert row.diagnosis == row.label == row.path.split("/")[0]
        assert row.image_id == Path(row.path).stem
        assert (row.source, row.split, row.group, row.duplicate_group) == ("images", "", "", "")
        np.testing.assert_array_equal(dataset.pixels[index], load_pixels(root / row.path, 16))
    assert dataset.info.num_images == 12
    assert dataset.info.sources[0].root == str(root.resolve())
    assert read_rejected(dataset) == {}


def test_worker_processes_write_what_one_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_images(tmp_path / "images", 150)
    (root / "benign" / "image_0050.png").write_bytes(b"broken")
    one = prepare(root, tmp_path / "one", image_size=16, workers=1)
    monkeypatch.setattr(decoding, "MIN_IMAGES_FOR_WORKERS", 1)
    two = prepare(root, tmp_path / "two", image_size=16, workers=2)
    assert two.rows == one.rows
    for name in ("pixels.npy", "manifest.csv", "rejected.csv", "dataset.json"):
        assert (two.directory / name).read_bytes() == (one.directory / name).read_bytes()


@pytest.mark.skipif(not CHILDREN.exists(), reason="looks at processes as Linux shows them")
def test_a_worker_killed_from_outside_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_images(tmp_path / "images", 400)
    monkeypatch.setattr(decoding, "MIN_IMAGES_FOR_WORKERS", 1)
    before = CHILDREN.read_text().split()

    def kill_the_first() -> None:
        """As a system does that is out of memory."""
        while not (started := [pid for pid in CHILDREN.read_text().split() if pid not in before]):
            time.sleep(0.001)
        os.kill(int(started[0]), signal.SIGKILL)

    with ThreadPoolExecutor(1) as pool:
        killed = pool.submit(kill_the_first)
        with pytest.raises(DataError, match=r"decoding worker was killed.* fewer --workers"):
            prepare(root, tmp_path / "dataset", image_size=16, workers=2)
        killed.result(timeout=10)
    assert not list((tmp_path / "dataset").iterdir())


def test_images_that_vanish_in_the_middle_stop_the_preparation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_images(tmp_path / "images", 200)
    append = PixelWriter.append

    def append_and_vanish(store: PixelWriter, pixels: Pixels) -> None:
        """As a share does that is unmounted."""
        append(store, pixels)
        if root.exists():
            root.rename(tmp_path / "elsewhere")

    monkeypatch.setattr(PixelWriter, "append", append_and_vanish)
    with pytest.raises(DataError, match=r"3 of 200 images could not be read: no such file .*about the images"):
        prepare(root, tmp_path / "dataset", image_size=16)
    assert not list((tmp_path / "dataset").iterdir())


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="the system has no file that cannot be read")
def test_few_faults_of_the_machine_are_told_and_more_stop_the_preparation(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_images(tmp_path / "images", 40)
    for number in range(2):
        (root / "benign" / f"unreadable_{number}.png").symlink_to("/proc/self/mem")
    (root / "benign" / "damaged.png").write_bytes(b"damaged")
    dataset = prepare(root, tmp_path / "dataset", image_size=16)
    assert dataset.info.num_rejected == 3
    assert read_rejected(dataset)["benign/unreadable_0.png"] == "Input/output error"
    assert "2 images are left out because the machine could not read them" in caplog.text
    (root / "benign" / "unreadable_2.png").symlink_to("/proc/self/mem")
    with pytest.raises(DataError, match=r"3 of 44 images could not be read: Input/output error"):
        prepare(root, tmp_path / "another", image_size=16)


def test_the_corpus_of_bad_inputs_never_stops_a_preparation(tmp_path: Path) -> None:
    root = write_images(tmp_path / "images", 4)
    corpus = write_bad_inputs(root / "benign")
    dataset = prepare(root, tmp_path / "dataset", image_size=16)
    rejected = read_rejected(dataset)
    accepted = {row.path for row in dataset.rows}
    for entry in corpus:
        path = entry.path.relative_to(root).as_posix()
        if not entry.listed:
            assert path not in accepted | rejected.keys()
        elif entry.reason is None:
            assert path in accepted
        else:
            assert entry.reason in rejected[path]
    assert len(accepted) + len(rejected) == 4 + sum(entry.listed for entry in corpus)
    assert dataset.info.num_rejected == len(rejected)
    assert not any("inside.png" in path for path in accepted)


@pytest.mark.skipif(os.name != "posix", reason="other systems refuse such names")
@pytest.mark.parametrize("name", [b"not-unicode-\xff.png", b"carriage\rreturn.png"])
def test_a_name_that_no_manifest_can_hold_is_rejected(tmp_path: Path, name: bytes) -> None:
    root = write_images(tmp_path / "images", 4)
    path = os.fsencode(root / "benign") + b"/" + name
    try:
        Path(os.fsdecode(path)).write_bytes(encode(Image.fromarray(PICTURE), "PNG"))
    except OSError:
        pytest.skip("the file system refuses the name")
    dataset = prepare(root, tmp_path / "dataset", image_size=16)
    assert list(read_rejected(dataset).values()) == ["file name is not text"]
    assert len(dataset.rows) == 4


def test_same_files_and_same_pixels_are_one_duplicate_group(tmp_path: Path) -> None:
    root = write_images(tmp_path / "images", 10)
    first = root / "benign" / "image_0000.png"
    (root / "malignant" / "copy.png").write_bytes(first.read_bytes())
    with Image.open(first) as image:
        image.save(root / "benign" / "as_bitmap.bmp")
        image.transpose(Image.Transpose.ROTATE_90).save(root / "benign" / "turned.png")
    groups = {row.image_id: row.duplicate_group for row in prepare(root, tmp_path / "dataset", image_size=16).rows}
    assert {name for name, group in groups.items() if group} == {"image_0000", "copy", "as_bitmap"}
    assert len({groups[name] for name in ("image_0000", "copy", "as_bitmap")}) == 1


def test_images_alike_only_once_resized_are_no_duplicates(tmp_path: Path) -> None:
    root = write_images(tmp_path / "images", 4)
    for size in (32, 64):
        halves = np.repeat([[40, 200]], size // 2, axis=1).repeat(size, axis=0)
        Image.fromarray(halves.astype(np.uint8)).save(root / "benign" / f"halves_{size}.png")
    assert not any(row.duplicate_group for row in prepare(root, tmp_path / "dataset", image_size=16).rows)


def test_given_splits_are_in_the_manifest_and_splitting_completes_them(tmp_path: Path) -> None:
    write_images(tmp_path / "images" / "train", 40)
    write_images(tmp_path / "images" / "test", 10, size=18)
    dataset = prepare(tmp_path / "images", tmp_path / "dataset", image_size=16)
    assert dataset.info.given_splits == ("test", "train")
    split(dataset, val_fraction=0.2, test_fraction=0.2, seed=0)
    totals = {name: sum(counts.values()) for name, counts in dataset.split_counts().items()}
    assert totals == {"train": 32, "val": 8, "test": 10}


paths = st.lists(
    st.tuples(
        st.sampled_from(["benign", "mel"]), st.sampled_from(["a", "b", "a.jpg"]), st.sampled_from(["jpg", "png"])
    ),
    unique=True,
)


@given(paths)
def test_image_ids_are_unique_and_stems_where_they_can_be(parts: list[tuple[str, str, str]]) -> None:
    names = [Path(folder) / f"{stem}.{suffix}" for folder, stem, suffix in parts]
    ids = image_ids([("images", name) for name in names])
    assert len(set(ids)) == len(names)
    stems = [name.stem for name in names]
    assert all(image_id == stem for image_id, stem in zip(ids, stems, strict=True) if stems.count(stem) == 1)


def test_a_dataset_is_replaced_only_on_purpose(tmp_path: Path) -> None:
    root = write_images(tmp_path / "images", 6)
    prepare(root, tmp_path / "dataset", image_size=16)
    with pytest.raises(DataError, match="holds a dataset already"):
        prepare(root, tmp_path / "dataset", image_size=24)
    dataset = prepare(root, tmp_path / "dataset", image_size=24, overwrite=True)
    assert dataset.pixels.shape == (6, 24, 24, 3)


def test_a_wrong_source_leaves_the_old_dataset_alone(tmp_path: Path) -> None:
    old = prepare(write_images(tmp_path / "images", 6), tmp_path / "dataset", image_size=16)
    with pytest.raises(DataError, match="does not exist"):
        prepare(tmp_path / "nowhere", old.directory, image_size=16, overwrite=True)
    assert len(Dataset(old.directory).rows) == 6


def test_sources_without_a_usable_file_leave_the_dataset_that_is_there(tmp_path: Path) -> None:
    old = prepare(write_images(tmp_path / "images", 4), tmp_path / "dataset", image_size=16)
    pixels, rows = old.pixels[:].copy(), old.rows
    broken = write_images(tmp_path / "broken", 4)
    for path in broken.rglob("*.png"):
        path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError, match="images are left of no class"):
        prepare(broken, old.directory, image_size=16, overwrite=True)
    assert Dataset(old.directory).rows == rows
    np.testing.assert_array_equal(Dataset(old.directory).pixels, pixels)


def test_a_preparation_that_fails_leaves_the_reasons_of_the_dataset_that_is_there(tmp_path: Path) -> None:
    root = write_images(tmp_path / "images", 6)
    (root / "benign" / "own.png").write_bytes(b"broken")
    old = prepare(root, tmp_path / "dataset", image_size=16)
    broken = write_images(tmp_path / "broken", 4)
    for path in (broken / "benign").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"The first, benign/image_0000\.png: empty file\. .* stays as it was"):
        prepare(broken, old.directory, image_size=16, overwrite=True)
    assert list(read_rejected(old)) == ["benign/own.png"]


def test_what_a_killed_preparation_left_is_removed_by_the_next(tmp_path: Path) -> None:
    stale = tmp_path / "dataset" / ".pixels.npy.123.partial"
    stale.parent.mkdir()
    stale.write_bytes(b"half")
    prepare(write_images(tmp_path / "images", 4), tmp_path / "dataset", image_size=16)
    assert not stale.exists()


@pytest.mark.skipif(os.name != "posix", reason="other systems refuse such names")
def test_folders_whose_names_are_no_unicode_are_sources_and_datasets(tmp_path: Path) -> None:
    root, directory = (Path(os.fsdecode(os.fsencode(tmp_path) + name)) for name in (b"/cl\xffnic", b"/s\xe9t"))
    try:
        write_images(root, 6)
    except OSError:
        pytest.skip("the file system refuses such names")
    dataset = prepare(root, directory, image_size=16)
    assert {row.source for row in Dataset(directory).rows} == {"cl\\xffnic"}
    assert Path(dataset.info.sources[0].root) == root.resolve()
    dataset = prepare([root, write_images(tmp_path / "more", 4)], directory, image_size=16, overwrite=True)
    write_audit(dataset, audit(dataset))
    assert "s\\xe9t" in dataset.audit_html.read_text(encoding="utf-8")


def test_a_given_split_of_which_no_image_is_left_is_not_given(tmp_path: Path) -> None:
    root = write_images(tmp_path / "images" / "train", 40).parent
    for path in write_images(root / "test", 4).rglob("*.png"):
        path.write_bytes(b"broken")
    dataset = prepare(root, tmp_path / "dataset", image_size=16)
    assert dataset.info.given_splits == ("train",)
    split(dataset, val_fraction=0.2, test_fraction=0.2, seed=0)
    assert all(all(counts.values()) for counts in dataset.split_counts().values())


def test_a_class_that_was_rejected_unopened_is_told_of(tmp_path: Path) -> None:
    root = write_images(tmp_path / "images", 6)
    (root / "malignant").rename(root / "2020")
    (root / "malignant").mkdir()
    (root / "2020").rename(root / "malignant" / "2020")
    reason = (
        r"3 other images were rejected\. The first, malignant/2020/image_0001\.png: in a folder below a class folder"
    )
    for check in (lambda: prepare(root, tmp_path / "dataset", image_size=16), lambda: check_sources([root])):
        with pytest.raises(DataError, match=rf"All diagnoses found are benign.* {reason}"):
            check()


def test_an_empty_store_of_pixels_is_a_clear_error(tmp_path: Path) -> None:
    dataset = prepare(write_images(tmp_path / "images", 4), tmp_path / "dataset", image_size=16)
    dataset.pixels_npy.write_bytes(b"")
    with pytest.raises(DataError, match=r"pixels\.npy cannot be read .* Run 'nevus prepare' again"):
        _ = Dataset(dataset.directory).pixels


def test_rejection_of_all_images_of_a_class_is_an_error_and_lists_why(tmp_path: Path) -> None:
    root = write_images(tmp_path / "images", 6)
    for path in (root / "malignant").iterdir():
        path.write_bytes(b"broken")
    with pytest.raises(DataError, match=r"3 files were rejected; images are left of \['benign'\]"):
        prepare(root, tmp_path / "dataset", image_size=16)
    assert len(read_rejected(Dataset(tmp_path / "dataset"))) == 3
    assert [path.name for path in (tmp_path / "dataset").iterdir()] == ["rejected.csv"]


def test_classes_that_nobody_named_malignant_are_an_error_before_any_decoding(tmp_path: Path) -> None:
    root = write_images(tmp_path / "images", 4)
    (root / "malignant").rename(root / "kind_2")
    with pytest.raises(DataError, match=r"Cannot tell whether \['kind_2'\]"):
        prepare(root, tmp_path / "dataset", image_size=16)
    dataset = prepare(root, tmp_path / "dataset", image_size=16, malignant=["kind_2"])
    assert {(row.diagnosis, row.label) for row in dataset.rows} == {("benign", "benign"), ("kind_2", "malignant")}


@pytest.mark.parametrize(
    ("name", "header", "row"),
    [
        ("mine.csv", "file,dx", "{},{}"),
        ("HAM10000_metadata.csv", "image_id,lesion_id,dx", "{},,{}"),
        ("metadata.csv", "img_id,patient_id,lesion_id,diagnostic", "{}.png,,,{}"),
    ],
)
def test_an_image_without_a_diagnosis_is_rejected_and_not_benign(
    tmp_path: Path, name: str, header: str, row: str
) -> None:
    root = write_images(tmp_path / "images", 4)
    source = root / name if name == "mine.csv" else root
    columns = TableColumns(image="file", diagnosis="dx")
    cells = {"image_0000": "nevus", "image_0001": "spots", "image_0002": "", "image_0003": " "}
    (root / name).write_text("\n".join([header, *(row.format(*cell) for cell in cells.items())]), encoding="utf-8")
    dataset = prepare(source, tmp_path / "dataset", image_size=16, malignant=["spots"], columns=columns)
    assert {row.image_id: row.label for row in dataset.rows} == {"image_0000": "benign", "image_0001": "malignant"}
    assert read_rejected(dataset) == {
        "benign/image_0002.png": "no diagnosis in the table",
        "malignant/image_0003.png": "no diagnosis in the table",
    }
    with pytest.raises(DataError, match=r"Cannot tell whether \['spots'\].*others count as benign\.$"):
        prepare(source, tmp_path / "dataset", image_size=16, columns=columns, overwrite=True)
    (root / name).write_text("\n".join([header, *(row.format(image, "") for image in cells)]), encoding="utf-8")
    with pytest.raises(DataError, match="none of 4 images has a diagnosis"):
        prepare(source, tmp_path / "dataset", image_size=16, columns=columns, overwrite=True)


def test_a_disk_too_small_is_an_error_before_any_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_images(tmp_path / "images", 4)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, 1000))
    with pytest.raises(DataError, match="GiB are free"):
        prepare(root, tmp_path / "dataset", image_size=16)


def test_a_file_where_the_folder_should_be_is_an_error(tmp_path: Path) -> None:
    root = write_images(tmp_path / "images", 4)
    (tmp_path / "dataset").write_text("in the way")
    with pytest.raises(DataError, match="cannot be made"):
        prepare(root, tmp_path / "dataset", image_size=16)


@pytest.mark.real_data
def test_real_images(tmp_path: Path, real_images: Path) -> None:
    for name in ("benign", "malignant"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for path in sorted((real_images / name).iterdir())[:20]:
            (tmp_path / "images" / name / path.name).symlink_to(path)
    dataset = prepare(tmp_path / "images", tmp_path / "dataset", image_size=32)
    assert dataset.info.num_images == 40
    # Skin is redder than it is blue: the channels are in the right order.
    assert dataset.pixels[..., 0].mean() > dataset.pixels[..., 2].mean() + 10


def test_several_sources_become_one_dataset_and_keep_their_names(tmp_path: Path) -> None:
    first = write_images(tmp_path / "clinic" / "images", 12)
    second = write_images(tmp_path / "archive" / "images", 4)
    (second / "benign" / "image_0099.png").write_bytes((first / "benign" / "image_0000.png").read_bytes())
    (second / "malignant" / "bad.png").write_bytes(b"broken")
    dataset = prepare([first, second], tmp_path / "dataset", image_size=16)
    assert [source.name for source in dataset.info.sources] == ["clinic/images", "archive/images"]
    assert [row.source for row in dataset.rows] == ["clinic/images"] * 12 + ["archive/images"] * 5
    ids = [row.image_id for row in dataset.rows]
    assert len(set(ids)) == 17
    assert ids[0] == "clinic/images/benign/image_0000.png", "a name that both have needs the source"
    assert ids[-3] == "image_0099"
    assert dataset.rows[0].duplicate_group == dataset.rows[-3].duplicate_group == ids[0]
    assert list(read_rejected(dataset)) == ["archive/images/malignant/bad.png"]


def test_an_image_of_the_isic_archive_is_one_picture_in_whichever_dataset(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    names = {"a/benign/ISIC_0024306.png", "a/malignant/ISIC_0024307.png", "b/benign/ISIC_0024306_downsampled.png"}
    for name in sorted(names | {"b/malignant/ISIC_0024309.png", "b/benign/photo_0024306.png"}):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(path)
    dataset = prepare([tmp_path / "a", tmp_path / "b"], tmp_path / "dataset", image_size=16)
    assert {row.image_id: row.duplicate_group for row in dataset.rows if row.duplicate_group} == {
        "ISIC_0024306": "ISIC_0024306",
        "ISIC_0024306_downsampled": "ISIC_0024306",
    }


def test_pairs_that_a_source_names_as_duplicates_are_one_group(tmp_path: Path) -> None:
    root = write_images(tmp_path / "images", 6)
    (root / "train.csv").write_text(
        "image_name,patient_id,sex,age_approx,anatom_site_general_challenge,diagnosis,benign_malignant,target\n"
        + "".join(f"image_{n:04},IP_{n},,,,unknown,{('benign', 'malignant')[n % 2]},{n % 2}\n" for n in range(6))
    )
    (root / "ISIC_2020_Training_Duplicates.csv").write_text("image_name_1,image_name_2\nimage_0000,image_0002\n")
    dataset = prepare(root, tmp_path / "dataset", image_size=16)
    groups = {row.image_id: row.duplicate_group for row in dataset.rows}
    assert {name for name, group in groups.items() if group} == {"image_0000", "image_0002"}


def test_sources_of_one_class_each_make_a_dataset_together(tmp_path: Path) -> None:
    root = write_images(tmp_path / "images", 6)
    for name in ("benign", "malignant"):
        (tmp_path / f"only_{name}").mkdir()
        (root / name).rename(tmp_path / f"only_{name}" / name)
    with pytest.raises(DataError, match="Expected benign and malignant ones"):
        prepare(tmp_path / "only_benign", tmp_path / "dataset", image_size=16)
    both = [tmp_path / "only_benign", tmp_path / "only_malignant"]
    assert prepare(both, tmp_path / "dataset", image_size=16).info.num_images == 6


def test_a_table_named_as_many_are_has_the_name_of_its_folder(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "clinic", 4)
    files = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*.png"))]
    table = "\n".join(["file,diagnosis", *(f"{file},{Path(file).parent.name}" for file in files)])
    (folder / "labels.csv").write_text(table + "\n")
    columns = TableColumns(image="file", diagnosis="diagnosis")
    dataset = prepare(folder / "labels.csv", tmp_path / "dataset", image_size=16, columns=columns)
    assert {row.source for row in dataset.rows} == {"clinic/labels.csv"}


@pytest.mark.parametrize(
    "cell", ["-1", "?", "-", "unk", "Missing", "not available", "0", "N.A.", "#N/A", "<NA>", "NaT"]
)
def test_words_for_an_unknown_patient_or_lesion_are_no_id(tmp_path: Path, cell: str) -> None:
    folder = write_images(tmp_path / "clinic", 4)
    files = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*.png"))]
    rows = [f"{file},{Path(file).parent.name},{cell},{cell}" for file in files]
    rows[0] = rows[0].replace(f"{cell},{cell}", "P1,L1")
    (folder / "mine.csv").write_text("\n".join(["file,diagnosis,patient,lesion", *rows]) + "\n")
    columns = TableColumns(image="file", diagnosis="diagnosis", patient="patient", lesion="lesion")
    dataset = prepare(folder / "mine.csv", tmp_path / "dataset", image_size=16, columns=columns)
    assert [row.patient_id for row in dataset.rows] == ["P1", "", "", ""]
    assert [row.lesion_id for row in dataset.rows] == ["L1", "", "", ""]


def test_a_source_named_twice_is_an_error(tmp_path: Path) -> None:
    root = write_images(tmp_path / "images", 4)
    with pytest.raises(DataError, match="named twice"):
        prepare([root, root], tmp_path / "dataset", image_size=16)


def test_splits_of_one_source_are_kept_and_the_other_sources_are_divided(tmp_path: Path) -> None:
    write_images(tmp_path / "published" / "train", 20)
    write_images(tmp_path / "published" / "test", 10, size=18)
    write_images(tmp_path / "clinic", 20, size=22)
    dataset = prepare([tmp_path / "published", tmp_path / "clinic"], tmp_path / "dataset", image_size=16)
    split(dataset, val_fraction=0.2, test_fraction=0.2, seed=0)
    splits_of = {
        name: {row.split for row in dataset.rows if row.source == name and "/test/" not in f"/{row.path}"}
        for name in ("published", "clinic")
    }
    assert splits_of == {"published": {"train", "val"}, "clinic": {"train", "val"}}
    assert sum(row.split == "test" for row in dataset.rows) == 10


@pytest.mark.real_data
def test_ham10000_is_seven_classes_and_no_lesion_is_split(tmp_path: Path, ham10000: Path) -> None:
    """A part of its lesions; the segmentation masks next to them are not images."""
    with (ham10000 / "HAM10000_metadata.csv").open(encoding="utf-8", newline="") as file:
        records = list(csv.DictReader(file))
    kept = {record["lesion_id"] for record in records[::25]}
    rows = [record for record in records if record["lesion_id"] in kept]
    root = tmp_path / "ham"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    with (root / "HAM10000_metadata.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(records[0]))
        writer.writeheader()
        writer.writerows(rows)
    for record in rows:
        image_id = record["image_id"]
        (root / "images" / f"{image_id}.jpg").symlink_to(ham10000 / "images" / f"{image_id}.jpg")
        mask = f"{image_id}_segmentation.png"
        (root / "masks" / mask).symlink_to(ham10000 / "masks" / mask)
    dataset = prepare(root, tmp_path / "dataset", image_size=32)
    assert dataset.info.classes.names == ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
    assert set(dataset.info.classes.malignant) == {"akiec", "bcc", "mel"}
    assert dataset.info.num_images == len(rows)
    split(dataset, val_fraction=0.2, test_fraction=0.2, seed=0)
    splits_of: dict[str, set[str]] = {}
    for row in dataset.rows:
        splits_of.setdefault(row.lesion_id, set()).add(row.split)
    assert all(len(splits) == 1 for splits in splits_of.values())
    assert any(row.image_id != row.group for row in dataset.rows)
