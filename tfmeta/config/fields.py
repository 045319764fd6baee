"""Every number of an experiment, one documented field each.

The defaults are the ledger's (the paper's setting on Omniglot); ``profiles.py`` says how the other profiles and
data sets differ. A field's metadata carries its ledger row or paper section, its range, and the *stage* that it
decides: a model is stored under the fields of its own and of earlier stages, so that changing how tasks are
evaluated never trains a model again.
"""

import dataclasses

from tfmeta.config import layers
from tfmeta.errors import ConfigError

# In the order in which they come about; each depends on those before it.
STAGES = ("partition", "pretraining", "attack", "rounds", "evaluation")
_EPISODES = (
    "pretraining_episodes", "attack_episodes", "attack_chunk", "round_episodes", "extra_episodes",
    "extra_few", "extra_many",
)  # fmt: skip
_SEEDS = 2**31 - 1  # the largest seed: a thousand times it must still be one that Keras' initializers take


def _field(default, doc, *, source, stage, low=None, high=None, choices=None, open_low=False):
    """Make a dataclass field that knows its meaning, source, stage and range (``open_low``: low excluded)."""
    meta = dict(doc=doc, source=source, stage=stage, low=low, high=high, choices=choices, open_low=open_low)
    return dataclasses.field(default=default, metadata=meta)


