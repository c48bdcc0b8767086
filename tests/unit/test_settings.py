"""Settings: everything wrong is named at once, and nothing of the laptop gets into a deployment."""

from datetime import timedelta
from pathlib import Path

import pytest

from shared.settings import CredentialKind, InvalidSettings, Settings, sync_schedule

TENANT = "11111111-2222-3333-4444-555555555555"
CLIENT = "AAAAAAAA-bbbb-cccc-dddd-eeeeeeeeeeee"

LAPTOP = {
    "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
    "ENTRA_TENANT_ID": TENANT,
    "ENTRA_CLIENT_ID": CLIENT,
    "ENTRA_CLIENT_SECRET": "not-a-secret",
}
AZURE = {
    "AzureWebJobsStorage__accountName": "contosopki",
    "ENTRA_TENANT_ID": TENANT,
    "ENTRA_CLIENT_ID": CLIENT,
    "ENTRA_MANAGED_IDENTITY": "true",
    "CA_SIGNING_BACKEND": "key_vault",
    "CA_KEY_VAULT_URL": "https://contoso.vault.azure.net/",
    "CA_KEY_VAULT_KEY": "issuing-ca",
    "PKI_PUBLIC_URL": "http://pki.contoso.example",
}


def problems(environment: dict[str, str]) -> dict[str, str]:
    with pytest.raises(InvalidSettings) as caught:
        Settings.read(environment)
    return caught.value.problems


def test_the_defaults_are_those_of_the_documentation() -> None:
    settings = Settings.read(LAPTOP)

    assert settings.entra.client_id == CLIENT.lower()
    assert settings.entra.api_audiences == (CLIENT.lower(), f"api://{CLIENT.lower()}")
    assert settings.entra.graph_base_url == "https://graph.microsoft.com/v1.0"
    assert settings.entra.credential is CredentialKind.SECRET
    assert settings.sync.schedule == "0 */5 * * * *"
    assert settings.sync.time_budget == timedelta(seconds=240)
    assert (settings.sync.max_removals, settings.sync.max_removals_share) == (50, 0.05)
    assert (settings.pki.default_validity_days, settings.pki.default_key_size) == (365, 2048)
    assert settings.pki.software_key_path == Path(".local/ca/issuer.pem")
    assert settings.storage.table == "directory"


def test_telemetry_names_what_it_does_not_know_and_what_it_lacks() -> None:
    assert set(problems(LAPTOP | {"LOG_FORMAT": "xml", "TELEMETRY_EXPORT": "statsd"})) == {
        "LOG_FORMAT",
        "TELEMETRY_EXPORT",
    }
    assert set(problems(LAPTOP | {"TELEMETRY_EXPORT": "otlp, azure_monitor"})) == {
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "APPLICATIONINSIGHTS_CONNECTION_STRING",
    }


def test_a_deployment_with_managed_identity_needs_no_secret() -> None:
    settings = Settings.read(AZURE)

    assert settings.storage.connection_string is None
    assert settings.storage.tables_url == "https://contosopki.table.core.windows.net"
    assert settings.entra.credential is CredentialKind.MANAGED_IDENTITY
    assert settings.pki.key_vault_url == "https://contoso.vault.azure.net"


def test_everything_wrong_is_named_at_once() -> None:
    found = problems(
        {
            "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
            "ENTRA_TENANT_ID": "contoso.example",
            "ENTRA_DEFAULT_KEY_SIZE": "1024",
            "ENTRA_DEFAULT_CERTIFICATE_VALIDITY_DAYS": "0",
            "ENTRA_SYNC_SCHEDULE": "every minute",
            "ENTRA_CLOUD": "mars",
            "PKI_DENIED_GROUP_IDS": "admins",
        }
    )

    assert set(found) == {
        "AzureWebJobsStorage",
        "ENTRA_TENANT_ID",
        "ENTRA_CLIENT_ID",
        "ENTRA_CLIENT_SECRET",
        "ENTRA_CLOUD",
        "ENTRA_DEFAULT_KEY_SIZE",
        "ENTRA_DEFAULT_CERTIFICATE_VALIDITY_DAYS",
        "ENTRA_SYNC_SCHEDULE",
        "PKI_DENIED_GROUP_IDS",
    }


