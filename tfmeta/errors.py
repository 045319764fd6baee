"""The errors that a user can do something about.

Every message names the file, field or value and says what to do. The command line prints it without a traceback.
"""

import difflib
from collections.abc import Iterable

from tfmeta.utils.printable import printable


class TfmetaError(Exception):
    """Base of all errors that a user can solve.

    A message may repeat names that a stranger chose. Control characters in it, other than newlines, are escaped, so
    that a terminal shows them instead of acting on them.
    """

    # not __init__: TensorFlow raises an error of this class anew, with the traceback, only if that is Exception's own
    def __str__(self) -> str:
        return printable(super().__str__())


class ConfigError(TfmetaError):
    """An unknown field, profile, case or data set, a value out of its range, or values that do not fit together."""


class PluginError(ConfigError):
    """A plug-in does not import, or is not what its kind's contract asks for."""


class DataError(TfmetaError):
    """A data folder, archive or image is missing, damaged or not what it claims to be."""


class DownloadError(DataError):
    """A data set could not be fetched, or the file that arrived is not the data set."""


class StorageError(TfmetaError):
    """A file could not be written (full disk, no permission); nothing half-written was left."""


class ResultError(TfmetaError):
    """A results or checkpoint file is truncated, of another configuration, or not ours."""


class CodeChangedError(ResultError):
    """A stored file was computed by other code of the package; names what differs."""


class BusyError(TfmetaError):
    """Another run works in the same folder."""


class ClientUpdateError(TfmetaError):
    """A client's update cannot be aggregated (NaN, infinity, another shape); names the user."""


class ModelError(TfmetaError):
    """Weights that do not fit the model (shape, NaN), an unknown head, or a Keras model that breaks the contract."""


class WorkerError(TfmetaError):
    """TFF's worker process died, was silent too long, could not be started, or cannot be shut off from the network."""


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Return the message about an unknown name of `what`, such as "profile": the nearest known one, and all of them."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    meant = f"did you mean {near[0]}? Known" if near else "known"
    return f"unknown {what} {name!r}: {meant}: {', '.join(known)}"


def check_known(what: str, name: str, known: Iterable[str]) -> None:
    """Raise `ConfigError` with the message of `unknown` unless `name` is one of `known`."""
    if name not in (known := list(known)):
        raise ConfigError(unknown(what, name, known))
