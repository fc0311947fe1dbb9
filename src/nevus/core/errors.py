"""The one tree of errors that Nevus raises on purpose.

A message says what happened, where, what was expected and how to fix it, in one
line or two: the command line prints it as it is and shows no traceback.
"""


class NevusError(Exception):
    """Root of every error that Nevus raises on purpose."""


class ConfigError(NevusError):
    """An option or a configuration file holds a value that cannot be used."""


class DataError(NevusError):
    """A folder of images, a manifest or a prepared dataset cannot be used."""


class ImageError(DataError):
    """One image cannot be used; the message is the reason, short enough for a table cell.

    Attributes:
        code: the reason in a word, for programs.
    """

    code = "not_readable"


class ImageTooLargeError(ImageError):
    """An image has more pixels than allowed."""

    code = "too_many_pixels"


class BlankImageError(ImageError):
    """A file can be read, but there is nothing to see in it: it is transparent, or of one colour all over."""

    code = "blank"


class UnavailableError(ImageError):
    """The machine could not read or decode an image, which says nothing of it: a disk failed, or memory ran out."""

    code = "unavailable"


class MissingImageError(UnavailableError):
    """The file of an image that was named, or listed, is not there."""

    code = "not_readable"


class ImageRefusedError(ImageError):
    """An image can be read, but a model should not be asked about it: the check of images says why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code

    def __str__(self) -> str:
        return str(self.args[1])


class RunError(NevusError):
    """A run folder lacks what a stage needs, or holds what a stage would overwrite."""


class ModelFileError(NevusError):
    """A model file is missing, damaged, or not one that Nevus wrote."""


class ParityError(NevusError):
    """An exported model does not answer as the model it was exported from."""
