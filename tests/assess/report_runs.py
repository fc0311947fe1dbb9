"""Small evaluated runs for the tests of the report: simulated logits, a real dataset and real files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nevus.assess.evaluation.evaluate import evaluate
from nevus.core.config import Config
from nevus.core.dataset import Dataset, DatasetInfo, DatasetSource
from nevus.core.files import write_json
from nevus.core.labels import Classes
from nevus.core.manifest import ManifestRow
from nevus.core.predictions import Predictions, write_predictions
from nevus.core.runs import Run

HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(1)>{{ 7*7 }}"""
BINARY = Classes(("benign", "malignant"), ("malignant",))


def make_run(
    folder: Path,
    *,
    classes: Classes = BINARY,
    hostile: str = "",
    generated: bool = False,
    test_labels: tuple[int, ...] = (0, 1),
    complete: bool = False,
) -> Run:
    """A trained and evaluated run of 300 images, its dataset next to it.

    A complete one has further columns, leaked test images, heatmaps, an audit, and figures for a screening as well.
    """
    rng = np.random.default_rng(0)
    dataset = Dataset(folder / "dataset")
    dataset.directory.mkdir(parents=True)
    num_images = 300
    split = np.repeat(["train", "val", "test"], num_images // 3)
    labels = np.where(split == "test", rng.choice(test_labels, num_images), rng.integers(0, 2, num_images))
    np.save(dataset.pixels_npy, rng.integers(0, 256, (num_images, 16, 16, 3), dtype=np.uint8))
    rows = [
        ManifestRow(
            image_id=f"{hostile}{index}",
            path=f"{hostile}{index}.jpg",
            pixel_index=index,
            sha256=f"{index:064x}",
            diagnosis=classes.names[labels[index]],
            label=classes.names[labels[index]],
            group=f"group-{index}",
            split=str(split[index]),
        )
        for index in range(num_images)
    ]
    dataset.write_info(
        DatasetInfo(16, classes, (DatasetSource(hostile + "source", "folder", "."),), num_images, 3, (), generated)
    )
    dataset.write_rows(rows)

    run = Run(folder / "runs" / "first")
    run.start(dataset)
    write_json(run.config_json, Config(image_size=16).to_json())
    logits = rng.normal(size=num_images) * 2 + np.where(labels == 1, 2.0, -2.0)
    columns = np.column_stack([np.zeros(num_images), logits, *np.full((len(classes.names) - 2, num_images), -9.0)])
    for name in ("val", "test"):
        chosen = np.flatnonzero(split == name)
        write_predictions(
            run.predictions_csv(name),
            Predictions(
                classes=classes,
                image_ids=[rows[i].image_id for i in chosen],
                paths=[rows[i].path for i in chosen],
                groups=[rows[i].group for i in chosen],
                labels=labels[chosen],
                logits=columns[chosen],
                columns={"sex": [f"{hostile}{'fm'[i % 2]}" for i in chosen]} if complete else {},
                also_in=["train" if i % 10 == 0 else "" for i in chosen] if complete and name == "test" else [],
            ),
        )
    if complete:
        np.save(run.heatmaps_npy, rng.normal(size=(num_images // 3, 4, 4)).astype(np.float16))
        findings = [
            {"number": "N07", "title": "Licence", "severity": "info", "summary": hostile + "none named"},
            {"number": "N03", "title": "Near-duplicates", "severity": "error", "summary": "22 pairs in two splits"},
        ]
        audit = {"schema_version": 1, "dataset_fingerprint": dataset.fingerprint, "findings": findings}
        write_json(dataset.audit_json, audit)
        dataset.audit_html.write_text("The audit.")
    run.history_csv.write_text(
        "epoch,loss,val_loss,val_roc_auc,learning_rate\n1,0.7,0.6,0.8,0.0001\n2,0.5,0.5,0.9,0.0001\n"
    )
    run.update(
        command=["nevus", "run", hostile + "my images"],
        training={
            "network": "classic",
            "recipe": {"name": "classic", "batch_size": 32},
            "num_parameters": 94_273,
            "epochs_run": 2,
            "best_epoch": 2,
            "minutes": 3.0,
        },
    )
    evaluate(
        run,
        default_operating_point="sensitivity-95",
        bootstrap=100,
        seed=0,
        prevalence=0.02 if complete else None,
    )
    return run
