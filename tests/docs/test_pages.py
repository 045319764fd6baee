"""The pages keep their promises: short README, known languages, how-to pages that end in something that runs."""

import re

import click
import pytest
from doc_blocks import PAGES, ROOT, blocks, name

from experiments.cli import main
from tfmeta.config import GROUPS, fields

HOW_TO = [page for page in PAGES if page.parent.name == "how-to"]


def test_readme_has_at_most_140_lines():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 140


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_blocks_are_in_known_languages(page):
    # a command in a block of another language would be neither run nor planned
    assert {block.language for block in blocks(page)} <= {"sh", "python", "text", "bibtex"}
    assert page.read_text(encoding="utf-8").count("```") == 2 * len(blocks(page))


@pytest.mark.parametrize("page", HOW_TO, ids=name)
def test_how_to_pages_end_in_something_that_runs(page):
    assert blocks(page)[-1].runs


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_fields_that_a_page_names_exist(page):
    field = rf"(?:{'|'.join(GROUPS)})\.[a-z_]+"
    for found in re.finditer(rf"(?<![\w./])({field})=|`({field})`", page.read_text(encoding="utf-8")):
        assert (found[1] or found[2]) in fields(), found[0]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_that_a_page_links_to_exist(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_of_the_project_that_a_page_names_exist(page):
    text = page.read_text(encoding="utf-8")
    for path in re.findall(r"`((?:tfmeta|experiments|figures|docs)/[\w/.-]+)`", text):
        if path.startswith("figures/out/") or path.endswith("stripes.py"):  # made by a run; made by the reader
            continue
        assert (ROOT / path).exists(), path


def test_command_page_names_every_command_and_option():
    text = (ROOT / "docs" / "reference" / "command.md").read_text(encoding="utf-8")
    for command in main.commands.values():
        assert f"`tfmeta {command.name}" in text
        for option in command.params:
            if isinstance(option, click.Option):
                assert any(f"`{flag}" in text for flag in option.opts), (command.name, option.opts)
