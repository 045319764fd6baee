"""Fields of the group `meta_learning`: episodes, the model, and Reptile."""

import dataclasses
import functools

from tfmeta import registry
from tfmeta.config.fields import LARGEST_SEED, Group, number, word
from tfmeta.config.limits import MOST_CLASSES, MOST_FILTERS, MOST_IMAGES, MOST_META_BATCH, MOST_STEPS

_number = functools.partial(number, stage="pretraining")
_word = functools.partial(word, stage="pretraining")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MetaLearningConfig(Group):
    """Episodes, the model, and Reptile."""

    seed: int = _number(
        0, "seed of initial weights, episodes, client selection and tasks", 0, LARGEST_SEED, source="ours"
    )
    ways: int = _number(5, "classes per episode", 2, MOST_CLASSES, symbol="N", source="section 3")
    shots: int = _number(10, "examples per class in meta-training", 1, MOST_IMAGES, symbol="K", source="section 3")
    model: str = _word(
        "conv4", "the network", functools.partial(registry.names, "models"), source="section 3", legacy="conv4"
    )
    filters: int = _number(64, "filters per Conv4 module", 1, MOST_FILTERS, source="ledger 9")
    downsample: str = _word(
        "pool-valid", "how a Conv4 module halves its input", ("pool-valid", "pool-same", "stride"), source="ledger 9"
    )
    meta_batch_size: int = _number(5, "episodes per meta step", 1, MOST_META_BATCH, symbol="B", source="section 3")
    inner_steps: int = _number(10, "inner steps per episode", 1, MOST_STEPS, symbol="e", source="ledger 3")
    inner_batch_size: int = _number(10, "images per inner step", 1, MOST_IMAGES, symbol="b", source="section 3")
    inner_learning_rate: float = _number(
        0.001, "inner learning rate (Adam, beta1 = 0)", 0, 1, above=True, symbol="eta", source="section 3"
    )
    adam_state: str = _word(
        "carry",
        "whether Adam's second moments carry over from one meta-batch to the next",
        ("carry", "reset"),
        source="ledger 5",
    )
    meta_step_size_initial: float = _number(
        0.1, "meta step size of the first pre-training round", 0, 1, above=True, symbol="epsilon", source="ledger 1"
    )
    meta_step_size_final: float = _number(
        0.1, "meta step size of the last pre-training round and all later rounds (linear in between)", 0, 1,
        above=True, symbol="epsilon", source="ledger 1",
    )  # fmt: skip
