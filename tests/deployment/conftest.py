"""The templates of `infra/`, deployed on paper."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from local.processes import REPOSITORY
from tests.support.bicep.azure import Azure
from tests.support.bicep.evaluation import Deployment, deploy, parameter_file

INFRA = REPOSITORY / "infra"
ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "Microsoft.Storage/storageAccounts": {
        "properties": {
            "primaryEndpoints": {
                "table": "https://{name}.table.core.windows.net/",
                "blob": "https://{name}.blob.core.windows.net/",
            }
        }
    },
    "Microsoft.Web/sites": {
        "identity": {"principalId": "the-app"},
        "properties": {"defaultHostName": "{name}.azurewebsites.net"},
    },
    "Microsoft.KeyVault/vaults": {"properties": {"vaultUri": "https://{name}.vault.azure.net/"}},
    "Microsoft.OperationalInsights/workspaces": {"properties": {"customerId": "{name}"}},
    "Microsoft.Insights/components": {"properties": {"ConnectionString": "InstrumentationKey={name}"}},
}
"""What Azure adds to what was sent, and the templates read."""

ENVIRONMENT = {
    "AZURE_ENV_NAME": "prod",
    "AZURE_LOCATION": "westeurope",
    "ENTRA_CLIENT_ID": "b3b7a1de-4a53-4e0c-8f53-6c1d2e3f4a5b",
}
"""What main.bicepparam cannot do without."""

Deploy = Callable[..., Deployment]


def templates() -> list[Path]:
    return sorted(INFRA.rglob("*.bicep"))


@pytest.fixture
def deployed() -> Deploy:
    """Deploys main.bicep with main.bicepparam in the environment, and with parameters that say otherwise."""

    def run(environment: dict[str, str] | None = None, cloud: str = "AzureCloud", **parameters: Any) -> Deployment:
        seen = ENVIRONMENT | (environment or {})
        given = parameter_file(INFRA / "main.bicepparam", seen)
        return deploy(INFRA / "main.bicep", given | parameters, Azure(cloud=cloud, answers=ANSWERS))

    return run
