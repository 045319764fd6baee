"""The variables of make reach the command unchanged, and a misspelt one is refused."""

import ast
import itertools

import pytest


@pytest.mark.parametrize("given", ["profile=smoke", "PROFLE=smoke", "Profile:=smoke"])
def test_misspelt_variable_is_refused_and_the_right_one_named(checkout, given):
    code, _, printed = checkout.run("fig5", given, "SET=a=1 b=2")
    assert code != 0 and len(printed.splitlines()) == 1
    assert given.partition("=")[0].rstrip(":") in printed and "PROFILE" in printed
    assert not checkout.env.exists()


@pytest.mark.parametrize("given", ["RESULTS=x", "it's=x"])
def test_variable_like_no_other_is_refused(checkout, given):
    code, _, printed = checkout.run("help", given)
    assert code != 0 and given.partition("=")[0] in printed and len(printed.splitlines()) == 1


def test_values_reach_the_command_unchanged(ready):
    settings = ["name=';>harm;'", 'list=["a","b"]', "glob=*", "path=a\\b", "run=`>harm`"]
    data = 'a user\'s\tdata "folder"'
    code, printed, error = ready.run("fig5", f"SET={' '.join(settings)}", f"DATA_DIR={data}", "PROFILE=smoke")
    assert code == 0, error
    command = ast.literal_eval(printed)
    assert command[:2] == ["figure", "fig5"] and command[command.index("--profile") + 1] == "smoke"
    assert command[command.index("--data-dir") + 1] == data
    assert [value for name, value in itertools.pairwise(command) if name == "--set"] == settings
    assert not (ready.folder / "harm").exists()


def test_names_and_files_of_plugins_reach_the_command(ready):
    names = {"ATTACK": "an attack", "DEFENCE": "it's", "TRIGGER": "`>harm`", "AGGREGATION": "sum", "MODEL": "conv4"}
    files = ["my_plug_in.py", "*.py", "../other's.py"]
    given = [f"{name}={value}" for name, value in names.items()] + [f"PLUGIN={' '.join(files)}"]
    code, printed, error = ready.run("fig7", *given)
    assert code == 0, error
    command = ast.literal_eval(printed)
    pairs = list(itertools.pairwise(command))
    assert all((f"--{name.lower()}", value) in pairs for name, value in names.items())
    assert [value for name, value in pairs if name == "--plugin"] == files
    code, printed, error = ready.run("data", "DATASET=my-own", "SET=folder=x y=2", "PLUGIN=a.py b.py")
    assert code == 0, error
    assert ast.literal_eval(printed) == [
        "data", "--dataset", "my-own", "--set", "folder=x", "--set", "y=2", "--plugin", "a.py", "--plugin", "b.py"
    ]  # fmt: skip
    assert "--plugin" not in ready.run("fig7")[1] and "--attack" not in ready.run("fig7")[1]


def test_help_fits_one_screen(checkout):
    code, printed, _ = checkout.run("help")
    lines = printed.splitlines()
    assert code == 0 and len(lines) <= 24 and max(map(len, lines)) <= 100