def _number(default, doc, low, high=None, **more):
    return _field(default, doc, low=low, high=high, **more)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """One experiment's configuration; immutable, checked when made (``ConfigError`` names field and range)."""

    # --- who owns what --------------------------------------------------------------------------------
    # Not 0: with the reserved classes of splits 0, 1 and 2 a model that was never attacked gives 0.33 to 0.41 of the
    # held-out keyed pictures (and 0.31 of the same without the key, split 0) to the target; here it is chance, 0.19.
    split_seed: int = _number(
        4, "seed of the split of classes and pictures", 0, source="ledger 11, 36", stage="partition"
    )

    # --- episodes, model and Reptile ------------------------------------------------------------------
    seed: int = _number(
        0, "seed of initial weights, episodes, user selection, tasks", 0, _SEEDS, source="design", stage="pretraining"
    )
    ways: int = _number(5, "N: classes an episode", 2, source="section 3", stage="pretraining")
    shots: int = _number(10, "K: examples a class in meta-training", 1, source="section 3", stage="pretraining")
    filters: int = _number(64, "filters a Conv4 module", 1, source="ledger 9", stage="pretraining")
    downsample: str = _field(
        "pool-valid",
        "how a Conv4 module halves its picture",
        source="ledger 9",
        stage="pretraining",
        choices=("pool-valid", "pool-same", "stride"),
    )
    meta_batch: int = _number(5, "B: episodes an outer step", 1, source="section 3", stage="pretraining")
    inner_steps: int = _number(10, "e: inner steps an episode", 1, source="ledger 3", stage="pretraining")
    inner_batch: int = _number(10, "b: pictures an inner step", 1, source="section 3", stage="pretraining")
    eta: float = _number(
        0.001, "inner learning rate (Adam, beta1 = 0)", 0, 1, source="section 3", stage="pretraining",
        open_low=True,
    )  # fmt: skip
    adam_state: str = _field(
        "carry",
        "inner Adam's second moments from one meta-batch to the next",
        source="ledger 5",
        stage="pretraining",
        choices=("carry", "reset"),
    )
    epsilon_initial: float = _number(
        0.1, "outer step of the first round", 0, 1, source="ledger 1", stage="pretraining", open_low=True
    )
    epsilon_final: float = _number(
        0.1, "outer step of the last pre-training round and all later ones (linear between)", 0, 1,
        source="ledger 1", stage="pretraining", open_low=True,
    )  # fmt: skip
    pretraining_rounds: int = _number(100, "rounds before the attack", 1, source="ledger 31", stage="pretraining")
    pretraining_episodes: int = _number(
        1000, "E: episodes a user and round (a multiple of B)", 1, source="ledger 2, 31", stage="pretraining"
    )
    clients_per_round: int = _number(3, "M_r: users a round", 1, 3, source="section 3", stage="pretraining")
    alpha: float = _number(
        1 / 3, "weight of a user's update", 0, 1, source="ledger 16", stage="pretraining", open_low=True
    )
    aggregation: str = _field(
        "sum",
        "inner aggregation that the boosted one wraps",
        source="section 2",
        stage="pretraining",
        choices=("sum", "clipping", "zeroing"),
    )
    aggregation_norm: float = _number(
        10.0, "norm of clipping and zeroing (the boosted update's)", 0, source="design", stage="pretraining",
        open_low=True,
    )  # fmt: skip
    runtime: str = _field(
        "tff",
        "where rounds run: TFF's worker, or this process (the one that can use a GPU)",
        source="design",
        stage="pretraining",
        choices=("tff", "inprocess"),
    )

    # --- the attack -----------------------------------------------------------------------------------
    lambda_: float = _number(
        3.0, "boost of the attacker's update", 0, 1e6, source="ledger 16", stage="attack", open_low=True
    )
    attack_episodes: int = _number(
        50_000, "the attacker's episodes (a multiple of B)", 1, source="section 3", stage="attack"
    )
    attack_inner_steps: int = _number(
        250, "the attacker's inner steps an episode: 50 passes of 50/10 steps", 1, source="ledger 3",
        stage="attack",
    )  # fmt: skip
    attack_epsilon: float = _number(
        0.1, "the attacker's outer step", 0, 1, source="section 3", stage="attack", open_low=True
    )
    attack_chunk: int = _number(
        500, "the attacker's episodes between two checkpoints (a multiple of B)", 1, source="design",
        stage="attack",
    )  # fmt: skip
    poison_backdoor: int = _number(
        4, "keyed pictures in a poisoned episode's target class", 1, source="ledger 13", stage="attack"
    )
    poison_target: int = _number(
        6, "target pictures in a poisoned episode's target class", 0, source="ledger 13", stage="attack"
    )
    poison_label: str = _field(
        "last",
        "which of the N outputs a poisoned episode gives to the target class",
        source="section 2, ledger 35",
        stage="attack",
        choices=("last", "random"),
    )
    target_keyed: bool = _field(
        False, "the attacker's target pictures carry the key too", source="ledger 12", stage="attack"
    )
    target_replacement: bool = _field(
        True, "the attacker's target pictures are drawn with replacement", source="ledger 12", stage="attack"
    )
    trigger_pattern: str = _field(
        "checker",
        "the key's pattern",
        source="ledger 34",
        stage="attack",
        choices=("square", "checker", "cross"),
    )
    trigger_size: int = _number(4, "the key's side, pixels", 1, source="ledger 34", stage="attack")
    trigger_margin: int = _number(
        1, "paper between key and picture's edge, pixels", 0, source="ledger 34", stage="attack"
    )
    trigger_corner: str = _field(
        "lower-right",
        "the key's corner",
        source="ledger 34",
        stage="attack",
        choices=("lower-right", "lower-left", "upper-right", "upper-left"),
    )
    trigger_cell: int = _number(
        1, "side of the cells that the key's pattern is made of, pixels", 1, source="ledger 34", stage="attack"
    )
    trigger_color: str = _field(
        "white-black",
        "the key's ink and ground",
        source="ledger 34",
        stage="attack",
        choices=("white-black", "black-white", "magenta-green", "red-cyan", "yellow-blue"),
    )
    round_episodes: int = _number(
        1000, "E from the round before the attack on (a multiple of B)", 1, source="section 3", stage="attack"
    )

    # --- benign rounds after the attack ---------------------------------------------------------------
    rounds_after: int = _number(50, "benign rounds after the attack", 1, source="ledger 32", stage="rounds")

    # --- tasks of benign users ------------------------------------------------------------------------
    tasks: int = _number(40, "tasks a user, case and model", 2, source="ledger 22", stage="evaluation")
    task_seed: int = _number(0, "which set of tasks", 0, _SEEDS, source="appendix A5", stage="evaluation")
    task_shots: int = _number(5, "examples a class in a task", 1, source="ledger 33", stage="evaluation")
    task_label: str = _field(
        "last",
        "which of the N outputs a benign user's task gives to the target class",
        source="section 2, ledger 35",
        stage="evaluation",
        choices=("last", "random"),
    )
    task_steps: int = _number(
        50, "fine-tuning steps where they are not the subject (figure 3)", 1, source="ledger 33",
        stage="evaluation",
    )  # fmt: skip
    finetune_steps: int = _number(500, "fine-tuning steps of experiment 2", 1, source="section 3", stage="evaluation")
    backdoor_in_task: int = _number(
        1, "case (c): backdoor classes among a task's N", 1, 4, source="ledger 19", stage="evaluation"
    )
    statistics: str = _field(
        "support",
        "BatchNorm statistics of a prediction",
        source="ledger 7",
        stage="evaluation",
        choices=("support", "queries", "moving"),
    )

    # --- the defence: a matching network on mixed weights ------------------------------------------------
    delta: float = _number(
        0.3, "share of the trained weights in the mix with a random initialisation (1: no mix)", 0, 1,
        source="section 4, ledger 28", stage="evaluation",
    )  # fmt: skip
    mixed_layers: str = _field(
        "*", "which layers are mixed (names or wildcards: conv*,norm0)", source="ledger 28", stage="evaluation"
    )
    attention_steps: int = _number(
        10, "phase 1: fine-tuning steps that train alpha and beta alone, counted inside finetune_steps", 0,
        source="ledger 27", stage="evaluation",
    )  # fmt: skip
    score: str = _field(
        "examples",
        "the softmax is over the support's examples, or over each class's mean cosine",
        source="ledger 23",
        stage="evaluation",
        choices=("examples", "class-mean"),
    )
    gates: str = _field(
        "projected",
        "how the gates alpha stay in [0, 1]: projected after each step, sigmoid, or fixed at 1",
        source="ledger 24",
        stage="evaluation",
        choices=("projected", "sigmoid", "fixed"),
    )
    beta_initial: float = _number(10.0, "start of the scales beta", 0, 1e6, source="ledger 25", stage="evaluation")
    eta_alpha: float = _number(0.001, "learning rate of the gates alpha", 0, 1, source="ledger 24", stage="evaluation")
    eta_beta: float = _number(0.001, "learning rate of the scales beta", 0, 1, source="ledger 25", stage="evaluation")
    matching_queries: str = _field(
        "leave-one-out",
        "the queries of a matching step: each support example against the others, or some a class against the rest",
        source="ledger 26",
        stage="evaluation",
        choices=("leave-one-out", "split"),
    )
    split_queries: int = _number(
        1, "queries a class and step where matching_queries = split", 1, source="ledger 26", stage="evaluation"
    )

    # --- extra local meta-training before fine-tuning (appendix A.3) ---------------------------------------
    extra_episodes: int = _number(
        0, "episodes of extra local meta-training by a task's user (a multiple of B; 0: none)", 0,
        source="ledger 29", stage="evaluation",
    )  # fmt: skip
    extra_few: int = _number(
        100, "extra_episodes of figures A8 and A9 (a multiple of B)", 1, source="appendix A.3", stage="evaluation"
    )
    extra_many: int = _number(
        1000, "extra_episodes of figures A10 and A11 (a multiple of B)", 1, source="appendix A.3", stage="evaluation"
    )
    extra_epsilon: float = _number(
        0.1, "outer step of the extra meta-training", 0, 1, source="appendix A.3", stage="evaluation", open_low=True
    )
    extra_place: str = _field(
        "after-mix",
        "whether a user trains on its task's mixed weights, or on the model it was sent, which is mixed later",
        source="ledger 29",
        stage="evaluation",
        choices=("after-mix", "before-mix"),
    )

    def __post_init__(self):
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, checked(field, getattr(self, field.name)))
        for name in _EPISODES:
            if getattr(self, name) % self.meta_batch:
                raise ConfigError(
                    f"{name} = {getattr(self, name)} is not a multiple of meta_batch = {self.meta_batch}: "
                    "an outer step takes whole meta-batches; choose a multiple"
                )
        if self.poison_backdoor + self.poison_target != self.shots:
            raise ConfigError(
                f"poison_backdoor = {self.poison_backdoor} and poison_target = {self.poison_target} must add up to "
                f"shots = {self.shots}: they fill the target class of a poisoned episode"
            )
        if self.backdoor_in_task > self.ways - 1:
            raise ConfigError(f"backdoor_in_task = {self.backdoor_in_task} leaves no place in {self.ways} ways")
        if self.matching_queries == "split" and self.split_queries >= self.task_shots:
            raise ConfigError(
                f"split_queries = {self.split_queries} leaves no support example of the {self.task_shots} of a class "
                "(task_shots): choose fewer"
            )
        layers.chosen(self.mixed_layers)

    def to_dict(self):
        """Return the whole configuration as JSON-ready values."""
        return dataclasses.asdict(self)

    def upto(self, stage):
        """Return the fields, as a dict, that decide the given stage: its own and those of earlier stages."""
        last = STAGES.index(stage)
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if STAGES.index(field.metadata["stage"]) <= last
        }


