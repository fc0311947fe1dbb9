from pathlib import Path

import numpy as np
from PIL import Image

from nevus.core.dataset import Dataset
from nevus.core.runs import Run
from nevus.learn.training import preview
from nevus.learn.training.preview import write_preview
from nevus.learn.training.recipe import RECIPES


def test_each_source_and_class_has_a_row_that_begins_with_the_image_as_it_is(
    tiny_dataset: Dataset, tmp_path: Path
) -> None:
    run = Run(tmp_path)
    for _ in range(2):  # A picture that is there is replaced.
        write_preview(run, tiny_dataset, RECIPES["robust"].augmentation, seed=3)
    sheet = np.asarray(Image.open(run.augmented_jpg)).astype(float)
    keys = sorted({(row.source, row.label) for row in tiny_dataset.rows_of("train")})
    step, side = preview._SIDE + preview._GAP, preview._SIDE
    assert sheet.shape == (len(keys) * step - preview._GAP, 7 * step - preview._GAP, 3)
    for number, key in enumerate(keys):
        first = next(row for row in tiny_dataset.rows_of("train") if (row.source, row.label) == key)
        original = Image.fromarray(tiny_dataset.pixels[first.pixel_index]).resize((side, side), Image.Resampling.BOX)
        places = [sheet[number * step :, column * step :][:side, :side] for column in range(7)]
        differences = [np.abs(place - np.asarray(original)).mean() for place in places]
        # The images are noise of all colours, of which JPEG keeps the coarse part; variations keep nothing in place.
        assert min(differences[1:]) > 1.5 * differences[0]
    assert [path.name for path in tmp_path.iterdir()] == ["augmented.jpg"]
