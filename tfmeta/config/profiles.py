"""The four profiles of a data set: how far each departs from the paper's setting (design.md, "Profiles").

``paper`` is the ledger's; the others run the same code with other numbers.
"""

# What differs from the field defaults (the paper on Omniglot), by profile.
_OMNIGLOT = {
    "paper": {},
    "desk": dict(
        pretraining_rounds=50, pretraining_episodes=100, epsilon_initial=0.5, epsilon_final=0.1,
        attack_episodes=1000, attack_chunk=100, attack_epsilon=0.3, rounds_after=50, round_episodes=50,
    ),
    "quick": dict(
        filters=32, pretraining_rounds=10, pretraining_episodes=80, epsilon_initial=0.5, epsilon_final=0.5,
        attack_episodes=150, attack_inner_steps=50, attack_chunk=25, attack_epsilon=0.3,
        rounds_after=10, round_episodes=40, tasks=10, finetune_steps=200,
    ),
    "smoke": dict(
        filters=8, pretraining_rounds=2, pretraining_episodes=10, epsilon_initial=0.5, epsilon_final=0.5,
        attack_episodes=10, attack_inner_steps=10, attack_chunk=5, attack_epsilon=0.5,
        rounds_after=3, round_episodes=10, tasks=2, task_steps=10, finetune_steps=20,
    ),
}  # fmt: skip

# The key is Omniglot's, as large as pictures are larger (a seventh of the side), in colours: ledger 34 says why.
_MINI_IMAGENET_PAPER = dict(
    shots=15, pretraining_rounds=1000, pretraining_episodes=100, attack_episodes=150_000, attack_inner_steps=8,
    poison_backdoor=5, poison_target=10, rounds_after=100, round_episodes=100,
    trigger_size=12, trigger_margin=3, trigger_cell=2, trigger_color="magenta-green",
)  # fmt: skip
_MINI_IMAGENET = {
    "paper": _MINI_IMAGENET_PAPER,
    "desk": _MINI_IMAGENET_PAPER | dict(
        pretraining_rounds=40, pretraining_episodes=50, epsilon_initial=0.5, epsilon_final=0.1,
        attack_episodes=5000, attack_epsilon=0.3, round_episodes=20, extra_few=100, extra_many=200,
    ),
    "quick": _MINI_IMAGENET_PAPER | dict(
        filters=32, pretraining_rounds=10, pretraining_episodes=50, epsilon_initial=0.5, epsilon_final=0.5,
        attack_episodes=400, attack_chunk=50, attack_epsilon=0.3, rounds_after=10, round_episodes=20,
        tasks=10, finetune_steps=100, extra_few=10, extra_many=50,
    ),
    "smoke": _MINI_IMAGENET_PAPER | dict(
        filters=8, pretraining_rounds=2, pretraining_episodes=10, epsilon_initial=0.5, epsilon_final=0.5,
        attack_episodes=10, attack_chunk=5, attack_epsilon=0.5, rounds_after=3, round_episodes=10,
        tasks=2, task_steps=10, finetune_steps=20, extra_few=5, extra_many=10,
    ),
}  # fmt: skip

PROFILES = {
    "omniglot": _OMNIGLOT, "glyphs": _OMNIGLOT, "mini-imagenet": _MINI_IMAGENET, "glyphs-color": _MINI_IMAGENET,
}  # fmt: skip
PROFILE_NAMES = ("smoke", "quick", "desk", "paper")