def test_the_public_message_names_no_setting_and_the_report_names_all() -> None:
    with pytest.raises(InvalidSettings) as caught:
        Settings.read({})

    assert "ENTRA_TENANT_ID" not in caught.value.message
    assert "- ENTRA_TENANT_ID: is required" in caught.value.report


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"ENTRA_CLIENT_SECRET": "not-a-secret"}, "ENTRA_CLIENT_SECRET"),
        ({"ENTRA_MANAGED_IDENTITY": "perhaps"}, "ENTRA_MANAGED_IDENTITY"),
        ({"CA_SIGNING_BACKEND": "software"}, "CA_SIGNING_BACKEND"),
        ({"CA_KEY_VAULT_KEY": ""}, "CA_KEY_VAULT_KEY"),
        ({"CA_KEY_VAULT_URL": "http://contoso.vault.azure.net"}, "CA_KEY_VAULT_URL"),
        ({"PKI_PUBLIC_URL": ""}, "PKI_PUBLIC_URL"),
        ({"GRAPH_BASE_URL": "https://127.0.0.1:8443/v1.0"}, "GRAPH_BASE_URL"),
        ({"ENTRA_AUTHORITY_HOST": "https://login.evil.example"}, "ENTRA_AUTHORITY_HOST"),
        ({"AzureWebJobsStorage": "UseDevelopmentStorage=true"}, "AzureWebJobsStorage"),
        (
            {"DIRECTORY_TABLES_URL": "http://a.example", "DIRECTORY_BLOBS_URL": "http://b.example"},
            "AzureWebJobsStorage",
        ),
        ({"DIRECTORY_TABLES_URL": "https://a.example"}, "DIRECTORY_TABLES_URL"),
        ({"DIRECTORY_TABLE": "No-Dashes"}, "DIRECTORY_TABLE"),
        ({"ENTRA_SYNC_MAX_REMOVALS": "120%"}, "ENTRA_SYNC_MAX_REMOVALS"),
        ({"PKI_POLICY_OIDS": "1.3.6.01"}, "PKI_POLICY_OIDS"),
        ({"ENTRA_API_AUDIENCES": "https://graph.microsoft.com"}, "ENTRA_API_AUDIENCES"),
        ({"ENTRA_VALIDATE_AUDIENCES": "00000003-0000-0000-c000-000000000000"}, "ENTRA_VALIDATE_AUDIENCES"),
        ({"PKI_ON_USER_DISABLED": "forget"}, "PKI_ON_USER_DISABLED"),
        ({"PKI_POLICY_OIDS": "1.50.3"}, "PKI_POLICY_OIDS"),
        ({"PKI_MAIL_DOMAINS": "@contoso.com"}, "PKI_MAIL_DOMAINS"),
        ({"PKI_MAIL_DOMAINS": "*.contoso.com"}, "PKI_MAIL_DOMAINS"),
        ({"PKI_PUBLIC_URL": "http://pki.contoso.example:99999"}, "PKI_PUBLIC_URL"),
        ({"PKI_PUBLIC_URL": "http://pki.exämple"}, "PKI_PUBLIC_URL"),
        ({"PKI_PUBLIC_URL": "http://pki.example/ x"}, "PKI_PUBLIC_URL"),
        ({"ENTRA_AUTHORITY_HOST": "https://contoso.ciamlogin.com:abc"}, "ENTRA_AUTHORITY_HOST"),
        ({"ENTRA_AUTHORITY_HOST": "https://evil.example/.ciamlogin.com"}, "ENTRA_AUTHORITY_HOST"),
        ({"GRAPH_BASE_URL": "https://contoso.ciamlogin.com"}, "GRAPH_BASE_URL"),
        ({"ENTRA_SYNC_SCHEDULE": "99 99 99 99 99 99"}, "ENTRA_SYNC_SCHEDULE"),
        ({"ENTRA_SYNC_SCHEDULE": "a b c d e f"}, "ENTRA_SYNC_SCHEDULE"),
        ({"PKI_MAX_VALIDITY_DAYS_CLIENT_AUTH": "90"}, "ENTRA_DEFAULT_CERTIFICATE_VALIDITY_DAYS"),
        ({"PKI_MIN_RSA_KEY_SIZE": "3072"}, "ENTRA_DEFAULT_KEY_SIZE"),
    ],
)
def test_a_deployment_refuses_what_is_wrong_or_only_for_a_laptop(changes: dict[str, str], name: str) -> None:
    assert name in problems(AZURE | changes)


def test_a_software_key_in_a_deployment_needs_an_explicit_word() -> None:
    settings = Settings.read(AZURE | {"CA_SIGNING_BACKEND": "software", "CA_ALLOW_SOFTWARE_KEY": "true"})

    assert settings.pki.signing_backend == "software"


