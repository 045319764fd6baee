"""The sentence at the end of a command: means over users at the last point, before and after the attack."""

import numpy as np

from figures import FIGURES, summary
from tfmeta.store import results

BACKDOORS = ("backdoor_train", "backdoor_validation")


def read(folder, *experiments):
    paths = [path for name in experiments for path in sorted(folder.glob(f"{name}-[abc].json"))]
    return {path.stem: results.read(path) for path in paths}


def mean(document, metric, split="after", place=-1):
    curves = [entry for entry in document["curves"] if (entry["metric"], entry["split"]) == (metric, split)]
    assert curves
    return f"{np.mean([entry['mean'][place] for entry in curves]):.2f}"


def expected(document, place=-1, before=("before", -1)):
    now = [mean(document, metric, place=place) for metric in ("main", "meta_test", *BACKDOORS)]
    then = [mean(document, metric, *before) for metric in BACKDOORS]
    return "main task {}, meta-test {}, backdoor {} / {} (before the attack {} / {})".format(*now, *then)


def test_fine_tuning_is_read_at_its_last_iteration(made_up):
    documents = read(made_up(experiments=("fine_tuning",)), "fine_tuning")
    found = summary.sentence(documents).split("; ")
    assert found == [f"case ({d['case']}) after 200 iterations: {expected(d)}" for d in documents.values()]
    assert len(found) == 3


def test_rounds_are_read_at_the_last_and_before_the_attack(made_up):
    documents = read(made_up(experiments=("meta_training",)), "meta_training")
    found = summary.sentence({"a": documents["meta_training-a"]})
    assert found == f"case (a) in round 12: {expected(documents['meta_training-a'], before=('after', 1))}"


def test_a_delta_curve_is_read_at_the_runs_delta_and_at_the_last(made_up):
    documents = read(made_up(experiments=("delta-curve",)), "delta-curve")
    first, last = (expected(documents["delta-curve-a"], place, ("before", place)) for place in (2, 9))
    found = summary.sentence({"a": documents["delta-curve-a"]})
    assert found == f"case (a) with delta = 0.3: {first}; case (a) with delta = 1: {last}"


def test_ablations_compare_the_full_defence_with_none(made_up):
    documents = read(made_up(experiments=FIGURES["ablation-table"].experiments), "ablation-*")
    found = summary.sentence(documents)
    assert found.count("case (a)") == 2 and "full, case (a) after 200 iterations: " in found
    assert expected(documents["ablation-no-defence-c"]) in found and "beta" not in found


def test_an_ablation_alone_is_named_and_has_no_baseline(made_up):
    found = summary.sentence(read(made_up(experiments=("ablation-beta-1",)), "ablation-beta-1"))
    assert found.startswith("beta 1, case (a) after 200 iterations: main task ") and "before the attack" not in found


def test_documents_without_accuracies_say_nothing(made_up):
    assert summary.sentence(read(made_up(experiments=("illustration",)), "illustration")) == ""
    assert summary.sentence({}) == ""
