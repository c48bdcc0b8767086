"""What a deployment makes: identities instead of keys, a CA key that can only sign, and settings that the app knows."""

import re
from collections.abc import Mapping

import pytest

from shared.cli import ca
from shared.pki.keys import KeyType
from shared.pki.signing.loader import load_backend
from shared.settings import CLOUDS, CredentialKind, Settings
from tests.deployment.conftest import INFRA, Deploy
from tests.support.bicep.evaluation import Deployment, Resource
from tests.support.bicep.syntax import Template, text

ASSIGNMENTS = "Microsoft.Authorization/roleAssignments"
PLATFORM_SETTINGS = {
    # Read by the Functions host and its Python worker, not by the app.
    "AzureWebJobsStorage__credential",
    "AzureWebJobsStorage__blobServiceUri",
    "AzureWebJobsStorage__tableServiceUri",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "PYTHON_THREADPOOL_THREAD_COUNT",
}
REFUSED_BY_FLEX_CONSUMPTION = {
    # https://learn.microsoft.com/azure/azure-functions/functions-app-settings#flex-consumption-plan-deprecations
    "FUNCTIONS_WORKER_RUNTIME",
    "FUNCTIONS_WORKER_RUNTIME_VERSION",
    "FUNCTIONS_EXTENSION_VERSION",
    "FUNCTIONS_WORKER_PROCESS_COUNT",
    "ENABLE_ORYX_BUILD",
    "SCM_DO_BUILD_DURING_DEPLOYMENT",
    "WEBSITE_CONTENTSHARE",
    "WEBSITE_CONTENTAZUREFILECONNECTIONSTRING",
    "WEBSITE_RUN_FROM_PACKAGE",
}
MAY_READ_BLOBS_AND_SET_THEIR_OWNERS = "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"
MAY_WRITE_BLOBS = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
MAY_WRITE_TABLES = "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3"
MAY_PUBLISH_METRICS = "3913510d-42f4-4e42-8a64-420c390055eb"


class Recorder(dict[str, str]):
    """Settings that remember which names were asked for."""

    def __init__(self, values: Mapping[str, str]) -> None:
        super().__init__(values)
        self.asked: set[str] = set()

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]
        self.asked.add(name)
        return super().get(name, default)


def app_settings(deployment: Deployment) -> dict[str, str]:
    (found,) = (each for each in deployment.of_type("Microsoft.Web/sites/config") if each.name.endswith("/appsettings"))
    return dict(found.properties)


def rights_of(deployment: Deployment, principal: str) -> set[tuple[str, str]]:
    """(role, kind of resource that it is held on)."""
    held = [found for found in deployment.of_type(ASSIGNMENTS) if found.properties["principalId"] == principal]
    return {(role_of(each), each.id.split("/providers/")[-2].partition("/")[2].split("/")[-2]) for each in held}


def role_of(assignment: Resource) -> str:
    return str(assignment.properties["roleDefinitionId"]).rpartition("/")[2]


def test_the_app_starts_with_the_settings_that_it_is_given(deployed: Deploy) -> None:
    settings = Settings.read(app_settings(deployed()))

    assert not settings.development
    assert settings.storage.connection_string is None
    assert settings.entra.credential is CredentialKind.MANAGED_IDENTITY
    assert settings.pki.signing_backend == "key_vault"
    load_backend(settings.pki.signing_backend, settings.environment)


def test_every_setting_is_one_that_somebody_reads(deployed: Deploy) -> None:
    given = Recorder(app_settings(deployed()))
    load_backend("key_vault", Settings.read(given).environment)

    assert set(given) - given.asked - PLATFORM_SETTINGS == set()
    assert given.keys() & REFUSED_BY_FLEX_CONSUMPTION == set()


def test_further_settings_reach_the_app_but_cannot_undo_its_own(deployed: Deploy) -> None:
    settings = app_settings(deployed(settings={"PKI_MAIL_DOMAINS": "contoso.com", "CA_SIGNING_BACKEND": "software"}))

    assert settings["PKI_MAIL_DOMAINS"] == "contoso.com"
    assert settings["CA_SIGNING_BACKEND"] == "key_vault"


def test_settings_of_the_operator_are_kept_out_of_the_deployments_record() -> None:
    for path in (INFRA / "main.bicep", INFRA / "modules" / "function-app.bicep"):
        decorators = Template(path).parameters()["settings"].decorators
        assert "@secure()" in [text(decorator) for decorator in decorators]


def test_no_setting_is_a_secret(deployed: Deploy) -> None:
    settings = app_settings(deployed())

    assert not [name for name in settings if re.search(r"SECRET|PASSWORD|PASSPHRASE|PIN$|_KEY$(?<!VAULT_KEY)", name)]
    assert not [name for name, value in settings.items() if re.search(r"AccountKey=|SharedAccess|sig=", value)]


