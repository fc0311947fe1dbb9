"""Importers of the field's datasets, on files in the layout of the actual releases: columns, names and folders."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from nevus.core.errors import ConfigError, DataError
from nevus.data.sources import Listing, SourceImage, TableColumns, find_images

ISIC2019_CLASSES = "MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK"
ISIC2020_COLUMNS = (
    "image_name,patient_id,{lesion}sex,age_approx,anatom_site_general_challenge,diagnosis,benign_malignant,target"
)
# The header of train-metadata.csv on Kaggle, whole.
ISIC2024_COLUMNS = (
    "isic_id,target,patient_id,age_approx,sex,anatom_site_general,clin_size_long_diam_mm,image_type,tbp_tile_type,"
    "tbp_lv_A,tbp_lv_Aext,tbp_lv_B,tbp_lv_Bext,tbp_lv_C,tbp_lv_Cext,tbp_lv_H,tbp_lv_Hext,tbp_lv_L,tbp_lv_Lext,"
    "tbp_lv_areaMM2,tbp_lv_area_perim_ratio,tbp_lv_color_std_mean,tbp_lv_deltaA,tbp_lv_deltaB,tbp_lv_deltaL,"
    "tbp_lv_deltaLB,tbp_lv_deltaLBnorm,tbp_lv_eccentricity,tbp_lv_location,tbp_lv_location_simple,tbp_lv_minorAxisMM,"
    "tbp_lv_nevi_confidence,tbp_lv_norm_border,tbp_lv_norm_color,tbp_lv_perimeterMM,tbp_lv_radial_color_std_max,"
    "tbp_lv_stdL,tbp_lv_stdLExt,tbp_lv_symm_2axis,tbp_lv_symm_2axis_angle,tbp_lv_x,tbp_lv_y,tbp_lv_z,attribution,"
    "copyright_license,lesion_id,iddx_full,iddx_1,iddx_2,iddx_3,iddx_4,iddx_5,mel_mitotic_index,mel_thick_mm,"
    "tbp_lv_dnn_lesion_confidence"
)
PAD_COLUMNS = (
    "patient_id,lesion_id,smoke,drink,background_father,background_mother,age,pesticide,gender,skin_cancer_history,"
    "cancer_history,has_piped_water,has_sewage_system,fitspatrick,region,diameter_1,diameter_2,diagnostic,itch,grew,hurt,"
    "changed,bleed,elevation,img_id,biopsed"
)
DERM7PT_COLUMNS = (
    "case_num,diagnosis,seven_point_score,pigment_network,streaks,pigmentation,regression_structures,dots_and_globules,"
    "blue_whitish_veil,vascular_structures,level_of_diagnostic_difficulty,elevation,location,sex,management,clinic,derm,"
    "case_id,notes"
)


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def touch(root: Path, *names: str) -> Path:
    """Makes empty files: importers read names and tables only."""
    return write(root, dict.fromkeys(names, ""))


def table(columns: str, *rows: dict[str, object]) -> str:
    """CSV text with the given header; cells that a row does not name are empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns.split(","), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def by_stem(listing: Listing) -> dict[str, SourceImage]:
    return {image.path.stem: image for image in listing.images}


def reasons(listing: Listing) -> dict[str, str]:
    return {path.as_posix(): reason for path, reason in listing.rejected}


# HAM10000


@pytest.mark.parametrize("name", ["HAM10000_metadata", "HAM10000_metadata.csv", "HAM10000_metadata.tab"])
def test_ham10000_under_each_of_its_published_names(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "HAM10000_images_part_1/ISIC_0024306.jpg", "HAM10000_images_part_2/ISIC_0029306.jpg")
    touch(tmp_path, "masks/ISIC_0024306_segmentation.png")
    text = (
        "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset\n"
        "HAM_0000550,ISIC_0024306,nv,follow_up,45.0,male,unknown,vidir_molemax\n"
        "HAM_0003577,ISIC_0029306,mel,histo,,unknown,back,rosendahl\n"
    )
    if name.endswith(".tab"):
        # Dataverse writes texts in quotes, between tabs.
        rows = list(csv.reader(text.splitlines()))
        text = "".join("\t".join(f'"{cell}"' for cell in row) + "\n" for row in rows)
    write(tmp_path, {name: text})
    listing = find_images(tmp_path)
    assert (listing.kind, listing.num_ignored, listing.rejected) == ("HAM10000", 1, ())
    nevus = by_stem(listing)["ISIC_0024306"]
    assert (nevus.diagnosis, nevus.lesion_id, nevus.licence) == ("nv", "HAM_0000550", "CC BY-NC 4.0")
    assert nevus.columns == {
        "age": "45.0", "sex": "male", "site": "", "confirmed_by": "follow_up", "collection": "vidir_molemax",
    }  # fmt: skip
    assert by_stem(listing)["ISIC_0029306"].columns["sex"] == ""


