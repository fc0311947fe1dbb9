"""What the columns of a table without flags say, by the names that published sets give them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nevus.core.clinical import known
from nevus.core.errors import ConfigError
from nevus.data.sources.generic_table import TableColumns
from nevus.data.sources.listing import SourceImage
from nevus.data.sources.split_folders import SPLIT_FOLDERS

# In lower case; of several that a table has, the first holds.
_DIAGNOSIS = (
    "dx",
    "diagnosis",
    "disease",
    "condition",
    "label",
    "labels",
    "class",
    "class_name",
    "category",
    "benign_malignant",
    "malignant",
    "target",
)
_LESION = ("lesion_id", "lesion")
_PATIENT = ("patient_id", "patient", "subject_id")
_SPLIT = ("split", "partition", "fold")
_FURTHER = {
    "age": ("age", "age_approx"),
    "sex": ("sex", "gender"),
    "site": ("localization", "site", "anatom_site_general", "anatomic_site", "region"),
    "skin_type": ("skin_type", "fitzpatrick_skin_type", "fitzpatrick_scale", "fitzpatrick", "skin_tone"),
    "image_type": ("image_type",),
    "confirmed_by": ("dx_type", "diagnosis_confirm_type"),
}
_VERDICT = ("malignant", "benign_malignant")
_VERDICTS = {"true": True, "1": True, "malignant": True, "false": False, "0": False, "benign": False}


@dataclass(frozen=True, slots=True)
class Roles:
    """The columns of a table, by what they say; empty for those that it does not have."""

    diagnosis: str
    verdict: str
    lesion: str
    patient: str
    split: str
    further: Mapping[str, str]

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that say something, each once."""
        named = (self.diagnosis, self.verdict, self.lesion, self.patient, self.split, *self.further.values())
        return tuple(dict.fromkeys(name for name in named if name))

    def image(self, path: Path, row: Mapping[str, str], split: str = "") -> SourceImage:
        """What a row says of its image.

        Args:
            path: of the image.
            row: the cells of `columns`; one that is missing is empty.
            split: that the image has if the row names none.
        """
        cells = {column: known(row.get(column, "")) for column in self.columns}
        verdict = cells.get(self.verdict, "").lower().removesuffix(".0")
        return SourceImage(
            path,
            diagnosis=cells[self.diagnosis],
            malignant=_VERDICTS.get(verdict),
            split=SPLIT_FOLDERS.get(cells.get(self.split, "").lower(), split),
            lesion_id=cells.get(self.lesion, ""),
            patient_id=cells.get(self.patient, ""),
            columns={name: cells[column] for name, column in self.further.items()},
        )


def find_roles(where: str, found: Sequence[str], flags: TableColumns) -> Roles:
    """Tells what each column says, by the flags where they name it.

    Raises:
        ConfigError: no column names the diagnosis, or one that a flag names is not there.
    """
    for name in flags.named:
        if name not in found:
            raise ConfigError(f"{where} has no column '{name}'. Found: {', '.join(found)}. Name one of these.")
    diagnosis = flags.diagnosis or _first(_DIAGNOSIS, found)
    if not diagnosis:
        raise ConfigError(
            f"{where}: no column is known to name the diagnosis. Found: {', '.join(found)}. Name it with "
            "--diagnosis-column."
        )
    verdict = _first(_VERDICT, found)
    return Roles(
        diagnosis=diagnosis,
        verdict="" if verdict == diagnosis else verdict,
        lesion=flags.lesion or _first(_LESION, found),
        patient=flags.patient or _first(_PATIENT, found),
        split=flags.split or _first(_SPLIT, found),
        further={name: column for name, names in _FURTHER.items() if (column := _first(names, found))},
    )


def _first(names: Iterable[str], found: Sequence[str]) -> str:
    by_lower = {column.lower(): column for column in reversed(found)}
    return next((by_lower[name] for name in names if name in by_lower), "")
