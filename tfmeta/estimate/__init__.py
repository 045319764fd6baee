"""What a run needs: memory and time, estimated before anything large is allocated.

    work = Work(pretraining=30_000, measured=(Measured(sets=8, tasks=40, steps=500),))
    found = estimate(sim.config, sim.model, Shapes.of(sim.bank, sim.partition), threads.cores(), work)
    print(found.total_memory, found.total_seconds, found.memory, found.seconds)

Costs are read off the model's own graph, so they hold for any network. `refusal` compares an estimate with the machine.
"""

import dataclasses
from typing import TYPE_CHECKING

from tfmeta.config import Config
from tfmeta.estimate.shapes import Shapes
from tfmeta.estimate.work import Measured, Work

if TYPE_CHECKING:
    from tfmeta.models.base import PureModel

__all__ = ["Estimate", "Measured", "Shapes", "Work", "estimate"]


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What a run needs.

    Attributes:
        memory: Bytes by part, of this process and of TFF's worker together. It is between the truth and about twice
            the truth.
        seconds: Seconds by part, without other load on the machine; good to a factor of about two.
    """

    memory: dict[str, int]
    seconds: dict[str, float]

    @property
    def total_memory(self) -> int:
        """Bytes in all."""
        return sum(self.memory.values())

    @property
    def total_seconds(self) -> float:
        """Seconds in all."""
        return sum(self.seconds.values())

    def __add__(self, other: "Estimate") -> "Estimate":
        """Return the estimate of two runs, one after the other: the larger memory, and the sum of the times."""
        larger = max(self, other, key=lambda one: one.total_memory)
        names = dict.fromkeys((*self.seconds, *other.seconds))
        seconds = {name: self.seconds.get(name, 0.0) + other.seconds.get(name, 0.0) for name in names}
        return Estimate(larger.memory, seconds)


def estimate(config: Config, model: "PureModel", shapes: Shapes, cores: int, work: Work | None = None) -> Estimate:
    """Return what a run needs; nothing is allocated.

    Args:
        config: The run's configuration.
        model: Its network.
        shapes: The shapes of its data.
        cores: How many operations run at once.
        work: What there is to do; by default nothing, so that no time is estimated.
    """
    from tfmeta.estimate import memory, time  # here, since they import TensorFlow

    return Estimate(memory.of(config, model, shapes, cores), time.of(config, model, shapes, cores, work or Work()))