# ISIC 2018 and 2019


def one_hot(columns: str, rows: dict[str, str], extra: str = "") -> str:
    names = columns.split(",")
    lines = [f"image,{columns}{extra and ',score_weight,validation_weight'}"]
    lines += [
        f"{image},{','.join('1.0' if name == one else '0.0' for name in names)}{extra}" for image, one in rows.items()
    ]
    return "\n".join(lines) + "\n"


def test_isic_2018_keeps_its_splits_and_lesions(tmp_path: Path) -> None:
    classes = "MEL,NV,BCC,AKIEC,BKL,DF,VASC"
    parts = {"Training": "ISIC_0024306", "Validation": "ISIC_0034321", "Test": "ISIC_0034524"}
    for part, image in parts.items():
        touch(tmp_path, f"ISIC2018_Task3_{part}_Input/{image}.jpg")
        folder = f"ISIC2018_Task3_{part}_GroundTruth"
        touch(tmp_path, f"{folder}/LICENSE.txt")
        write(tmp_path, {f"{folder}/{folder}.csv": one_hot(classes, {image: "AKIEC" if part == "Test" else "NV"})})
    write(
        tmp_path,
        {
            "ISIC2018_Task3_Training_LesionGroupings.csv": "image,lesion_id,diagnosis_confirm_type\n"
            "ISIC_0024306,HAM_0000550,serial imaging showing no change\n"
        },
    )
    listing = find_images(tmp_path)
    images = by_stem(listing)
    assert listing.kind == "ISIC 2018 task 3"
    assert {stem: (image.split, image.diagnosis) for stem, image in images.items()} == {
        "ISIC_0024306": ("train", "NV"),
        "ISIC_0034321": ("val", "NV"),
        "ISIC_0034524": ("test", "AKIEC"),
    }
    assert images["ISIC_0024306"].lesion_id == "HAM_0000550"
    assert images["ISIC_0024306"].columns == {"confirmed_by": "serial imaging showing no change"}
    assert listing.num_ignored == 3


def test_isic_2019_with_its_columns_and_its_class_of_no_class(tmp_path: Path) -> None:
    touch(
        tmp_path, "ISIC_2019_Training_Input/ISIC_0000000.jpg", "ISIC_2019_Training_Input/ISIC_0000004_downsampled.jpg"
    )
    touch(tmp_path, "ISIC_2019_Test_Input/ISIC_0034321.jpg", "ISIC_2019_Test_Input/ISIC_0034322.jpg")
    training = {"ISIC_0000000": "NV", "ISIC_0000004_downsampled": "SCC"}
    write(
        tmp_path,
        {
            "ISIC_2019_Training_GroundTruth.csv": one_hot(ISIC2019_CLASSES, training),
            "ISIC_2019_Training_Metadata.csv": "image,age_approx,anatom_site_general,lesion_id,sex\n"
            "ISIC_0000000,55.0,anterior torso,,female\nISIC_0000004_downsampled,,,MSK4_0011169,\n",
            "ISIC_2019_Test_GroundTruth.csv": one_hot(
                ISIC2019_CLASSES, {"ISIC_0034321": "MEL", "ISIC_0034322": "UNK"}, ",1.0,0.0"
            ),
            "ISIC_2019_Test_Metadata.csv": "image,age_approx,anatom_site_general,sex\n"
            "ISIC_0034321,40.0,head/neck,male\n",
        },
    )
    listing = find_images(tmp_path)
    images = by_stem(listing)
    assert listing.given_splits == ("test", "train")
    assert images["ISIC_0000000"].columns == {"age": "55.0", "sex": "female", "site": "anterior torso"}
    scc = images["ISIC_0000004_downsampled"]
    assert (scc.diagnosis, scc.lesion_id, scc.isic_id) == ("SCC", "MSK4_0011169", "ISIC_0000004")
    assert reasons(listing) == {
        "ISIC_2019_Test_Input/ISIC_0034322.jpg": "class UNK: the source says only what it is not"
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC\n", r"missing columns \['UNK'\]"),
        (
            f"image,{ISIC2019_CLASSES}\nISIC_0000000,1.0,1.0,0,0,0,0,0,0,0\n",
            "row 2: expected a 1 in one of .* received 2",
        ),
        (f"image,{ISIC2019_CLASSES}\nISIC_0000000,x,0,0,0,0,0,0,0,0\n", "row 2: expected a 1 in one of .* received 0"),
    ],
)
def test_a_wrong_ground_truth_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    touch(tmp_path, "ISIC_2019_Training_Input/ISIC_0000000.jpg")
    write(tmp_path, {"ISIC_2019_Training_GroundTruth.csv": text})
    with pytest.raises(DataError, match=message):
        find_images(tmp_path)


