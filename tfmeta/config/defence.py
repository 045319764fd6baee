"""Fields of the group `defence`: the noise mix, the matching head, and extra local meta-training."""

import dataclasses
import functools

from tfmeta import registry
from tfmeta.config.fields import Group, number, word
from tfmeta.config.limits import MOST_EPISODES, MOST_IMAGES, MOST_STEPS

EXPERIMENT = "experiment"  # the name that stands for the built-in defence that an experiment is about

_number = functools.partial(number, stage="evaluation")
_word = functools.partial(word, stage="evaluation")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DefenceConfig(Group):
    """The noise mix, the matching head, and extra local meta-training."""

    name: str = _word(
        EXPERIMENT, "the defence; experiment: the one that an experiment is about",
        lambda: (EXPERIMENT, *registry.names("defences")), source="ours", legacy=EXPERIMENT,
    )  # fmt: skip
    delta: float = _number(
        0.3, "share of the trained weights in the mix with a random initialisation (1: no mix)", 0, 1,
        symbol="delta", source="section 4, ledger 28",
    )  # fmt: skip
    mixed_layers: str = _word("*", "which layers are mixed (names or wildcards: conv*,norm0)", source="ledger 28")
    attention_steps: int = _number(
        10, "steps of phase 1, which trains only alpha and beta; counted within fine_tuning_steps", 0,
        MOST_STEPS, source="ledger 27",
    )  # fmt: skip
    score: str = _word(
        "examples", "softmax over the support examples, or over the mean cosine of each class",
        ("examples", "class-mean"), source="ledger 23",
    )  # fmt: skip
    gates: str = _word(
        "projected", "how the gates alpha stay in [0, 1]: projected after each step, sigmoid, or fixed at 1",
        ("projected", "sigmoid", "fixed"), source="ledger 24",
    )  # fmt: skip
    beta_initial: float = _number(10.0, "initial value of the scales beta", 0, 1e6, symbol="beta", source="ledger 25")
    alpha_learning_rate: float = _number(0.001, "learning rate of the gates alpha", 0, 1, source="ledger 24")
    beta_learning_rate: float = _number(0.001, "learning rate of the scales beta", 0, 1, source="ledger 25")
    queries: str = _word(
        "leave-one-out",
        "queries of a matching step: each support example against the others, or some per class against the rest",
        ("leave-one-out", "split"),
        source="ledger 26",
    )
    split_queries: int = _number(
        1, "queries per class and step where queries = split", 1, MOST_IMAGES, source="ledger 26"
    )

    extra_episodes: int = _number(
        0, "episodes of the user's own extra meta-training before fine-tuning (0: none)", 0, MOST_EPISODES,
        source="ledger 29", multiple_of_meta_batch=True,
    )  # fmt: skip
    extra_few: int = _number(
        100, "extra_episodes of figures A8 and A9", 1, MOST_EPISODES, source="appendix A.3",
        multiple_of_meta_batch=True,
    )  # fmt: skip
    extra_many: int = _number(
        1000, "extra_episodes of figures A10 and A11", 1, MOST_EPISODES, source="appendix A.3",
        multiple_of_meta_batch=True,
    )  # fmt: skip
    extra_meta_step_size: float = _number(
        0.1, "meta step size of the extra meta-training", 0, 1, above=True, symbol="epsilon", source="appendix A.3"
    )
    extra_order: str = _word(
        "after-mix", "whether extra meta-training starts from the task's mixed weights, or comes before the mix",
        ("after-mix", "before-mix"), source="ledger 29",
    )  # fmt: skip
