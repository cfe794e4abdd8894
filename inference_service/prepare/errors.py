"""Errors of preparing a model.

PrepareError
├── SourceError         the named source is neither a folder nor a model that the hub gives us
└── ModelFolderError    a file of the model folder is missing, damaged, or contradicts another
"""


class PrepareError(Exception):
    """Bad input: one line that names what is wrong, where, and the remedy. The command exits with 2."""


class SourceError(PrepareError):
    """The source cannot be turned into a local folder."""


class ModelFolderError(PrepareError):
    """A file of the model folder cannot be used."""
