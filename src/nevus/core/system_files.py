"""Folders and files that a system keeps for itself: no part of a collection of images, wherever they lie."""

from __future__ import annotations

# In lower case. Of macOS, of Synology's and QNAP's network storage, of Windows, of Linux; some hold thumbnails.
_FOLDERS = frozenset(
    {
        "__macosx",
        "network trash folder",
        "temporary items",
        "@eadir",
        "#recycle",
        "#snapshot",
        "@recycle",
        "@recently-snapshot",
        "@tmp",
        "system volume information",
        "$recycle.bin",
        "recycler",
        "lost+found",
    }
)


def is_of_the_system(name: str) -> bool:
    """Whether a file or folder of this name is passed over: hidden, or one that a system made."""
    return name.startswith(".") or name.lower() in _FOLDERS