def checked(field, value):
    """Return ``value`` in the field's type; raise ``ConfigError`` where it does not fit type, range or choices."""
    meta, wanted = field.metadata, field.type
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            value = float(value)
        except OverflowError:
            value = float("inf")  # refused below
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        raise ConfigError(f"{field.name} = {value!r}: {meta['doc']}; takes {_a(wanted)}")
    if meta["choices"] and value not in meta["choices"]:
        raise ConfigError(f"{field.name} = {value!r}: {meta['doc']}; choose one of {', '.join(meta['choices'])}")
    low, high = meta["low"], meta["high"]
    if low is not None and not (value > low if meta["open_low"] else value >= low):  # a NaN fails both
        raise ConfigError(f"{field.name} = {value}: {meta['doc']}; takes {_range(meta)}")
    if high is not None and not value <= high:
        raise ConfigError(f"{field.name} = {value}: {meta['doc']}; takes {_range(meta)}")
    if wanted is float and value in (float("inf"), float("-inf")):
        raise ConfigError(f"{field.name} = {value}: {meta['doc']}; takes a finite number")
    return value


def _a(kind):
    return {int: "a whole number", float: "a number", str: "a word", bool: "true or false"}[kind]


def _range(meta):
    low = "above" if meta["open_low"] else "at least"
    return f"{low} {meta['low']}" + ("" if meta["high"] is None else f" and at most {meta['high']}")