def test_an_operator_reads_the_same_settings_from_the_outputs(deployed: Deploy) -> None:
    deployment = deployed()
    given = app_settings(deployment)

    operators = Settings.read(deployment.outputs)

    assert operators.storage.table == given["DIRECTORY_TABLE"]
    assert {name: deployment.outputs[name] for name in given if name in deployment.outputs} == {
        name: value for name, value in given.items() if name in deployment.outputs
    }


@pytest.mark.parametrize(
    ("cloud", "ours"), [("AzureCloud", "global"), ("AzureUSGovernment", "usgov"), ("AzureChinaCloud", "china")]
)
def test_each_cloud_of_azure_is_one_that_the_app_knows(deployed: Deploy, cloud: str, ours: str) -> None:
    assert app_settings(deployed(cloud=cloud))["ENTRA_CLOUD"] == ours
    assert ours in CLOUDS


def test_storage_takes_identities_only(deployed: Deploy) -> None:
    account = deployed().only("Microsoft.Storage/storageAccounts").properties

    assert account["allowSharedKeyAccess"] is False
    assert account["allowBlobPublicAccess"] is False
    assert account["supportsHttpsTrafficOnly"] is True


def test_the_table_and_the_container_of_the_directory_are_made(deployed: Deploy) -> None:
    deployment = deployed(directoryName="contoso")

    tables = deployment.of_type("Microsoft.Storage/storageAccounts/tableServices/tables")
    containers = deployment.of_type("Microsoft.Storage/storageAccounts/blobServices/containers")
    assert [each.name.rpartition("/")[2] for each in tables] == ["contoso"]
    assert {"contoso", "contoso-anchors"} <= {each.name.rpartition("/")[2] for each in containers}
    (policy,) = deployment.of_type("Microsoft.Storage/storageAccounts/blobServices/containers/immutabilityPolicies")
    assert policy.name.split("/")[-2:] == ["contoso-anchors", "default"]
    assert app_settings(deployment)["DIRECTORY_TABLE"] == "contoso"


def test_the_vault_cannot_be_purged_and_knows_roles_only(deployed: Deploy) -> None:
    vault = deployed().only("Microsoft.KeyVault/vaults").properties

    assert vault["enableRbacAuthorization"] is True
    assert vault["enablePurgeProtection"] is True
    assert vault["softDeleteRetentionInDays"] == 90


@pytest.mark.parametrize("key_type", KeyType)
def test_any_type_of_ca_key_can_be_made_and_only_signs(deployed: Deploy, key_type: KeyType) -> None:
    key = deployed(caKeyType=str(key_type)).only("Microsoft.KeyVault/vaults/keys").properties

    if key_type.is_rsa:
        assert (key["kty"], key["keySize"]) == ("RSA-HSM", key_type.bits)
    else:
        assert (key["kty"], key["curveName"]) == ("EC-HSM", str(key_type))
    assert set(key["keyOps"]) == {"sign", "verify"}
    assert key["attributes"]["exportable"] is False


def test_the_key_is_of_the_type_that_ca_init_takes_when_nobody_says_another(deployed: Deploy) -> None:
    (key_type,) = (option.default for option in ca.init.params if option.name == "key_type")

    key = deployed().only("Microsoft.KeyVault/vaults/keys").properties
    assert f"{key['kty'].removesuffix('-HSM')}-{key['keySize']}" == key_type


def test_the_vault_is_of_the_tier_that_its_key_needs(deployed: Deploy) -> None:
    for hardware, tier, kty in ((True, "premium", "RSA-HSM"), (False, "standard", "RSA")):
        deployment = deployed(hardwareKey=hardware)
        assert deployment.only("Microsoft.KeyVault/vaults").properties["sku"]["name"] == tier
        assert deployment.only("Microsoft.KeyVault/vaults/keys").properties["kty"] == kty


def test_the_signers_role_reads_a_key_and_signs_and_nothing_else(deployed: Deploy) -> None:
    (permissions,) = deployed().only("Microsoft.Authorization/roleDefinitions").properties["permissions"]

    assert permissions["actions"] == []
    assert set(permissions["dataActions"]) == {
        "Microsoft.KeyVault/vaults/keys/read",
        "Microsoft.KeyVault/vaults/keys/sign/action",
    }


def test_the_app_has_no_more_rights_than_it_needs(deployed: Deploy) -> None:
    deployment = deployed()
    signer = deployment.only("Microsoft.Authorization/roleDefinitions").name

    assert rights_of(deployment, "the-app") == {
        (signer, "keys"),
        (MAY_READ_BLOBS_AND_SET_THEIR_OWNERS, "storageAccounts"),
        (MAY_WRITE_TABLES, "storageAccounts"),
        (MAY_PUBLISH_METRICS, "components"),
    }
    assert {each.properties["principalId"] for each in deployment.of_type(ASSIGNMENTS)} == {"the-app"}


