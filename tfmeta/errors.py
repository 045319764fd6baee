"""What tfmeta raises when a user can do something about it.

Every message names the file, field or value and says what to do; the command line prints it without a traceback.
"""


class TfmetaError(Exception):
    """Base of all errors that are the user's to solve."""


class ConfigError(TfmetaError):
    """An unknown field, profile, case or data set, or a value out of its range."""


class DataError(TfmetaError):
    """A data folder, archive or picture is missing, damaged or not what it claims to be."""


class DownloadError(DataError):
    """A data set could not be fetched, or what came is not the data set."""


class StorageError(TfmetaError):
    """A file could not be written (full disk, no permission); nothing half-written was left."""


class ResultError(TfmetaError):
    """A results or checkpoint file is truncated, of another configuration, or not ours."""


class BusyError(TfmetaError):
    """Another run works in the same folder."""


class ClientUpdateError(TfmetaError):
    """A client's update cannot be aggregated (NaN, infinity, another shape); names the user."""


class ModelError(TfmetaError):
    """Weights that are not the model's (shape, NaN), or a head that it was not built with."""


class WorkerError(TfmetaError):
    """TFF's worker process died, could not be started, or cannot be reached."""
