from __future__ import annotations

import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest

from loopwright.cli.main import run
from scripts import (
    write_cli_docs,
    write_compile_docs,
    write_gpu_docs,
    write_legality_docs,
    write_performance_docs,
    write_recipe_docs,
    write_reliability_docs,
    write_results_docs,
)

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize(
    "script",
    [
        write_cli_docs,
        write_compile_docs,
        write_gpu_docs,
        write_legality_docs,
        write_performance_docs,
        write_recipe_docs,
        write_reliability_docs,
        write_results_docs,
    ],
    ids=lambda script: script.PAGE.name,
)
def test_generated_pages_are_up_to_date(script: ModuleType):
    assert script.PAGE.read_text(encoding="utf-8") == script.page(), f"run {script.__name__}"


@pytest.mark.parametrize("document", PAGES, ids=lambda path: path.name)
def test_links_lead_to_files(document: Path):
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text(encoding="utf-8")):
        assert link.startswith("https://") or (document.parent / link).exists(), link


def test_the_transcript_in_the_readme_is_what_the_command_prints(capsys):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    [(command, expected)] = re.findall(r"```\n\$ loopwright (transform .*)\n((?:.*\n)*?)```", text)
    assert run(shlex.split(command)) == 0
    assert capsys.readouterr().out == expected


def test_the_pipeline_names_every_folder():
    text = (ROOT / "docs" / "pipeline.md").read_text(encoding="utf-8")
    folders = [path.parent.name for path in (ROOT / "src" / "loopwright").glob("*/__init__.py")]
    assert [folder for folder in folders if f"`{folder}/`" not in text] == []
