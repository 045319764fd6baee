"""`tfmeta config`: every field with its whole words, and what differs from the paper's setting."""

import re

import pytest
from command_line import invoked

from tfmeta.config import GROUPS, fields, make_config
from tfmeta.config.fields import allowed


@pytest.mark.parametrize("profile", ["smoke", "paper"])
def test_config_is_a_table_of_every_field_in_100_columns(profile):
    output = invoked("config", "--profile", profile)
    assert max(map(len, output.splitlines())) <= 100
    assert output.startswith(f"Omniglot, profile {profile}\n")
    names = re.findall(r"^(\w+) +\S", output, re.M)[1:]  # without the heading
    in_groups = sorted(fields(), key=lambda name: list(GROUPS).index(name.partition(".")[0]))
    assert names == [name.partition(".")[2] for name in in_groups]
    for word in ("ledger 16", "lambda in the", "defence: ", "true or false"):
        assert word in output
    whole = {word for field in fields().values() for word in f"{field.metadata['doc']} {allowed(field)}".split()}
    assert not {word.rstrip(";") for word in whole} - {word.rstrip(";") for word in output.split()}
    assert re.sub(r"\s+", " ", output).count("the gates alpha in the") == 1


def test_config_names_the_data_set_and_says_when_nothing_differs():
    output = invoked("config", "--profile", "paper", "--dataset", "glyphs", "--changed")
    assert output.splitlines() == [
        "glyphs (drawn from fonts: a stand-in, not Omniglot), profile paper", "",
        "nothing differs from the paper's setting",
    ]  # fmt: skip


def test_config_changed_prints_only_what_differs_from_the_papers_profile():
    changed = re.findall(r"^(\w+) +\d[^(]*\(paper: (\S+)\)", invoked("config", "--profile", "quick", "--changed"), re.M)
    paper, quick = (make_config("omniglot", profile) for profile in ("paper", "quick"))
    assert changed == [(n.partition(".")[2], f"{paper[n]:g}") for n in fields() if paper[n] != quick[n]]
    own = invoked("config", "--profile", "paper", "--changed", "--set", "delta=0.5")
    assert re.findall(r"^(\w+) ", own, re.M) == ["name", "delta"]
