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


@pytest.mark.parametrize("variable", ["FRESH", "KEEP", "YES"])
def test_a_switch_is_on_unless_it_says_no(ready, variable):
    option = f"--{variable.lower()}"
    assert option in ready.run("fig5", f"{variable}=1")[1]
    assert all(option not in ready.run("fig5", given)[1] for given in ("SEED=1", f"{variable}=0", f"{variable}=no"))


HARM = [
    "a'b", 'x"; touch harm; "', "'; touch harm; '", "a=$(touch harm)", "a=$(shell touch harm)", "a=`touch harm`",
    "$b$$c",
]  # fmt: skip


@pytest.mark.parametrize("place", ["command line", "environment"])
def test_no_value_is_run_or_expanded(ready, place):
    values = {"SET": " ".join(HARM), "DATA_DIR": "/tmp/a$b c'd", "SEED": HARM[2], "ATTACK": HARM[4], "FRESH": HARM[2]}
    if place == "command line":
        code, printed, error = ready.run("fig5", *(f"{name}={value}" for name, value in values.items()))
    else:
        code, printed, error = ready.run("fig5", **values)
    assert code == 0, error
    pairs = list(itertools.pairwise(ast.literal_eval(printed)))
    assert [value for name, value in pairs if name == "--set"] == " ".join(HARM).split()
    expected = ("--data-dir", values["DATA_DIR"]), ("--seed", HARM[2]), ("--attack", HARM[4])
    assert all(pair in pairs for pair in expected) and "--fresh" in ast.literal_eval(printed)
    assert not (ready.folder / "harm").exists()


@pytest.mark.parametrize("name", ["fig5'; touch harm; '", "fig`touch harm`", 'fig"; touch harm; "'])
def test_a_target_is_not_run(ready, name):
    code, printed, error = ready.run(name)
    assert code == 0, error
    assert ast.literal_eval(printed)[:2] == ["figure", name] and not (ready.folder / "harm").exists()


@pytest.mark.parametrize("given", ["PROFLE='; touch harm; '", "SET='; touch harm; '", "GPU='; touch harm; '=x"])
def test_quotes_beside_a_misspelt_variable_are_harmless(checkout, given):
    code, _, printed = checkout.run("help", given, "SEDE='; touch harm; '")
    assert code != 0 and ("PROFILE" in printed or "SEED" in printed)
    assert not (checkout.folder / "harm").exists()


@pytest.mark.slow
def test_environment_in_a_folder_with_blanks_and_quotes(checkout):
    folder = "an `env` with 'quotes' \"and\" $dollars"
    code, printed, error = checkout.run("fig5", f"VENV={folder}")
    assert code == 0 and ast.literal_eval(printed)[1] == "fig5", error
    assert (checkout.folder / folder / "bin" / "tfmeta").exists()


def test_words_for_pytest_are_split_like_a_shells_and_not_run(ready):
    module = ready.env / "lib/python3.11/site-packages/pytest.py"
    module.write_text("import sys; print(sys.argv[1:])")
    try:
        code, printed, error = ready.run("test-fast", "PYTEST_ARGS=-k 'a b' $(touch harm) ; touch harm")
        assert code == 0, error
        assert ast.literal_eval(printed) == ["-m", "not slow", "-k", "a b", "$(touch", "harm)", ";", "touch", "harm"]
        code, _, error = ready.run("test", "PYTEST_ARGS=it's")
        assert code != 0 and "tfmeta: PYTEST_ARGS cannot be split into words" in error and "Traceback" not in error
    finally:
        module.unlink()
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
