"""Every command of README, CONTRIBUTING and the documentation works: run at smoke, or planned only where it says so."""

import sys

import pytest
from doc_blocks import PAGES, blocks, files, inline_commands, name
from doc_commands import at_smoke, draws_with_a_plug_in, plan, run
from listening import OpenPorts

from tfmeta import registry

RUN = [page for page in PAGES if any(block.runs for block in blocks(page))]
PLANNED = [block for page in PAGES for block in blocks(page) if block.planned]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One folder for all pages, so that a model is trained once."""
    return tmp_path_factory.mktemp("docs")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", RUN, ids=name)
def test_blocks_of_a_page_run_from_top_to_bottom(page, folder, cache_dir, monkeypatch, forget_plugins):
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    for file, text in files(page).items():
        (folder / file).write_text(text)
    names, known = {"__name__": "page"}, dict(registry._OUTSIDE)
    with OpenPorts():  # no documented way to train opens one
        for block in filter(lambda block: block.runs, blocks(page)):
            if block.language == "python":
                _forget(known)
                exec(compile(at_smoke(block.text), block.place, "exec"), names)
                continue
            for words in block.commands():
                _forget(known)
                if not draws_with_a_plug_in(words):
                    run(words)


def _forget(known):
    """Forget the plug-ins of other blocks: a reader runs commands and Python in processes of their own."""
    registry._OUTSIDE.clear()
    registry._OUTSIDE.update(known)
    for module in [module for module in sys.modules if module.startswith("tfmeta_outside.")]:
        del sys.modules[module]


@pytest.mark.parametrize("block", PLANNED, ids=lambda block: block.place)
def test_planned_commands_are_known_with_their_names_and_values(block):
    assert block.language == "sh" and block.commands()
    for words in block.commands():
        plan(words)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_in_running_text_are_known(page):
    for words in inline_commands(page):
        plan(words)


def test_commands_are_found():
    assert len(RUN) > 8 and len(PLANNED) > 8 and sum(len(inline_commands(page)) for page in PAGES) > 15


@pytest.mark.parametrize("words", ["make fig99", "make fig5 SET=nonsense=1", "tfmeta run nonsense", "rm -rf results"])
def test_planning_refuses_what_does_not_exist(words):
    with pytest.raises(Exception, match=r"fig99|nonsense|nothing checks"):
        plan(words.split())
