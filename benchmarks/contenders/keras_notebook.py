"""The classic network as notebooks write it: image_dataset_from_directory, augmentation layers, fit, predict.

    keras_notebook.py train FOLDER SIZE EPOCHS     epoch lines to standard error, images a second at the end
    keras_notebook.py memory SIZE                  images a second of model.predict, pixels in memory
    keras_notebook.py files FOLDER SIZE            the same from a folder of JPEGs
    keras_notebook.py first MODEL.keras IMAGE      loads a model and answers for one image

Nothing of Nevus is used: this is what it is compared with.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable

import keras
import numpy as np
from keras import layers

BATCH_SIZE = 32


def build(size: int, augmented: bool) -> keras.Model:
    steps = [
        layers.RandomFlip("horizontal_and_vertical"),
        layers.RandomRotation(0.1),
        layers.RandomZoom(0.1),
    ]
    return keras.Sequential(
        [
            keras.Input((size, size, 3)),
            *(steps if augmented else []),
            layers.Rescaling(1 / 255),
            *(
                layer
                for filters in (32, 64, 128)
                for layer in (
                    layers.Conv2D(filters, 3, padding="same", activation="relu"),
                    layers.BatchNormalization(),
                    layers.MaxPooling2D(),
                )
            ),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.4),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


Logs = dict[str, float] | None


class Report(keras.callbacks.Callback):
    """Prints validation ROC-AUC of each epoch and keeps the training speed, validation left out."""

    def __init__(self, num_images: int) -> None:
        super().__init__()
        self.num_images = num_images
        self.speeds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.began = self.ended = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        self.ended = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self.speeds.append(self.num_images / (self.ended - self.began))
        print(f"epoch {epoch + 1}  val ROC-AUC {(logs or {})['val_auc']:.4f}", file=sys.stderr, flush=True)


def train(folder: str, size: int, epochs: int) -> float:
    options = {"image_size": (size, size), "batch_size": BATCH_SIZE, "label_mode": "binary", "seed": 0}
    split = {"validation_split": 0.15, "verbose": False}
    training = keras.utils.image_dataset_from_directory(folder, subset="training", **options, **split)
    validation = keras.utils.image_dataset_from_directory(folder, subset="validation", **options, **split)
    report = Report(len(training.file_paths))
    model = build(size, augmented=True)
    model.compile(keras.optimizers.Adam(1e-4), "binary_crossentropy", metrics=[keras.metrics.AUC(name="auc")])
    model.fit(
        training.cache().shuffle(1000).prefetch(2),
        validation_data=validation.cache().prefetch(2),
        epochs=epochs,
        callbacks=[report],
        verbose=0,
    )
    # The first epoch also traces the graph and decodes the files.
    return statistics.median(report.speeds[1:] or report.speeds)


def memory(size: int, num_images: int = 512) -> float:
    model = build(size, augmented=False)
    pixels = np.random.default_rng(0).integers(0, 256, (num_images, size, size, 3), dtype=np.uint8)
    model.predict(pixels[:64], verbose=0)
    start = time.perf_counter()
    model.predict(pixels, verbose=0)
    return num_images / (time.perf_counter() - start)


def files(folder: str, size: int) -> float:
    model = build(size, augmented=False)
    images = keras.utils.image_dataset_from_directory(
        folder, labels=None, shuffle=False, image_size=(size, size), batch_size=BATCH_SIZE, verbose=False
    )
    model.predict(images.take(2), verbose=0)
    start = time.perf_counter()
    model.predict(images.prefetch(2), verbose=0)
    return float(len(images.file_paths)) / (time.perf_counter() - start)


def first(path: str, image: str) -> None:
    model = keras.models.load_model(path)
    pixels = keras.utils.img_to_array(keras.utils.load_img(image, target_size=model.input_shape[1:3]))
    print(model.predict(pixels[None], verbose=0)[0])


if __name__ == "__main__":
    task, *words = sys.argv[1:]
    if task == "first":
        first(*words)
    else:
        tasks: dict[str, Callable[..., float]] = {"train": train, "memory": memory, "files": files}
        figure = tasks[task](*(int(word) if word.isdigit() else word for word in words))
        print(json.dumps({"images_per_second": figure}))
