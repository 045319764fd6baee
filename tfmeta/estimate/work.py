"""What a run has to do, in units."""

from typing import NamedTuple


class Measured(NamedTuple):
    """Tasks to which a model is adapted, and on which it is measured.

    Attributes:
        sets: How many sets of tasks.
        tasks: Tasks per set.
        steps: Steps per task.
        matching: Whether the defence is a matching network, which takes the whole support set in each step.
        extra_episodes: Episodes of extra meta-training before each task (appendix A.3).
    """

    sets: int
    tasks: int
    steps: int
    matching: bool = False
    extra_episodes: int = 0


class Work(NamedTuple):
    """What there is to do.

    Attributes:
        pretraining: Episodes of pre-training, of all clients together.
        poisoned: The attackers' training episodes.
        benign: Episodes of benign clients in all other rounds.
        measured: What is measured.
        seconds: Seconds of work whose time is set, as that of a table of run times.
    """

    pretraining: int = 0
    poisoned: int = 0
    benign: int = 0
    measured: tuple[Measured, ...] = ()
    seconds: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        """Return both, one after the other."""
        return Work(*(own + more for own, more in zip(self, other, strict=True)))