# ISIC 2020


@pytest.mark.parametrize("name", ["ISIC_2020_Training_GroundTruth_v2.csv", "train.csv"])
def test_isic_2020_with_patients_lesions_and_its_list_of_duplicates(tmp_path: Path, name: str) -> None:
    touch(tmp_path, *(f"train/ISIC_{number:07}.jpg" for number in (15719, 52212, 68279, 74268)))
    columns = ISIC2020_COLUMNS.format(lesion="lesion_id," if "v2" in name else "")
    common = {"sex": "female", "age_approx": "45.0", "anatom_site_general_challenge": "upper extremity", "target": "0"}
    benign = common | {"benign_malignant": "benign"}
    rows: list[dict[str, object]] = [
        {"image_name": "ISIC_0015719", "patient_id": "IP_3075186", "diagnosis": "unknown"} | benign,
        {"image_name": "ISIC_0052212", "patient_id": "IP_2842074", "diagnosis": "nevus"} | benign,
        {"image_name": "ISIC_0068279", "patient_id": "IP_6890425", "diagnosis": "atypical melanocytic proliferation"}
        | benign,
        {"image_name": "ISIC_0074268", "patient_id": "IP_8723313", "diagnosis": "melanoma"}
        | common
        | {"benign_malignant": "malignant", "target": "1"},
    ]
    if "v2" in name:
        for row in rows:
            row["lesion_id"] = f"IL_{row['image_name']}"
        duplicates = {"ISIC_2020_Training_Duplicates.csv": "image_name_1,image_name_2\nISIC_0015719,ISIC_0052212\n"}
    else:
        duplicates = {
            "2020_Challenge_duplicates.csv": "ISIC_id,ISIC_id_paired,partition\nISIC_0015719,ISIC_0052212,train\n"
            "ISIC_0000001,ISIC_0000002,test\n"
        }
    write(tmp_path, {name: table(columns, *rows)} | duplicates)
    listing = find_images(tmp_path)
    images = by_stem(listing)
    assert listing.kind == "ISIC 2020"
    assert [(image.diagnosis, image.malignant) for image in listing.images] == [
        ("benign", False),
        ("nevus", False),
        ("atypical melanocytic proliferation", False),
        ("melanoma", True),
    ]
    assert images["ISIC_0052212"].patient_id == "IP_2842074"
    assert images["ISIC_0052212"].lesion_id == ("IL_ISIC_0052212" if "v2" in name else "")
    assert listing.duplicates == ((Path("train/ISIC_0015719.jpg"), Path("train/ISIC_0052212.jpg")),)


def test_somebody_elses_train_csv_is_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "benign/a.jpg", "malignant/b.jpg")
    write(tmp_path, {"train.csv": "id,label\n1,0\n"})
    assert find_images(tmp_path).kind == "class folders"


# ISIC 2024


def isic2024_rows() -> list[dict[str, object]]:
    full = "Malignant::Malignant melanocytic proliferations (Melanoma)::Melanoma in situ"
    common = {"patient_id": "IP_1117527", "age_approx": "60.0", "sex": "male", "anatom_site_general": "head/neck"}
    common |= {"image_type": "TBP tile: close-up", "attribution": "Memorial Sloan Kettering Cancer Center"}
    benign = common | {"target": 0, "copyright_license": "CC-BY", "iddx_full": "Benign", "iddx_1": "Benign"}
    return [
        benign | {"isic_id": "ISIC_0015670"},
        benign | {"isic_id": "ISIC_0015845", "iddx_1": "Indeterminate", "iddx_2": "Indeterminate melanocytic"},
        common
        | {"isic_id": "ISIC_0082829", "target": 1, "lesion_id": "IL_6177555", "copyright_license": "CC-BY-NC"}
        | {"iddx_full": full} | dict(zip(("iddx_1", "iddx_2", "iddx_3"), full.split("::"), strict=True)),
    ]  # fmt: skip


