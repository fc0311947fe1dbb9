"""Published releases in their own layouts, known by the headers of their tables whatever these are called."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from nevus.core.errors import DataError
from nevus.data.sources import Listing, find_images

# Of an image: diagnosis, what the source says of malignancy, split, lesion.
Said = tuple[str, bool | None, str, str]


@dataclass(frozen=True)
class Release:
    kind: str
    tables: dict[str, str]
    images: tuple[str, ...]
    said: dict[str, Said]
    rejected: dict[str, str] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)


MILK_CLASSES = "AKIEC,BCC,BEN_OTH,BKL,DF,INF,MAL_OTH,MEL,NV,SCCKA,VASC"
HAM_COLUMNS = "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset"
BCN_COLUMNS = "bcn_filename,age_approx,anatom_site_general,diagnosis,lesion_id,capture_date,sex,split"
HAM_ROW = "HAM_0000550,ISIC_0024306,nv,follow_up,45.0,male,back,vidir_molemax"
HAM_TEST_ROW = "HAMTEST_0000000,ISIC_0034524,mel,histo,40.0,female,face,vidir_modern"


def milk_row(lesion: str, name: str) -> str:
    return f"{lesion},{','.join('1.0' if each == name else '0.0' for each in MILK_CLASSES.split(','))}\n"


def tabbed(text: str) -> str:
    return "\n".join("\t".join(f'"{cell}"' for cell in line.split(",")) for line in text.splitlines()) + "\n"


RELEASES = {
    "a collection of the ISIC Archive": Release(
        "ISIC Archive",
        {
            "bcn20000_metadata_2025-07-22.csv": "isic_id,attribution,copyright_license,age_approx,anatom_site_general,"
            "diagnosis_1,diagnosis_2,diagnosis_3,image_type,lesion_id,sex\n"
            "ISIC_9100000,Clinic,CC-BY-NC,55,anterior torso,Benign,Benign melanocytic,Nevus,dermoscopic,IL_1,male\n"
            'ISIC_9100001,Clinic,CC-BY-NC,60,,Malignant,Malignant melanocytic,"Melanoma, NOS",dermoscopic,IL_2,female\n'
        },
        ("ISIC-images/ISIC_9100000.jpg", "ISIC-images/ISIC_9100001.jpg"),
        {
            "ISIC_9100000": ("Nevus", False, "", "IL_1"),
            "ISIC_9100001": ("Melanoma, NOS", True, "", "IL_2"),
        },
    ),
    "MILK10k": Release(
        "MILK10k",
        {
            "MILK10k_Training_GroundTruth.csv": f"lesion_id,{MILK_CLASSES}\n"
            + milk_row("IL_1", "SCCKA")
            + milk_row("IL_2", "INF")
            + milk_row("IL_3", "MAL_OTH"),
            "MILK10k_Training_Metadata.csv": "lesion_id,image_type,isic_id,attribution,copyright_license,"
            "image_manipulation,age_approx,sex,skin_tone_class,site,MONET_hair\n"
            "IL_1,clinical: close-up,ISIC_1,MILK,CC-BY-NC,instrument only,60,female,3,trunk,0.1\n"
            "IL_1,dermoscopic,ISIC_2,MILK,CC-BY-NC,instrument only,60,female,3,trunk,0.1\n"
            "IL_2,dermoscopic,ISIC_4,MILK,CC-BY-NC,instrument only,60,female,3,trunk,0.1\n"
            "IL_3,dermoscopic,ISIC_6,MILK,CC-BY-NC,instrument only,60,female,3,trunk,0.1\n"
            "IL_9,dermoscopic,ISIC_8,MILK,CC-BY-NC,instrument only,60,female,3,trunk,0.1\n",
            "MILK10k_Training_Supplement.csv": "isic_id,diagnosis_full,diagnosis_confirm_type\nISIC_1,x,histo\n",
        },
        tuple(
            f"MILK10k_Training_Input/IL_{lesion}/ISIC_{image}.jpg"
            for lesion, image in ((1, 1), (1, 2), (2, 4), (3, 6), (9, 8))
        ),
        {
            "ISIC_2": ("SCCKA", None, "", "IL_1"),
            "ISIC_4": ("INF", False, "", "IL_2"),
            "ISIC_6": ("MAL_OTH", True, "", "IL_3"),
        },
        {"ISIC_1": "only dermoscopic images are taken", "ISIC_8": "no diagnosis in the ground truth"},
        {"age": "60", "sex": "female", "site": "trunk", "skin_type": "3"},
    ),
    "ISIC 2024 Permissive": Release(
        "ISIC 2024",
        {
            "ISIC_2024_Permissive_Training_GroundTruth.csv": "isic_id,malignant\nISIC_1,0.0\nISIC_2,1.0\n",
            "ISIC_2024_Permissive_Training_Input/metadata.csv": "isic_id,attribution,copyright_license,age_approx,"
            "anatom_site_general,image_type,patient_id,sex\n"
            "ISIC_1,Centre,CC-BY,60,head/neck,TBP tile: close-up,IP_1,male\n"
            "ISIC_2,Centre,CC-0,50,,TBP tile: close-up,IP_2,female\n",
            "ISIC_2024_Permissive_Training_Supplement.csv": "isic_id,iddx_full,iddx_1,iddx_3,lesion_id\n"
            "ISIC_1,Benign,Benign,,\nISIC_2,Malignant::Melanoma,Malignant,Melanoma in situ,IL_2\n",
        },
        ("ISIC_2024_Permissive_Training_Input/ISIC_1.jpg", "ISIC_2024_Permissive_Training_Input/ISIC_2.jpg"),
        {"ISIC_1": ("Benign", False, "", ""), "ISIC_2": ("Melanoma in situ", True, "", "IL_2")},
    ),
    "ISIC 2018's test of Dataverse": Release(
        "ISIC 2018 task 3",
        {"ISIC2018_Task3_Test_GroundTruth.csv": f"{HAM_COLUMNS}\n{HAM_TEST_ROW}\n"},
        ("ISIC2018_Task3_Test_Images/ISIC_0034524.jpg",),
        {"ISIC_0034524": ("mel", None, "test", "HAMTEST_0000000")},
    ),
    "the whole page of HAM10000 at Dataverse": Release(
        "HAM10000",
        {
            "HAM10000_metadata.tab": tabbed(f"{HAM_COLUMNS}\n{HAM_ROW}\n"),
            "ISIC2018_Task3_Test_GroundTruth.tab": tabbed(f"{HAM_COLUMNS}\n{HAM_TEST_ROW}\n"),
            "ISIC2018_Task3_Test_NatureMedicine_AI_Interaction_Benefit.tab": "image_id\tprob\nISIC_0034524\t.5\n",
        },
        (
            "HAM10000_images_part_1/ISIC_0024306.jpg",
            "HAM10000_segmentations_lesion_tschandl/ISIC_0024306_segmentation.png",
            "ISIC2018_Task3_Test_Images/ISIC_0034524.jpg",
        ),
        {
            "ISIC_0024306": ("nv", None, "train", "HAM_0000550"),
            "ISIC_0034524": ("mel", None, "test", "HAMTEST_0000000"),
        },
        columns={"age": "45.0", "sex": "male", "site": "back"},
    ),
    "ISIC 2016": Release(
        "ISIC 2016",
        {
            "ISBI2016_ISIC_Part3_Training_GroundTruth.csv": "ISIC_0000000,benign\nISIC_0000002,malignant\n",
            "ISBI2016_ISIC_Part3_Test_GroundTruth.csv": "ISIC_0000003,0.0\nISIC_0000009,1.0\n",
        },
        (
            "ISBI2016_ISIC_Part3_Training_Data/ISIC_0000000.jpg",
            "ISBI2016_ISIC_Part3_Training_Data/ISIC_0000002.jpg",
            "ISBI2016_ISIC_Part3_Training_Data/ISIC_0000002_Segmentation.png",
            "ISBI2016_ISIC_Part3_Test_Data/ISIC_0000003.jpg",
            "ISBI2016_ISIC_Part3_Test_Data/ISIC_0000009.jpg",
        ),
        {
            "ISIC_0000000": ("benign", False, "train", ""),
            "ISIC_0000002": ("malignant", True, "train", ""),
            "ISIC_0000003": ("benign", False, "test", ""),
            "ISIC_0000009": ("malignant", True, "test", ""),
        },
    ),
    "ISIC 2017": Release(
        "ISIC 2017",
        {
            "ISIC-2017_Training_Part3_GroundTruth.csv": "image_id,melanoma,seborrheic_keratosis\n"
            "ISIC_0000000,0.0,0.0\nISIC_0000002,1.0,0.0\n",
            "ISIC-2017_Test_v2_Part3_GroundTruth.csv": "image_id,melanoma,seborrheic_keratosis\nISIC_0012086,0.0,1.0\n",
            "ISIC-2017_Training_Data/ISIC-2017_Training_Data_metadata.csv": "image_id,age_approximate,sex\n"
            "ISIC_0000000,55,female\nISIC_0000002,unknown,male\n",
        },
        (
            "ISIC-2017_Training_Data/ISIC_0000000.jpg",
            "ISIC-2017_Training_Data/ISIC_0000000_superpixels.png",
            "ISIC-2017_Training_Data/ISIC_0000002.jpg",
            "ISIC-2017_Test_v2_Data/ISIC_0012086.jpg",
        ),
        {
            "ISIC_0000000": ("nevus", None, "train", ""),
            "ISIC_0000002": ("melanoma", None, "train", ""),
            "ISIC_0012086": ("seborrheic_keratosis", None, "test", ""),
        },
        columns={"age": "55", "sex": "female"},
    ),
    "PH2": Release(
        "PH2",
        {
            "PH2Dataset/PH2_dataset.txt": "|| Name    || Histological Diagnosis || Clinical Diagnosis || Asymmetry ||\n"
            "|| IMD003  ||                        ||                  0 ||         0 |T| A | A || 4 ||\n"
            "|| IMD009  ||                        ||                  1 ||         0 |T| A | A || 4 ||\n"
            "|| IMD058  || Melanoma               ||                  2 ||         2 |AT| P | A || 4 5 6 ||\n"
            "Legends:\nClinical Diagnosis:\n 0 - Common Nevus; 1 - Atypical Nevus; 2 - Melanoma.\n",
            "PH2Dataset/PH2_dataset.xlsx": "PK",
        },
        tuple(
            f"PH2Dataset/PH2 Dataset images/{name}/{name}_{part}/{name}{suffix}.bmp"
            for name in ("IMD003", "IMD009", "IMD058")
            for part, suffix in (("Dermoscopic_Image", ""), ("lesion", "_lesion"), ("roi", "_R1_Label2"))
        ),
        {
            "IMD003": ("common nevus", None, "", ""),
            "IMD009": ("atypical nevus", None, "", ""),
            "IMD058": ("melanoma", None, "", ""),
        },
    ),
    "DDI": Release(
        "DDI",
        {
            "ddi_metadata.csv": ",DDI_ID,DDI_file,skin_tone,malignant,disease\n"
            "0,1,000001.png,56,True,melanoma-in-situ\n"
            "1,2,000002.png,12,False,epidermal-cyst\n"
        },
        ("000001.png", "000002.png"),
        {"000001": ("melanoma-in-situ", True, "", ""), "000002": ("epidermal-cyst", False, "", "")},
        columns={"skin_type": "56"},
    ),
    "BCN20000 of figshare": Release(
        "BCN20000",
        {
            "bcn_20k_train.csv": f"{BCN_COLUMNS}\n"
            "BCN_0000000001.jpg,55.0,anterior torso,MEL,BCN_0003884,2012-05-16,male,train\n"
            "BCN_0000000003.jpg,50.0,,OOD,BCN_0000019,2015-07-09,female,train\n",
            "bcn_20k_test.csv": f"{BCN_COLUMNS}\n"
            "BCN_0000012500.jpg,85.0,head/neck,SCC,BCN_0001,2015-07-09,female,test\n",
        },
        (
            "BCN_20k_train/bcn_20k_train/BCN_0000000001.jpg",
            "BCN_20k_train/bcn_20k_train/BCN_0000000003.jpg",
            "BCN_20k_test/bcn_20k_test/BCN_0000012500.jpg",
        ),
        {
            "BCN_0000000001": ("MEL", None, "train", "BCN_0003884"),
            "BCN_0000012500": ("SCC", None, "test", "BCN_0001"),
        },
        {"BCN_0000000003": "class OOD"},
        {"age": "55.0", "sex": "male", "site": "anterior torso"},
    ),
    "Fitzpatrick17k": Release(
        "Fitzpatrick17k",
        {
            "fitzpatrick17k.csv": "md5hash,fitzpatrick_scale,fitzpatrick_centaur,label,nine_partition_label,"
            "three_partition_label,qc,url,url_alphanum\n"
            "5e82a45bc5d78bd24ae9202d194423f8,3,3,psoriasis,inflammatory,non-neoplastic,,https://a/p1.jpg,httpsap1jpg.jpg\n"
            "45f7fe0e10214e32e890cad9d29d4811,6,5,kaposi sarcoma,malignant dermal,malignant,,https://a/k.jpg,httpsakjpg.jpg\n"
            "fa2911a9b13b6f8af79cb700937cc14f,-1,1,nevus,benign melanocyte,benign,,https://a/n.jpg,httpsanjpg.jpg\n"
        },
        (
            "images/5e82a45bc5d78bd24ae9202d194423f8.jpg",
            "images/45f7fe0e10214e32e890cad9d29d4811.jpg",
            "images/httpsanjpg.jpg",
        ),
        {
            "5e82a45bc5d78bd24ae9202d194423f8": ("psoriasis", False, "", ""),
            "45f7fe0e10214e32e890cad9d29d4811": ("kaposi sarcoma", True, "", ""),
            "httpsanjpg": ("nevus", False, "", ""),
        },
        columns={"skin_type": "3"},
    ),
}


def lay_out(root: Path, release: Release) -> Path:
    for name, text in {**release.tables, **dict.fromkeys(release.images, "")}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def said(listing: Listing) -> dict[str, Said]:
    return {
        image.path.stem: (image.diagnosis, image.malignant, image.split, image.lesion_id) for image in listing.images
    }


@pytest.mark.parametrize("name", RELEASES)
def test_a_release_is_read_as_it_was_published(tmp_path: Path, name: str) -> None:
    release = RELEASES[name]
    listing = find_images(lay_out(tmp_path, release))
    assert listing.kind == release.kind
    assert said(listing) == release.said
    rejected = {path.stem: reason for path, reason in listing.rejected}
    assert rejected.keys() == release.rejected.keys()
    assert all(reason in rejected[stem] for stem, reason in release.rejected.items())
    first = next(iter(release.said))
    assert release.columns.items() <= next(
        image.columns.items() for image in listing.images if image.path.stem == first
    )


@pytest.mark.parametrize("name", sorted(RELEASES.keys() - {"ISIC 2016", "PH2"}))
def test_a_release_is_known_by_its_headers_whatever_its_tables_are_called(tmp_path: Path, name: str) -> None:
    release = RELEASES[name]
    renamed = {f"{number} table (1).csv": text for number, text in enumerate(release.tables.values())}
    listing = find_images(lay_out(tmp_path, Release(release.kind, renamed, release.images, release.said)))
    # Splits are told by the names of tables, or by a column.
    expected = {
        stem: (diagnosis, malignant, lesion) for stem, (diagnosis, malignant, _, lesion) in release.said.items()
    }
    assert {stem: (image[0], image[1], image[3]) for stem, image in said(listing).items()} == expected


def test_ph2_with_its_excel_sheet_alone_says_what_is_read(tmp_path: Path) -> None:
    release = RELEASES["PH2"]
    lay_out(tmp_path, release)
    (tmp_path / "PH2Dataset/PH2_dataset.txt").unlink()
    with pytest.raises(DataError, match=r"PH2_dataset\.xlsx is the table of PH2, .* reads from PH2_dataset\.txt"):
        find_images(tmp_path)


def test_carcinomas_called_benign_for_not_being_melanoma_are_not_benign(tmp_path: Path) -> None:
    rows = ("a,-1,BCC,benign,0", "b,-1,MEL,malignant,1", "c,-1,NV,benign,0")
    text = "\n".join(("image_name,patient_id,diagnosis,benign_malignant,target", *rows))
    lay_out(tmp_path, Release("", {"train.csv": text}, ("train/a.jpg", "train/b.jpg", "train/c.jpg"), {}))
    assert {image.diagnosis: image.malignant for image in find_images(tmp_path).images} == {
        "BCC": None,
        "MEL": True,
        "NV": False,
    }


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("ISIC 2016", "ISIC_0000003,0.0", "ISIC_0000003,perhaps", "row 1: .*perhaps.*Expected an image, then benign"),
        ("ISIC 2017", "ISIC_0000002,1.0,0.0", "ISIC_0000002,1.0,1.0", "'ISIC_0000002' has 1 in both"),
        ("PH2", "||                  1 ||", "||                  7 ||", "clinical diagnosis of IMD009 is '7'"),
        ("DDI", "False", "maybe", "malignant of '000002' is 'maybe'. Expected one of true, false"),
        ("Fitzpatrick17k", ",benign,,", ",odd,,", "three_partition_label of 'fa29.*' is 'odd'"),
        ("MILK10k", "IL_2,0.0", "IL_2,1.0", "lesion 'IL_2' has 2 of 1"),
    ],
)
def test_a_wrong_cell_is_an_error_that_names_it(tmp_path: Path, name: str, old: str, new: str, message: str) -> None:
    release = RELEASES[name]
    tables = {table: text.replace(old, new) for table, text in release.tables.items()}
    assert tables != release.tables
    lay_out(tmp_path, Release(release.kind, tables, release.images, {}))
    with pytest.raises(DataError, match=message):
        find_images(tmp_path)


@pytest.mark.parametrize(
    ("names", "title"),
    [
        (("ISIC_2020_Test_Input/ISIC_1.jpg", "ISIC_2020_Test_Metadata.csv"), "the test images of ISIC 2020"),
        (("MILK10k_Test_Input/IL_1/ISIC_1.jpg", "MILK10k_Test_Metadata.csv"), "the test images of MILK10k"),
        (("ISIC2018_Task1-2_Training_Input/ISIC_1.jpg",), "tasks 1 and 2 of ISIC 2018"),
        (("ISIC-2017_Test_v2_Part1_GroundTruth/ISIC_1_segmentation.png",), "parts 1 and 2 of ISIC 2017"),
        (("ISBI2016_ISIC_Part1_Training_Data/ISIC_1.jpg",), "parts 1 and 2 of ISIC 2016"),
        (("hmnist_28_28_RGB.csv", "hmnist_8_8_L.csv"), "HAM10000 as a table of pixels"),
        (("derm12345_metadata_train.csv", "derm12345_train_part_1/a.jpg"), "DERM12345"),
        (("dataset/scin_labels.csv", "dataset/images/1.png"), "SCIN"),
        (("train00-2071.tfrec", "train01-2071.tfrec"), "a set of TFRecord files"),
        (("PH2Dataset.rar",), "an archive of a kind that is not read"),
        (("images.tar.bz2",), "a tar archive of a compression that is not read"),
    ],
)
def test_a_release_that_is_known_and_not_read_is_called_by_its_name(
    tmp_path: Path, names: tuple[str, ...], title: str
) -> None:
    lay_out(tmp_path, Release("", {}, names, {}))
    with pytest.raises(DataError, match=f"this is {title}, which Nevus knows and does not read"):
        find_images(tmp_path)


def test_an_archive_that_is_not_read_next_to_images_that_are_is_ignored(tmp_path: Path) -> None:
    lay_out(tmp_path, Release("", {}, ("nv/1.jpg", "mel/2.jpg", "more.rar"), {}))
    listing = find_images(tmp_path)
    assert (listing.kind, listing.num_ignored) == ("class folders", 1)
