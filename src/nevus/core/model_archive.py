"""The description in model files other than ONNX: `nevus.json` in a zip archive that is at the file's end.

A Keras file is a zip archive, and a LiteRT file may carry one behind its own bytes, as the associated
files of TensorFlow Lite Metadata do. So one way of reading, `unzip -p FILE nevus.json`, serves both.
"""

from __future__ import annotations

import io

from nevus.core.errors import ModelFileError
from nevus.core.seal import sealed, unsealed

MEMBER = "nevus.json"

# A description has some kilobytes; a file that claims more is not ours.
MAX_DESCRIPTION_BYTES = 16 * 1024 * 1024

# The earliest that the format knows, so that the same model gives the same bytes.
_TIME = (1980, 1, 1, 0, 0, 0)


def add_description(content: bytes, text: str) -> bytes:
    """The file with `text` and its digest as its description, behind all else, and in place of one that is there.

    Args:
        content: of the file.
        text: a JSON object.
    """
    import zipfile

    buffer = io.BytesIO(content)
    with zipfile.ZipFile(buffer, "a") as archive:
        if archive.filelist and archive.filelist[-1].filename == MEMBER:
            del archive.NameToInfo[MEMBER]
            archive.start_dir = archive.filelist.pop().header_offset
        rest = memoryview(content)[: archive.start_dir]
        archive.writestr(zipfile.ZipInfo(MEMBER, _TIME), sealed(text, [rest]))
    return buffer.getvalue()


def read_description(content: bytes) -> str:
    """The description that `add_description` put into a file, which may be hostile, without its digest.

    Raises:
        ModelFileError: there is none, there are two, it is damaged or too large, or its digest is of another file.
    """
    # Imported here: most who open a model file do not need it, and wait for its answer.
    import zipfile

    from nevus.core.zip_members import read_member

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            info = archive.getinfo(MEMBER)
            if [each.filename for each in archive.infolist()].count(MEMBER) > 1:
                raise ValueError("there are several")
            if info.file_size > MAX_DESCRIPTION_BYTES:
                raise ValueError(f"larger than {MAX_DESCRIPTION_BYTES // 2**20} MiB")
            read = read_member(archive, info)
    except KeyError:
        raise ModelFileError(f"The file holds no description of Nevus ({MEMBER}).") from None
    except Exception as problem:  # Damaged archives raise nearly anything.
        raise ModelFileError(f"The file's description cannot be read ({type(problem).__name__}: {problem}).") from None
    try:
        text = read.decode("utf-8")
    except UnicodeDecodeError:
        raise ModelFileError("The file's description is not UTF-8.") from None
    return unsealed(text, [memoryview(content)[: info.header_offset]])
