"""The reader of Bicep that the other tests rely on refuses what a compiler would refuse."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.bicep.azure import Azure
from tests.support.bicep.evaluation import BicepError, Deployment, deploy
from tests.support.bicep.syntax import Template

MODULE = """
param name string
@allowed(['a', 'b'])
param kind string = 'a'
resource vault 'Example.Vault/vaults@2026-01-01' = {
  name: name
  properties: { kind: kind, url: 'https://${name}.example' }
}
output url string = vault.properties.url
"""


def deployment_of(folder: Path, source: str, **parameters: Any) -> Deployment:
    (folder / "module.bicep").write_text(MODULE)
    (folder / "main.bicep").write_text(source)
    return deploy(folder / "main.bicep", parameters, Azure())


def test_modules_conditions_and_loops_are_followed(tmp_path: Path) -> None:
    found = deployment_of(
        tmp_path,
        """
        param names array
        var wanted = !empty(names) ? names : []
        module one 'module.bicep' = [for (name, index) in wanted: {
          name: name
          params: { name: '${name}${index}' }
        }]
        module none 'module.bicep' = if (empty(names)) { name: 'none', params: { name: 'none' } }
        output first string = one[0].outputs.url
        """,
        names=["x", "y"],
    )

    assert [resource.name for resource in found.resources] == ["x0", "y1"]
    assert found.outputs == {"first": "https://x0.example"}


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("output x string = nothing", "nothing declares nothing"),
        ("module m 'module.bicep' = { name: 'm', params: {} }", "the parameter name is missing"),
        ("module m 'module.bicep' = { name: 'm', params: { name: 'v', nmae: 'v' } }", "has no parameter nmae"),
        ("module m 'module.bicep' = { name: 'm', params: { name: 1 } }", "cannot be 1"),
        ("module m 'module.bicep' = { name: 'm', params: { name: 'v', kind: 'c' } }", "cannot be 'c'"),
        (
            "module m 'module.bicep' = { name: 'm', params: { name: 'v' } }\noutput x string = m.outputs.uri",
            "m.outputs.uri has no value",
        ),
        ("var x = reverse('x')", "the function reverse is not known"),
        ("var x = {", "syntax errors"),
    ],
)
def test_a_mistake_is_an_error(tmp_path: Path, source: str, complaint: str) -> None:
    with pytest.raises(BicepError, match=complaint):
        deployment_of(tmp_path, source)


def test_what_is_declared_and_not_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "main.bicep").write_text("param used string\nparam idle string\nvar also = used\n")

    assert Template(tmp_path / "main.bicep").unused() == ["idle", "also"]
