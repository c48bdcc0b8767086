"""The templates hold together: what a compiler would say of them, as far as can be said without one.

Where there is a Bicep compiler it is asked, too.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deployment.conftest import ENVIRONMENT, INFRA, Deploy, templates
from tests.support.bicep.evaluation import parameter_file
from tests.support.bicep.syntax import Template

NAME_RULES = {
    # https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
    "Microsoft.Storage/storageAccounts": r"[a-z0-9]{3,24}",
    "Microsoft.KeyVault/vaults": r"[a-zA-Z](?!.*--)[a-zA-Z0-9-]{1,22}[a-zA-Z0-9]",
    "Microsoft.Web/sites": r"[a-zA-Z0-9][a-zA-Z0-9-]{0,58}[a-zA-Z0-9]",
    "Microsoft.Web/serverfarms": r"[a-zA-Z0-9-]{1,60}",
    "Microsoft.OperationalInsights/workspaces": r"[a-zA-Z0-9][a-zA-Z0-9-]{2,61}[a-zA-Z0-9]",
    "Microsoft.Network/virtualNetworks": r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}[a-zA-Z0-9_]",
}
PREVIEWS = {"Microsoft.Insights/diagnosticSettings"}
"""Types that have no stable version which is newer than their preview."""


@pytest.mark.parametrize("path", templates(), ids=lambda path: str(path.relative_to(INFRA)))
def test_a_template_is_bicep_and_uses_all_that_it_declares(path: Path) -> None:
    template = Template(path)

    assert template.errors == []
    assert template.unused() == []


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("environment_name", ["p", "a-long-name-of-24-letter"])
def test_names_are_ones_that_azure_takes(deployed: Deploy, private: bool, environment_name: str) -> None:
    deployment = deployed(environmentName=environment_name, privateNetworking=private)

    for kind, rule in NAME_RULES.items():
        for resource in deployment.of_type(kind):
            assert re.fullmatch(rule, resource.name), resource.id


def test_no_two_resources_are_the_same(deployed: Deploy) -> None:
    resources = deployed({"PKI_OPERATORS_GROUP_ID": "operators"}, privateNetworking=True).resources

    assert len({resource.id for resource in resources}) == len(resources)


def test_versions_of_the_interface_are_stable_and_one_for_each_type(deployed: Deploy) -> None:
    versions: dict[str, set[str]] = {}
    for resource in deployed(privateNetworking=True).resources:
        versions.setdefault(resource.type, set()).add(resource.api_version)

    assert {kind: found for kind, found in versions.items() if len(found) > 1} == {}
    previews = {kind for kind, (version,) in versions.items() if not re.fullmatch(r"\d{4}-\d\d-\d\d", version)}
    assert previews <= PREVIEWS


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_what_must_be_said_is_asked_for(name: str) -> None:
    with pytest.raises(LookupError, match=name):
        parameter_file(
            INFRA / "main.bicepparam", {known: value for known, value in ENVIRONMENT.items() if known != name}
        )


@pytest.mark.skipif(not shutil.which("bicep"), reason="no Bicep compiler on the PATH")
@pytest.mark.parametrize("name", ["main.bicep", "main.bicepparam"])
def test_the_compiler_has_nothing_to_say(name: str) -> None:
    command = ["bicep", "build" if name.endswith(".bicep") else "build-params", str(INFRA / name), "--stdout"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | ENVIRONMENT)

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)