def check_isic2024(listing: Listing) -> None:
    assert listing.kind == "ISIC 2024"
    images = by_stem(listing)
    assert [(image.diagnosis, image.malignant) for image in images.values()] == [
        ("Benign", False),
        ("Indeterminate melanocytic", False),
        ("Melanoma in situ", True),
    ]
    melanoma = images["ISIC_0082829"]
    assert (melanoma.patient_id, melanoma.lesion_id) == ("IP_1117527", "IL_6177555")
    assert melanoma.columns["site"] == "head/neck"


def test_isic_2024_of_kaggle_in_an_hdf5_file(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    write(tmp_path, {"train-metadata.csv": table(ISIC2024_COLUMNS, *isic2024_rows())})
    with h5py.File(tmp_path / "train-image.hdf5", "w") as file:
        for row in isic2024_rows():
            file[str(row["isic_id"])] = np.void(b"not read yet")
    listing = find_images(tmp_path)
    check_isic2024(listing)
    assert listing.images[0].path == Path("train-image.hdf5/ISIC_0015670")


def test_isic_2024_of_the_isic_in_three_tables(tmp_path: Path) -> None:
    rows = isic2024_rows()
    touch(tmp_path, *(f"ISIC_2024_Training_Input/{row['isic_id']}.jpg" for row in rows))
    truth = [{"isic_id": row["isic_id"], "malignant": f"{row['target']}.0"} for row in rows]
    facts = "isic_id,attribution,copyright_license,age_approx,anatom_site_general,image_type,patient_id,sex"
    supplement = "isic_id,iddx_full,iddx_1,iddx_2,iddx_3,iddx_4,iddx_5,lesion_id"
    picked = {
        name: [{key: row.get(key, "") for key in name.split(",")} for row in rows] for name in (facts, supplement)
    }
    write(
        tmp_path,
        {
            "ISIC_2024_Training_GroundTruth.csv": table("isic_id,malignant", *truth),
            "ISIC_2024_Training_Input/metadata.csv": table(facts, *picked[facts]),
            "ISIC_2024_Training_Supplement.csv": table(supplement, *picked[supplement]),
        },
    )
    check_isic2024(find_images(tmp_path))


# The ISIC Archive


def test_the_isic_archive_as_isic_cli_writes_it(tmp_path: Path) -> None:
    columns = (
        "isic_id,attribution,copyright_license,age_approx,anatom_site_general,concomitant_biopsy,diagnosis_1,diagnosis_2,"
        "diagnosis_3,diagnosis_4,diagnosis_5,diagnosis_confirm_type,fitzpatrick_skin_type,image_type,lesion_id,patient_id,sex"
    )
    melanoma = "Malignant melanocytic proliferations (Melanoma)"
    rows: list[dict[str, object]] = [
        {
            "isic_id": "ISIC_0000001",
            "diagnosis_1": "Malignant",
            "diagnosis_2": melanoma,
            "copyright_license": "CC-BY-NC",
        }
        | {"diagnosis_3": "Melanoma Invasive", "diagnosis_4": "Melanoma Invasive, Nodular", "lesion_id": "IL_7252831"}
        | {"patient_id": "IP_1000001", "fitzpatrick_skin_type": "II", "image_type": "dermoscopic"},
        {
            "isic_id": "ISIC_0000002",
            "diagnosis_1": "Benign",
            "diagnosis_2": "Benign soft tissue proliferations - Neural",
        }
        | {"diagnosis_3": "Schwannoma", "copyright_license": "CC-0"},
        {"isic_id": "ISIC_0000003", "diagnosis_1": "Indeterminate", "diagnosis_3": "Solar or actinic keratosis"},
        {"isic_id": "ISIC_0000004", "diagnosis_1": "Indeterminate", "diagnosis_3": "Atypical melanocytic neoplasm"},
        {"isic_id": "ISIC_0000005"},
    ]
    touch(tmp_path, *(f"{row['isic_id']}.jpg" for row in rows), "attribution.txt", "licenses/CC-0.txt")
    listing = find_images(write(tmp_path, {"metadata.csv": table(columns, *rows)}))
    images = by_stem(listing)
    assert listing.kind == "ISIC Archive"
    first = images["ISIC_0000001"]
    assert (first.diagnosis, first.malignant, first.licence) == ("Melanoma Invasive", True, "CC BY-NC 4.0")
    assert (first.lesion_id, first.patient_id) == ("IL_7252831", "IP_1000001")
    assert (first.columns["skin_type"], first.columns["image_type"]) == ("II", "dermoscopic")
    assert (images["ISIC_0000002"].diagnosis, images["ISIC_0000002"].malignant) == ("Schwannoma", False)
    assert (images["ISIC_0000003"].diagnosis, images["ISIC_0000003"].malignant) == ("Solar or actinic keratosis", None)
    assert reasons(listing) == {
        "ISIC_0000004.jpg": "'Atypical melanocytic neoplasm': the ISIC Archive says neither benign nor malignant",
        "ISIC_0000005.jpg": "the ISIC Archive names no diagnosis",
    }


def test_the_isic_archive_of_before_2024(tmp_path: Path) -> None:
    touch(tmp_path, "ISIC_0000001.JPG", "ISIC_0000002.JPG")
    columns = "isic_id,attribution,copyright_license,age_approx,benign_malignant,diagnosis,lesion_id,sex"
    rows: list[dict[str, object]] = [
        {"isic_id": "ISIC_0000001", "benign_malignant": "malignant", "diagnosis": "melanoma"},
        {"isic_id": "ISIC_0000002", "benign_malignant": "benign"},
    ]
    write(tmp_path, {"challenge-2020_metadata.csv": table(columns, *rows)})
    assert [(image.diagnosis, image.malignant) for image in find_images(tmp_path).images] == [
        ("melanoma", True),
        ("benign", False),
    ]


def test_an_isic_table_without_any_diagnosis_is_an_error(tmp_path: Path) -> None:
    touch(tmp_path, "ISIC_0000001.jpg")
    write(tmp_path, {"metadata.csv": "isic_id,attribution,copyright_license,sex\nISIC_0000001,,CC-0,male\n"})
    with pytest.raises(DataError, match="no column names the diagnosis"):
        find_images(tmp_path)


# PAD-UFES-20 and Derm7pt


def test_pad_ufes_20(tmp_path: Path) -> None:
    touch(tmp_path, "images/imgs_part_1/PAT_1516_1765_530.png", "images/imgs_part_2/PAT_46_881_939.png")
    rows: list[dict[str, object]] = [
        {"patient_id": "PAT_1516", "lesion_id": "1765", "age": "8", "region": "ARM", "diagnostic": "NEV"}
        | {"img_id": "PAT_1516_1765_530.png", "biopsed": "False"},
        {"patient_id": "PAT_46", "lesion_id": "881", "age": "55", "gender": "FEMALE", "fitspatrick": "3.0"}
        | {"region": "NECK", "diagnostic": "BCC", "img_id": "PAT_46_881_939.png", "biopsed": "True"},
    ]
    listing = find_images(write(tmp_path, {"metadata.csv": table(PAD_COLUMNS, *rows)}))
    images = by_stem(listing)
    assert listing.kind == "PAD-UFES-20"
    bcc = images["PAT_46_881_939"]
    assert (bcc.diagnosis, bcc.patient_id, bcc.lesion_id, bcc.licence) == ("BCC", "PAT_46", "881", "CC BY 4.0")
    assert bcc.columns == {"age": "55", "sex": "female", "site": "neck", "skin_type": "3.0", "biopsied": "true"}


def derm7pt(root: Path, test_index: str = "2") -> Path:
    rows: list[dict[str, object]] = [
        {"case_num": 1, "diagnosis": "basal cell carcinoma", "derm": "NEL/Nel026.jpg", "clinic": "NEL/NEL025.JPG"},
        {"case_num": 2, "diagnosis": "melanoma (less than 0.76 mm)", "derm": "FAL/Fal094.jpg", "sex": "female"},
        {"case_num": 3, "diagnosis": "clark nevus", "derm": "FFL/Ffl001.jpg", "location": "back"},
        {"case_num": 4, "diagnosis": "miscellaneous", "derm": "FFL/Ffl002.jpg"},
    ]
    # The capitals of a file's name and of the table's differ in the release.
    touch(root, "images/NEL/NEL026.jpg", "images/NEL/NEL025.JPG", "images/FAL/Fal094.jpg", "images/FFL/Ffl001.jpg")
    touch(root, "images/FFL/Ffl002.jpg")
    indexes = {"train": "0", "valid": "1", "test": test_index}
    tables = {f"meta/{name}_indexes.csv": f"indexes\n{index}\n" for name, index in indexes.items()}
    return write(root, {"meta/meta.csv": table(DERM7PT_COLUMNS, *rows)} | tables)


def test_derm7pt_takes_the_dermoscopic_images_and_its_splits(tmp_path: Path) -> None:
    listing = find_images(derm7pt(tmp_path))
    assert listing.kind == "Derm7pt"
    assert {image.path.name: (image.diagnosis, image.split, image.lesion_id) for image in listing.images} == {
        "NEL026.jpg": ("basal cell carcinoma", "train", "case 1"),
        "Fal094.jpg": ("melanoma (less than 0.76 mm)", "val", "case 2"),
        "Ffl001.jpg": ("clark nevus", "test", "case 3"),
    }
    assert reasons(listing) == {"images/FFL/Ffl002.jpg": "diagnosis 'miscellaneous': the source does not say which"}


@pytest.mark.parametrize(
    ("index", "message"), [("9", "4 rows, but an index file names row 9"), ("x", "indexes is 'x'")]
)
def test_derm7pt_with_indexes_of_another_release_is_an_error(tmp_path: Path, index: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        find_images(derm7pt(tmp_path, index))


# DermaMNIST


def write_dermamnist(path: Path, size: int = 28, num: Sequence[int] = (14, 7, 7)) -> dict[str, np.ndarray]:
    """A file in MedMNIST's layout, as its authors make it with savez_compressed."""
    random = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    for split, count in zip(("train", "val", "test"), num, strict=True):
        arrays[f"{split}_images"] = random.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
        arrays[f"{split}_labels"] = (np.arange(count, dtype=np.uint8) % 7)[:, None]
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    return arrays


@pytest.mark.parametrize(("name", "size"), [("dermamnist.npz", 28), ("dermamnist_64.npz", 64)])
@pytest.mark.parametrize("as_folder", [True, False])
def test_dermamnist_keeps_its_splits(tmp_path: Path, name: str, size: int, as_folder: bool) -> None:
    write_dermamnist(tmp_path / name, size)
    listing = find_images(tmp_path if as_folder else tmp_path / name)
    assert listing.kind == "DermaMNIST"
    assert [sum(image.split == split for image in listing.images) for split in ("train", "val", "test")] == [14, 7, 7]
    assert listing.images[4].diagnosis == "melanoma"
    assert listing.images[4].path == Path(f"{name}/train_images/00004")


def test_two_sizes_of_dermamnist_are_an_error(tmp_path: Path) -> None:
    for name in ("dermamnist.npz", "dermamnist_64.npz"):
        write_dermamnist(tmp_path / name)
    with pytest.raises(DataError, match="holds 2 sizes of DermaMNIST"):
        find_images(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"val_labels": None}, "no array 'val_labels'"),
        ({"val_labels": np.full((7, 1), 7, dtype=np.uint8)}, "label 7 in val_labels"),
        ({"val_images": np.zeros((7, 28, 28), dtype=np.uint8)}, r"val_images has shape \(7, 28, 28\)"),
        ({"val_images": np.zeros((6, 28, 28, 3), dtype=np.uint8)}, "7 labels"),
        ({"val_images": np.zeros((7, 28, 28, 3), dtype=np.float32)}, "array 'val_images' is float32"),
        ({"val_images": np.array([{}] * 7, dtype=object)}, "array 'val_images' is object"),
    ],
)
def test_a_wrong_dermamnist_is_an_error(tmp_path: Path, change: dict[str, np.ndarray | None], message: str) -> None:
    arrays: dict[str, np.ndarray | None] = {**write_dermamnist(tmp_path / "dermamnist.npz"), **change}
    kept = {key: array for key, array in arrays.items() if array is not None}
    np.savez_compressed(tmp_path / "dermamnist.npz", **kept)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=message):
        find_images(tmp_path)