def test_operators_are_a_group_that_signs_and_writes_the_directory(deployed: Deploy) -> None:
    deployment = deployed({"PKI_OPERATORS_GROUP_ID": "operators"})
    signer = deployment.only("Microsoft.Authorization/roleDefinitions").name

    assert rights_of(deployment, "operators") == {
        (signer, "keys"),
        (MAY_WRITE_BLOBS, "storageAccounts"),
        (MAY_WRITE_TABLES, "storageAccounts"),
    }


def test_the_plan_is_flex_consumption_and_as_many_threads_as_requests(deployed: Deploy) -> None:
    deployment = deployed()
    app = deployment.only("Microsoft.Web/sites").properties["functionAppConfig"]
    plan = deployment.only("Microsoft.Web/serverfarms").body

    assert plan["sku"] == {"name": "FC1", "tier": "FlexConsumption"}
    assert app["runtime"] == {"name": "python", "version": "3.11"}
    assert app["deployment"]["storage"]["authentication"] == {"type": "SystemAssignedIdentity"}
    requests = app["scaleAndConcurrency"]["triggers"]["http"]["perInstanceConcurrency"]
    assert app_settings(deployment)["PYTHON_THREADPOOL_THREAD_COUNT"] == str(requests)


def test_http_is_open_for_crls_and_publishing_passwords_are_off(deployed: Deploy) -> None:
    deployment = deployed()

    assert deployment.only("Microsoft.Web/sites").properties["httpsOnly"] is False
    policies = deployment.of_type("Microsoft.Web/sites/basicPublishingCredentialsPolicies")
    assert {each.name.rpartition("/")[2]: each.properties["allow"] for each in policies} == {"ftp": False, "scm": False}


def test_certificates_carry_the_name_that_was_asked_for(deployed: Deploy) -> None:
    assert app_settings(deployed())["PKI_PUBLIC_URL"].startswith("http://pki-prod-")
    named = deployed({"PKI_PUBLIC_URL": "http://pki.contoso.com"})
    assert app_settings(named)["PKI_PUBLIC_URL"] == named.outputs["PKI_PUBLIC_URL"] == "http://pki.contoso.com"


def test_telemetry_is_taken_from_identities_only(deployed: Deploy) -> None:
    deployment = deployed()

    assert deployment.only("Microsoft.Insights/components").properties["DisableLocalAuth"] is True
    assert app_settings(deployment)["APPLICATIONINSIGHTS_AUTHENTICATION_STRING"] == "Authorization=AAD"


def test_alerts_watch_the_logs_and_write_to_whom_one_names(deployed: Deploy) -> None:
    deployment = deployed({"PKI_ALERT_EMAILS": "pki@contoso.example,soc@contoso.example"})

    (receivers,) = (each.properties["emailReceivers"] for each in deployment.of_type("Microsoft.Insights/actionGroups"))
    assert [each["emailAddress"] for each in receivers] == ["pki@contoso.example", "soc@contoso.example"]
    workspace = deployment.only("Microsoft.OperationalInsights/workspaces").id
    rules = deployment.of_type("Microsoft.Insights/scheduledQueryRules")
    assert rules
    assert all(each.properties["scopes"] == [workspace] for each in rules)
    assert deployed().of_type("Microsoft.Insights/actionGroups") == []


def test_private_networking_closes_storage_and_vault_and_leaves_a_way_in_for_the_app(deployed: Deploy) -> None:
    deployment = deployed({"PKI_PRIVATE_NETWORKING": "true"})

    for kind in ("Microsoft.Storage/storageAccounts", "Microsoft.KeyVault/vaults"):
        assert deployment.only(kind).properties["publicNetworkAccess"] == "Disabled"
        assert deployment.only(kind).properties["networkAcls"]["defaultAction"] == "Deny"
    endpoints = deployment.of_type("Microsoft.Network/privateEndpoints")
    assert {each.properties["privateLinkServiceConnections"][0]["properties"]["groupIds"][0] for each in endpoints} == {
        "blob",
        "table",
        "vault",
    }
    (network,) = deployment.of_type("Microsoft.Network/virtualNetworks")
    (app_subnet, _) = network.properties["subnets"]
    assert app_subnet["properties"]["delegations"][0]["properties"]["serviceName"] == "Microsoft.App/environments"
    joined = deployment.only("Microsoft.Web/sites").properties["virtualNetworkSubnetId"]
    assert joined == f"{network.id}/subnets/{app_subnet['name']}"


def test_without_private_networking_there_is_no_network(deployed: Deploy) -> None:
    deployment = deployed()

    assert not [each for each in deployment.resources if each.type.startswith("Microsoft.Network/")]
    assert deployment.only("Microsoft.Web/sites").properties["virtualNetworkSubnetId"] is None


def test_the_directory_and_the_key_are_locked_against_deletion(deployed: Deploy) -> None:
    locked = {
        each.id.split("/providers/")[1].split("/")[1] for each in deployed().of_type("Microsoft.Authorization/locks")
    }

    assert locked == {"storageAccounts", "vaults"}
    assert deployed(deletionLock=False).of_type("Microsoft.Authorization/locks") == []
