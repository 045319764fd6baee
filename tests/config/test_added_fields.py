"""Every field that was added after results were first kept says what older results count as."""

import json

from tfmeta import registry
from tfmeta.config import fields

# The fields of the first format of results that is still read (tfmeta-result-2). Never add one here: a new field
# declares `legacy=` instead.
FIRST = """
attack.boost attack.checkpoint_episodes attack.episodes attack.inner_steps attack.meta_step_size attack.name
attack.target_label attack.target_replacement attack.target_shots attack.triggered_shots
attack.triggered_target data.split_seed defence.alpha_learning_rate defence.attention_steps
defence.beta_initial defence.beta_learning_rate defence.delta defence.extra_episodes defence.extra_few
defence.extra_many defence.extra_meta_step_size defence.extra_order defence.gates defence.mixed_layers
defence.queries defence.score defence.split_queries evaluation.backdoor_classes_in_task
evaluation.batch_norm_statistics evaluation.fine_tuning_steps evaluation.task_label evaluation.task_seed
evaluation.task_shots evaluation.task_steps evaluation.tasks federation.aggregation
federation.aggregation_norm federation.alpha federation.clients_per_round federation.pretraining_episodes
federation.pretraining_rounds federation.round_episodes federation.rounds_after federation.runtime
meta_learning.adam_state meta_learning.downsample meta_learning.filters meta_learning.inner_batch_size
meta_learning.inner_learning_rate meta_learning.inner_steps meta_learning.meta_batch_size
meta_learning.meta_step_size_final meta_learning.meta_step_size_initial meta_learning.seed meta_learning.shots
meta_learning.ways trigger.cell trigger.color trigger.corner trigger.margin trigger.pattern trigger.size
""".split()  # noqa: SIM905 - a list of words reads better


def test_fields_that_were_added_later_declare_what_the_code_did_before():
    added = {name: field for name, field in fields().items() if name not in (*FIRST, *registry.options())}
    missing = [name for name, field in added.items() if "legacy" not in field.metadata]
    assert not missing, f"declare legacy= for {', '.join(missing)}: what did the code do before?"
    assert set(FIRST) <= set(fields()), "a field is gone: results that have it could not be read"


def test_legacy_values_are_values_of_their_fields():
    for name, field in fields().items():
        if "legacy" in field.metadata:
            assert isinstance(field.metadata["legacy"], field.type), name
            assert json.loads(json.dumps(field.metadata["legacy"])) == field.metadata["legacy"], name
