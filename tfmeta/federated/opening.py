"""Opening a federation: through TFF's worker, or in this process."""

from pathlib import Path
from typing import TYPE_CHECKING

from tfmeta.utils import progress

if TYPE_CHECKING:
    from tfmeta.federated.clients import Setting


def open_federation(setting: "Setting", log: Path, workers: int):
    """Return the federation of a run, as its field `federation.runtime` says.

    Args:
        setting: What all clients share.
        log: File for the output of TFF's worker.
        workers: How many operations run at once in the worker.

    Returns:
        A `TffFederation` or an `InProcessFederation`.
    """
    if setting.config.federation.runtime == "tff":
        progress.quiet_tensorflow("tensorflow_federated")
        from tfmeta.federated.tff.federation import TffFederation

        return TffFederation(setting, log, threads=workers)
    from tfmeta.federated.in_process import InProcessFederation

    return InProcessFederation(setting)
