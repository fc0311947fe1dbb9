"""A saved network is loaded only after its file has been looked at: a Keras file may come from anyone.

Keras's `safe_mode` runs no code of a file. It does not hold back a configuration that builds layers of any size, nests
without an end, or whose weights are links to other files of the machine. So the archive's members are those that
Keras writes, stored or deflated; the configuration is neither deep nor long, and describes no more weights than the
file holds; and the weights are in the file itself. HDF5: https://support.hdfgroup.org/documentation/hdf5/latest/.
"""

from __future__ import annotations

import io
import json
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import h5py
import keras

from nevus.core.damage import DAMAGE
from nevus.core.errors import ModelFileError
from nevus.core.model_archive import MEMBER
from nevus.core.zip_members import read_member

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_MEMBERS = frozenset({_CONFIG, _WEIGHTS, "metadata.json", MEMBER})
# EfficientNetV2-L, the largest network of the eleven, has 1,028 layers in a megabyte, and nests nine deep.
_MOST_CONFIG_BYTES = 8 * 2**20
_MOST_DEPTH = 32
_MOST_LAYERS = 5_000
# What is stored may be compressed a little; weights hardly can be.
_MOST_EXPANSION = 2
_FREE_BYTES = 2**20
# Of the state of random numbers, which count as no weights.
_FREE_VALUES = 10_000


def load_network(path: Path) -> keras.Model:
    """Loads a saved network, for inference only.

    Args:
        path: of a `.keras` file.

    Raises:
        ModelFileError: it is damaged, or no network that Keras may be asked to build; the reason alone, in one line.
    """
    try:
        _check(path)
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except ModelFileError:
        raise
    except Exception as problem:  # What Keras and TensorFlow raise for a configuration that makes no sense is anything.
        reason = (str(problem).strip() or type(problem).__name__).partition("\n")[0]
        raise ModelFileError(reason[:300]) from None


def check_weights(path: Path) -> None:
    """Checks a file of weights before Keras reads it.

    Args:
        path: of an HDF5 file.

    Raises:
        OSError: it cannot be read, or is no HDF5 file.
        ValueError: its weights are in other files, or more than the file can hold.
    """
    with path.open("rb") as file:
        _num_values(file, path.stat().st_size)


def _check(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename: info for info in archive.infolist()}
            others = sorted(members.keys() - _MEMBERS)
            if others or len(archive.infolist()) > len(members) or not members.keys() >= {_CONFIG, _WEIGHTS}:
                raise ValueError(f"expected {_CONFIG} and {_WEIGHTS} in it, once, and nothing else; found {others[:3]}")
            if members[_CONFIG].file_size > _MOST_CONFIG_BYTES:
                raise ValueError(f"its configuration is larger than {_MOST_CONFIG_BYTES // 2**20} MiB")
            config = json.loads(read_member(archive, members[_CONFIG]))
            content = read_member(archive, members[_WEIGHTS])
    except RecursionError:
        raise ModelFileError("its configuration nests too deep") from None
    except DAMAGE as problem:
        raise ModelFileError(str(problem)) from None
    _check_depth(config)
    num_values = _num_values(io.BytesIO(content), len(content))
    num_parameters = _without_weights(lambda: keras.saving.deserialize_keras_object(config, safe_mode=True))
    if num_parameters > num_values + _FREE_VALUES:
        raise ModelFileError(
            f"its configuration describes {num_parameters:,} weights, and the file holds {num_values:,}"
        )


def _check_depth(config: Any) -> None:
    level, num_layers = [config], 0
    for _ in range(_MOST_DEPTH):
        num_layers += sum(isinstance(each, dict) and "inbound_nodes" in each for each in level)
        level = [
            inner
            for each in level
            if isinstance(each, (dict, list))
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    if level:
        raise ModelFileError(f"its configuration nests deeper than {_MOST_DEPTH}")
    if num_layers > _MOST_LAYERS:
        raise ModelFileError(f"it has {num_layers:,} layers. Expected {_MOST_LAYERS:,} or fewer")


def _without_weights(build: Callable[[], keras.Model]) -> int:
    """How many weights a network would have: it is built of shapes alone.

    In a stateless scope Keras makes no variables, but would on leaving it. The scope belongs to its thread, so it is
    entered in one of its own, which ends without leaving it.
    """
    found: list[int | Exception] = []

    def count() -> None:
        keras.StatelessScope().__enter__()
        try:
            found.append(build().count_params())
        except Exception as problem:
            found.append(problem)

    thread = threading.Thread(target=count)
    thread.start()
    thread.join()
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


def _num_values(file: IO[bytes], num_bytes: int) -> int:
    """How many numbers the datasets of an HDF5 file hold.

    Raises:
        OSError: it is no HDF5 file, or damaged.
        ValueError: a link or a dataset leads out of the file, or the datasets are too large for it.
    """
    num_values = size = 0
    with h5py.File(file, "r") as hdf5:
        groups, seen = [hdf5], set()
        while groups:
            group = groups.pop()
            for name in group:
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    raise ValueError(f"'{name}' among its weights is a link to elsewhere")
                held = group[name]
                place = h5py.h5o.get_info(held.id).addr
                if isinstance(held, h5py.Group):
                    if place not in seen:
                        groups.append(held)
                elif not isinstance(held, h5py.Dataset) or held.external or held.is_virtual:
                    raise ValueError(f"'{name}' among its weights is stored in another file")
                else:
                    num_values += held.size or 0
                    size += held.nbytes
                seen.add(place)
    if size > _FREE_BYTES + _MOST_EXPANSION * num_bytes:
        raise ValueError(f"its weights would take {size / 2**20:,.0f} MiB, and are stored in {num_bytes / 2**20:,.1f}")
    return num_values
