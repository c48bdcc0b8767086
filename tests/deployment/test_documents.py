"""What the pages on deployment and security say can be checked: limits, and names of outputs."""

import importlib
import re
from datetime import timedelta

import pytest

from local.processes import REPOSITORY
from tests.deployment.conftest import INFRA, Deploy

DOCS = REPOSITORY / "docs"
LIMIT = re.compile(r"^\| [^|]+ \| (\d+)(?: (\w+))? \| `([\w.]+)\.(\w+)` \|$", re.MULTILINE)
UNITS: dict[str, int | timedelta] = {
    "": 1,
    "characters": 1,
    "bytes": 1,
    "KiB": 1024,
    "MiB": 1024 * 1024,
    "s": timedelta(seconds=1),
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "days": 1,
}
SET_BY_THE_PAGE = {"RG", "TOKEN", "ISSUER", "A", "E", "H", "P"}


@pytest.mark.parametrize(
    ("number", "unit", "module", "constant"), LIMIT.findall((DOCS / "security.md").read_text(encoding="utf-8"))
)
def test_a_limit_is_what_the_code_has(number: str, unit: str, module: str, constant: str) -> None:
    assert getattr(importlib.import_module(module), constant) == int(number) * UNITS[unit]


def test_every_limit_of_the_page_is_compared() -> None:
    page = (DOCS / "security.md").read_text(encoding="utf-8")

    assert len(LIMIT.findall(page)) == page.count("| `shared.") > 0


@pytest.mark.parametrize("page", ["deploy.md", "checklist-azure.md"])
def test_commands_use_variables_that_the_deployment_sets(deployed: Deploy, page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")

    used = set(re.findall(r"\$\{?([A-Z][A-Z_]*)|get-value ([A-Z_]+)", text))
    names = {name for pair in used for name in pair if name}
    assert names - SET_BY_THE_PAGE - set(deployed().outputs) == set()


def test_the_page_names_what_the_parameter_file_reads() -> None:
    page = (DOCS / "deploy.md").read_text(encoding="utf-8")
    parameters = (INFRA / "main.bicepparam").read_text(encoding="utf-8")

    read = set(re.findall(r"readEnvironmentVariable\('(\w+)'", parameters))
    assert {name for name in read if name not in page} == set()


def test_links_of_the_pages_lead_somewhere() -> None:
    pages = [REPOSITORY / "SECURITY.md", *(DOCS / name for name in ("deploy.md", "checklist-azure.md", "security.md"))]
    for page in pages:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