# Tables of one's own

COLUMNS = TableColumns(image="file", diagnosis="dx", lesion="lesion", patient="patient", split="fold")


def write_own_table(root: Path, suffix: str, rows: list[dict[str, object]]) -> Path:
    path = root / f"mine{suffix}"
    if suffix == ".parquet":
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        text = table(",".join(rows[0]), *rows)
        path.write_text(text.replace(",", "\t") if suffix == ".tsv" else text, encoding="utf-8")
    return path


def own_rows() -> list[dict[str, object]]:
    return [
        {
            "file": "photos/a.jpg",
            "dx": "melanoma",
            "lesion": "L1",
            "patient": "P1",
            "fold": "train",
            "age": 71,
            "label": 1,
        },
        {"file": "b", "dx": "nevus", "lesion": "L2", "patient": "P1", "fold": "testing", "age": None, "label": 0},
        {"file": "c.png", "dx": "nevus", "lesion": "", "patient": "P2", "fold": "", "age": 30, "label": 0},
        {"file": "../secret.png", "dx": "nevus", "lesion": "", "patient": "P2", "fold": "", "age": 30, "label": 0},
        {"file": "twice.png", "dx": "nevus", "lesion": "", "patient": "P2", "fold": "", "age": 30, "label": 0},
    ]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_a_table_of_ones_own_with_columns_named_by_flags(tmp_path: Path, suffix: str) -> None:
    root = touch(tmp_path / "data", "photos/a.jpg", "photos/b.jpeg", "c.png", "one/twice.png", "two/twice.png")
    touch(tmp_path, "secret.png")
    listing = find_images(write_own_table(root, suffix, own_rows()), COLUMNS)
    assert listing.kind == "table"
    assert [(image.path.as_posix(), image.diagnosis, image.split) for image in listing.images] == [
        ("c.png", "nevus", ""),
        ("photos/a.jpg", "melanoma", "train"),
        ("photos/b.jpeg", "nevus", "test"),
    ]
    melanoma = listing.images[1]
    assert (melanoma.lesion_id, melanoma.patient_id) == ("L1", "P1")
    assert melanoma.columns == {"age": "71", "label_in_table": "1"}
    assert reasons(listing) == {
        "../secret.png": "in the table, but no such image file",
        "twice.png": "two files have this name; give the path",
    }


