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
    """One image cannot be used; the message is the reason, short enough for a table cell."""


class ImageTooLargeError(ImageError):
    """An image has more pixels than allowed."""


class RunError(NevusError):
    """A run folder lacks what a stage needs, or holds what a stage would overwrite."""


class ModelFileError(NevusError):
    """A model file is missing, damaged, or not one that Nevus wrote."""


class ParityError(NevusError):
    """An exported model does not answer as the model it was exported from."""
