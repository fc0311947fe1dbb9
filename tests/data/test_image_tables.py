"""Tables that bring their images along, or name them in a column: Parquet and ImageFolder of the Hugging Face Hub."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nevus.core.errors import ConfigError, DataError, ImageError
from nevus.data.archives import ImageReader
from nevus.data.prepare import prepare
from nevus.data.sources import TableColumns, find_images
from nevus.data.sources.listing import Listing

Said = tuple[str, bool | None, str, str]


def picture(seed: int) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_parquet(path: Path, columns: dict[str, object], *, class_names: tuple[str, ...] = ()) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    table = pyarrow.table(columns)
    if class_names:
        features = {"image": {"_type": "Image"}, "label": {"names": list(class_names), "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    parquet.write_table(table, path, row_group_size=3)
    return path


def said(listing: Listing) -> dict[str, Said]:
    return {
        image.path.as_posix(): (image.diagnosis, image.malignant, image.split, image.lesion_id)
        for image in listing.images
    }


def test_parquet_files_with_images_inside_are_a_dataset_with_splits(tmp_path: Path) -> None:
    names = ("basal_cell_carcinoma", "melanocytic_Nevi")
    for number, split in enumerate(("train", "test")):
        write_parquet(
            tmp_path / "images" / "data" / f"{split}-00000-of-00001.parquet",
            {
                "image": [
                    {"bytes": picture(10 * number + row), "path": f"ISIC_00{number}000{row}.jpg"} for row in range(7)
                ],
                "label": [row % 2 for row in range(7)],
                "lesion_id": [f"L{number}{row}" for row in range(7)],
                "age": [None, *range(50, 56)],
            },
            class_names=names,
        )  # fmt: skip
    listing = find_images(tmp_path / "images")
    assert (listing.kind, listing.num_ignored) == ("Parquet with images", 0)
    assert said(listing)["data/test-00000-of-00001.parquet/000001/ISIC_0010001.jpg"] == (
        "melanocytic_Nevi", None, "test", "L11",
    )  # fmt: skip
    assert [image.columns["age"] for image in listing.images[:2]] == ["", "50"]
    dataset = prepare(tmp_path / "images", tmp_path / "dataset", image_size=16, workers=1)
    assert [row.image_id for row in dataset.rows[:2]] == ["ISIC_0010000", "ISIC_0010001"]
    with Image.open(io.BytesIO(picture(11))) as image:
        assert np.array_equal(dataset.pixels[1], np.asarray(image))


def test_images_of_parquet_are_read_in_any_order(tmp_path: Path) -> None:
    cells = [picture(row) for row in range(20)]
    write_parquet(tmp_path / "a.parquet", {"image": [*cells, None], "dx": ["nevus"] * 21})
    with ImageReader(tmp_path) as reader:
        for row in (0, 0, 3, 19, 4, 5):
            assert reader.locate(Path(f"a.parquet/{row:06}")) == cells[row]
        for row in (20, 21):
            with pytest.raises(ImageError, match="no image in this row"):
                reader.locate(Path(f"a.parquet/{row:06}"))


def test_a_flag_names_the_column_that_no_name_tells(tmp_path: Path) -> None:
    path = write_parquet(
        tmp_path / "mine.parquet",
        {"picture": [picture(1), picture(2)], "what": ["nevus", "melanoma"], "who": ["p1", "p2"]},
    )
    with pytest.raises(
        ConfigError, match=r"no column is known to name the diagnosis. Found: what, who.*--diagnosis-column"
    ):
        find_images(path)
    listing = find_images(path, TableColumns(diagnosis="what", patient="who"))
    assert [(image.diagnosis, image.patient_id) for image in listing.images] == [("nevus", "p1"), ("melanoma", "p2")]
    with pytest.raises(ConfigError, match="has no column 'wat'"):
        find_images(path, TableColumns(diagnosis="wat"))


def test_a_damaged_parquet_file_is_an_error(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "train-00000-of-00001.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"train-.*\.parquet is not a readable Parquet file"):
        find_images(tmp_path)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_an_image_folder_with_a_table_for_each_split(tmp_path: Path, form: str) -> None:
    rows = {
        "train": [
            {"file_name": "a/1.png", "label": "nevus", "malignant": "False", "lesion_id": "L1"},
            {"file_name": "2.png", "label": "epidermal cyst", "malignant": "False", "lesion_id": "L2"},
        ],
        "test": [{"file_name": "1.png", "label": "melanoma", "malignant": "True", "lesion_id": "L3"}],
    }
    for split, entries in rows.items():
        for row in entries:
            path = tmp_path / split / row["file_name"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        lines = [json.dumps(row) for row in entries]
        if form == "csv":
            lines = [",".join(entries[0]), *(",".join(row.values()) for row in entries)]
        (tmp_path / split / f"metadata.{form}").write_text("\n".join(lines) + "\n")
    listing = find_images(tmp_path)
    assert (listing.kind, listing.rejected) == ("ImageFolder", ())
    assert said(listing) == {
        "test/1.png": ("melanoma", True, "test", "L3"),
        "train/2.png": ("epidermal cyst", False, "train", "L2"),
        "train/a/1.png": ("nevus", False, "train", "L1"),
    }


def test_a_table_of_captions_leaves_the_folders_of_classes(tmp_path: Path) -> None:
    for name in ("nevus/1.png", "melanoma/2.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    (tmp_path / "metadata.csv").write_text("file_name,text\nnevus/1.png,a mole\nmelanoma/2.png,another\n")
    assert find_images(tmp_path).kind == "class folders"


@pytest.mark.parametrize("line", ["[1]", '{"text": 1}', "{", "[" * 100_000])
def test_a_wrong_line_of_json_is_an_error(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png", "label": "nevus"}\n' + line + "\n")
    with pytest.raises(DataError, match=r"metadata\.jsonl"):
        find_images(tmp_path)