def test_a_table_needs_its_columns_named(tmp_path: Path) -> None:
    path = write_own_table(touch(tmp_path, "a.jpg"), ".csv", [{"file": "a.jpg", "dx": "nevus"}])
    with pytest.raises(ConfigError, match="--image-column and --diagnosis-column"):
        find_images(path)
    with pytest.raises(DataError, match=r"missing columns \['diagnosis'\]. Found: \['file', 'dx'\]"):
        find_images(path, TableColumns(image="file", diagnosis="diagnosis"))
    with pytest.raises(DataError, match="Perhaps 'file' for 'files'"):
        find_images(path, TableColumns(image="files", diagnosis="dx"))


def test_an_unknown_split_in_a_table_is_an_error(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"file": "a.jpg", "dx": "nevus", "fold": "third"}]
    path = write_own_table(touch(tmp_path, "a.jpg"), ".csv", rows)
    with pytest.raises(DataError, match="row 2: split 'third' is unknown"):
        find_images(path, TableColumns(image="file", diagnosis="dx", split="fold"))


def test_a_column_without_a_name_is_nobodys(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    write(tmp_path, {"mine.csv": ",file,dx\n0,a.jpg,nevus\n1,b.jpg,melanoma\n"})
    listing = find_images(tmp_path / "mine.csv", TableColumns(image="file", diagnosis="dx"))
    assert [(image.split, image.lesion_id, image.patient_id, image.columns) for image in listing.images] == [
        ("", "", "", {}),
        ("", "", "", {}),
    ]


def test_columns_named_like_those_of_predictions_are_renamed(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    write(tmp_path, {"mine.csv": "file,dx,logit_malignant,also_in,age\na.jpg,nevus,9,train,40\n"})
    (image,) = find_images(tmp_path / "mine.csv", TableColumns(image="file", diagnosis="dx")).images
    assert image.columns == {"logit_malignant_in_table": "9", "also_in_in_table": "train", "age": "40"}


def test_bytes_in_a_parquet_table_are_left_out_and_cells_too_long_for_a_manifest_refused(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    touch(tmp_path, "a.jpg")
    columns = {"file": ["a.jpg"], "dx": ["nevus"], "picture": [bytes(200_000)], "age": [40]}
    path, flags = tmp_path / "mine.parquet", TableColumns(image="file", diagnosis="dx")
    parquet.write_table(pyarrow.table(columns), path)
    (image,) = find_images(path, flags).images
    assert image.columns == {"age": "40"}
    parquet.write_table(pyarrow.table(columns | {"notes": ["x" * 131_073]}), path)
    with pytest.raises(
        DataError, match=r"column 'notes' holds a cell of 131,073 characters\. Expected 131,072 or fewer"
    ):
        find_images(path, flags)


def test_a_path_is_of_one_file_though_others_have_its_name(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "thumbs/a.jpg", "a.jpg.png")
    write(tmp_path, {"mine.csv": "file,dx\na.jpg,nevus\nthumbs/a.jpg,melanoma\na,melanoma\n"})
    listing = find_images(tmp_path / "mine.csv", TableColumns(image="file", diagnosis="dx"))
    found = {image.path.as_posix(): image.diagnosis for image in listing.images}
    assert found == {"a.jpg": "nevus", "thumbs/a.jpg": "melanoma"}
    assert reasons(listing) == {"a": "two files have this name; give the path"}


@pytest.mark.parametrize("value", ["not text", "nanoseconds", "too late"])
def test_a_value_of_parquet_that_cannot_be_read_is_an_error_that_names_its_column(tmp_path: Path, value: str) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    ends = np.array([0, 3], dtype=np.int32).tobytes()
    column = {
        "not text": pyarrow.Array.from_buffers(
            pyarrow.string(), 1, [None, pyarrow.py_buffer(ends), pyarrow.py_buffer(b"a\xe9b")]
        ),
        "nanoseconds": pyarrow.array([1], pyarrow.timestamp("ns")),
        "too late": pyarrow.array([2**62], pyarrow.timestamp("us")),
    }[value]
    touch(tmp_path, "a.jpg")
    parquet.write_table(pyarrow.table({"file": ["a.jpg"], "dx": ["nevus"], "taken": column}), tmp_path / "mine.parquet")
    with pytest.raises(DataError, match=r"mine\.parquet: column 'taken' holds a value that cannot be read"):
        find_images(tmp_path / "mine.parquet", TableColumns(image="file", diagnosis="dx"))


# What all tables share


@pytest.mark.parametrize(
    ("name", "image", "header", "missing"),
    [
        ("HAM10000_metadata.csv", "ISIC_1.jpg", "image_id,lesion_id,diagnosis", "dx"),
        ("ISIC2018_Task3_Training_GroundTruth.csv", "ISIC_1.jpg", "image,MEL,NV,BCC,AKIEC,BKL,DF", "VASC"),
        ("ISIC_2019_Training_GroundTruth.csv", "ISIC_1.jpg", "image,MEL,NV,BCC,AK,BKL,DF,VASC,UNK", "SCC"),
        (
            "ISIC_2020_Training_GroundTruth.csv",
            "ISIC_1.jpg",
            "image_name,patient,diagnosis,benign_malignant",
            "patient_id",
        ),
        ("train-metadata.csv", "ISIC_1.jpg", "isic_id,patient_id", "target"),
        ("metadata.csv", "PAT_1_1_1.png", "patient_id,lesion_id,img_id", "diagnostic"),
        ("meta.csv", "images/NEL/a.jpg", "case_num,derm", "diagnosis"),
    ],
)
def test_a_missing_column_is_named(tmp_path: Path, name: str, image: str, header: str, missing: str) -> None:
    touch(tmp_path, image)
    write(tmp_path, {name: header + "\n"})
    with pytest.raises(
        DataError, match=rf"{name}: missing columns \['{missing}'\]\. Found: \['{header.split(',')[0]}'"
    ):
        find_images(tmp_path)


def test_a_table_that_names_an_image_twice_is_an_error(tmp_path: Path) -> None:
    touch(tmp_path, "ISIC_1.jpg")
    write(tmp_path, {"HAM10000_metadata.csv": "image_id,lesion_id,dx\nISIC_1,a,nv\nISIC_1,b,mel\n"})
    with pytest.raises(DataError, match="image_id 'ISIC_1' is in two rows"):
        find_images(tmp_path)


def test_a_table_that_is_none_is_an_error(tmp_path: Path) -> None:
    touch(tmp_path, "ISIC_1.jpg")
    (tmp_path / "HAM10000_metadata.csv").write_bytes(b"image_id,lesion_id,dx\nISIC_1,\xff,nv\n")
    with pytest.raises(DataError, match="is not a CSV table in UTF-8"):
        find_images(tmp_path)


def test_none_of_the_images_described_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, {"HAM10000_metadata.csv": "image_id,lesion_id,dx\nISIC_1,a,nv\n"})
    with pytest.raises(DataError, match="none of 1 images can be used: in HAM10000_metadata"):
        find_images(tmp_path)
