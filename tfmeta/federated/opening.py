"""Opening a federation: through TFF's worker, or in this process."""

from pathlib import Path
from typing import TYPE_CHECKING

from tfmeta.utils import progress, threads

if TYPE_CHECKING:
    from tfmeta.federated.clients import Setting
    from tfmeta.federated.in_process import InProcessFederation
    from tfmeta.federated.tff.federation import TffFederation
    from tfmeta.run import Limits


def open_federation(setting: "Setting", log: Path, limits: "Limits") -> "TffFederation | InProcessFederation":
    """Return the federation; TFF's worker, if it runs there, keeps to `limits` and logs to `log`."""
    if setting.config.federation.runtime == "tff":
        progress.quiet_tensorflow("tensorflow_federated")
        from tfmeta.federated.tff.federation import TffFederation

        return TffFederation(
            setting, log, threads=limits.workers or threads.cores(), worker_timeout=limits.worker_timeout,
            allow_open_port=limits.allow_open_port,
        )  # fmt: skip
    from tfmeta.federated.in_process import InProcessFederation

    return InProcessFederation(setting)