@pytest.mark.parametrize(
    ("value", "expected"), [("7", (7, 0.0)), ("10%", (0, 0.1)), ("7,10%", (7, 0.1)), ("10%, 7", (7, 0.1))]
)
def test_the_removal_limit_is_a_number_a_share_or_both(value: str, expected: tuple[int, float]) -> None:
    sync = Settings.read(LAPTOP | {"ENTRA_SYNC_MAX_REMOVALS": value}).sync

    assert (sync.max_removals, sync.max_removals_share) == expected


def test_no_secret_is_shown_where_settings_are_printed() -> None:
    secrets = {
        "ENTRA_CLIENT_SECRET": "hush-client",
        "CA_SOFTWARE_KEY_PASSPHRASE": "hush-key",
        "AzureWebJobsStorage": "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=hush-storage",
        "CA_PKCS11_PIN": "hush-pin",
    }

    assert "hush" not in repr(Settings.read(LAPTOP | secrets))


def test_an_external_id_authority_is_microsofts() -> None:
    settings = Settings.read(AZURE | {"ENTRA_AUTHORITY_HOST": "https://contoso.ciamlogin.com"})

    assert settings.entra.authority_host == "https://contoso.ciamlogin.com"


@pytest.mark.parametrize("schedule", ["0 */5 * * * *", "30 0,30 8-18 * Jan-Mar Mon-Fri", "0 0 0 1 1 0"])
def test_schedules_may_name_ranges_lists_and_steps(schedule: str) -> None:
    assert Settings.read(LAPTOP | {"ENTRA_SYNC_SCHEDULE": schedule}).sync.schedule == schedule


def test_a_wrong_schedule_still_lets_the_app_load() -> None:
    assert sync_schedule({"ENTRA_SYNC_SCHEDULE": "nonsense"}) == "0 */5 * * * *"
    assert sync_schedule({"ENTRA_SYNC_SCHEDULE": "0 0 * * * *"}) == "0 0 * * * *"


@pytest.mark.parametrize(
    ("cloud", "authority", "graph"),
    [
        ("usgov", "https://login.microsoftonline.us", "https://graph.microsoft.us/v1.0"),
        ("dod", "https://login.microsoftonline.us", "https://dod-graph.microsoft.us/v1.0"),
        ("china", "https://login.partner.microsoftonline.cn", "https://microsoftgraph.chinacloudapi.cn/v1.0"),
    ],
)
def test_a_national_cloud_sets_both_hosts(cloud: str, authority: str, graph: str) -> None:
    entra = Settings.read(AZURE | {"ENTRA_CLOUD": cloud}).entra

    assert (entra.authority_host, entra.graph_base_url) == (authority, graph)


def test_expiry_notices_need_https_and_a_real_secret() -> None:
    secret = "whsec_" + "QQ" * 20
    url = "https://hooks.contoso.example/pki?code=abc"

    notices = Settings.read({**LAPTOP, "PKI_NOTICE_WEBHOOK_URL": url, "PKI_NOTICE_WEBHOOK_SECRET": secret}).notices

    assert (notices.days, notices.webhook_url, len(notices.webhook_secret or b"")) == ((30, 14, 7), url, 30)
    assert "abc" not in repr(notices)
    assert set(problems({**LAPTOP, "PKI_NOTICE_WEBHOOK_URL": url})) == {"PKI_NOTICE_WEBHOOK_SECRET"}
    for name, wrong in (
        ("PKI_NOTICE_WEBHOOK_URL", "http://hooks.contoso.example"),
        ("PKI_NOTICE_WEBHOOK_URL", "https://user@hooks.contoso.example"),
        ("PKI_NOTICE_WEBHOOK_SECRET", "whsec_QUJD"),
        ("PKI_NOTICE_WEBHOOK_SECRET", "QQ" * 20),
    ):
        assert name in problems(
            {**LAPTOP, "PKI_NOTICE_WEBHOOK_URL": url, "PKI_NOTICE_WEBHOOK_SECRET": secret, name: wrong}
        )


@pytest.mark.parametrize(("value", "days"), [("none", ()), ("7", (7,)), (" 1, 60,60 ", (60, 1)), (None, (30, 14, 7))])
def test_the_days_of_expiry_notices_are_a_list(value: str | None, days: tuple[int, ...]) -> None:
    environment = LAPTOP if value is None else {**LAPTOP, "PKI_EXPIRY_NOTICE_DAYS": value}

    assert Settings.read(environment).notices.days == days


@pytest.mark.parametrize("value", ["0", "366", "7;14", "seven", "-1", "7,"])
def test_other_days_are_refused(value: str) -> None:
    assert set(problems({**LAPTOP, "PKI_EXPIRY_NOTICE_DAYS": value})) == {"PKI_EXPIRY_NOTICE_DAYS"}
