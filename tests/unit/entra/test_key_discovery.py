"""What is believed of a discovery document."""

import pytest

from shared.entra.tokens.issuers import IssuerSource, TokenVersion, issuer_by_discovery, issuers_of_tenant
from shared.entra.tokens.key_discovery import DiscoveryFailed, checked_issuer, checked_jwks_uri

TENANT = "7e4a0000-0000-4000-8000-00000000000a"
OTHER = "0b0b0b0b-0000-4000-8000-00000000000b"
GLOBAL = "https://login.microsoftonline.com"
CUSTOM = issuer_by_discovery("https://login.contoso.example/x/v2.0")
SOURCES = {
    "v2": issuers_of_tenant(GLOBAL, TENANT)[0],
    "v1": issuers_of_tenant(GLOBAL, TENANT)[1],
    "laptop": issuers_of_tenant("https://127.0.0.1:4443", TENANT)[0],
    "custom": CUSTOM,
}


@pytest.mark.parametrize(
    ("source", "issuer"),
    [
        ("v2", f"{GLOBAL}/{TENANT}/v2.0"),
        ("v1", f"https://sts.windows.net/{TENANT}/"),
        ("laptop", f"https://127.0.0.1:4443/{TENANT}/v2.0"),
        ("laptop", f"https://other-name.example/{TENANT}/v2.0"),
        ("custom", f"https://{OTHER}.ciamlogin.com/{OTHER}/v2.0"),
    ],
)
def test_the_expected_issuer_is_believed(source: str, issuer: str) -> None:
    tenant = OTHER if OTHER in issuer else TENANT
    assert checked_issuer({"issuer": issuer}, SOURCES[source]) == (issuer, tenant)


@pytest.mark.parametrize(
    ("source", "issuer"),
    [
        ("v2", f"{GLOBAL}/{OTHER}/v2.0"),
        ("v2", f"{GLOBAL}/{TENANT}/v2.0/"),
        ("v2", f"{GLOBAL}/{{tenantid}}/v2.0"),
        ("v2", f"https://sts.windows.net/{TENANT}/"),
        ("v2", f"https://login.microsoftonline.us/{TENANT}/v2.0"),
        ("v1", f"{GLOBAL}/{TENANT}/v2.0"),
        ("laptop", f"https://127.0.0.1:4443/{OTHER}/v2.0"),
        ("laptop", f"https://127.0.0.1:4443/{TENANT.upper()}/v2.0"),
        ("laptop", f"https://127.0.0.1:4443/{TENANT}/"),
        ("laptop", f"http://127.0.0.1:4443/{TENANT}/v2.0"),
        ("laptop", f"https://evil@127.0.0.1:4443/{TENANT}/v2.0"),
        ("laptop", f"https:///{TENANT}/v2.0"),
        ("laptop", f"https://127.0.0.1:99999/{TENANT}/v2.0"),
        ("laptop", f"https://127.0.0.1:4443/{TENANT}/\n/v2.0"),
        ("laptop", f"https://127.0.0.1:4443/{TENANT}/#/v2.0"),
        ("custom", "https://login.contoso.example/v2.0"),
        ("custom", f"https://{TENANT}.example/{OTHER}/v2.0"),
        ("custom", None),
        ("custom", 1),
        ("custom", [f"https://login.contoso.example/{TENANT}/v2.0"]),
    ],
)
def test_no_other_issuer_is_believed(source: str, issuer: object) -> None:
    with pytest.raises(DiscoveryFailed):
        checked_issuer({"issuer": issuer}, SOURCES[source])


@pytest.mark.parametrize(
    ("source", "uri"),
    [
        ("v2", f"{GLOBAL}/{TENANT}/discovery/v2.0/keys"),
        ("v2", "https://login.windows.net/common/discovery/keys"),
        ("v1", f"{GLOBAL}/common/discovery/keys?appid=1"),
        ("laptop", "https://127.0.0.1:4443/keys"),
        ("custom", "https://login.contoso.example/keys"),
    ],
)
def test_keys_are_fetched_from_the_authority_itself(source: str, uri: str) -> None:
    assert checked_jwks_uri({"jwks_uri": uri}, SOURCES[source]) == uri


@pytest.mark.parametrize(
    "uri",
    [
        "https://evil.example/keys",
        "https://login.microsoftonline.com.evil.example/keys",
        "https://login.microsoftonline.com@evil.example/keys",
        "https://login.microsoftonline.com:444/keys",
        "https://login.microsoftonline.us/keys",
        "https://LOGIN.microsoftonline.com/keys",
        "http://login.microsoftonline.com/keys",
        "file:///etc/passwd",
        "https://169.254.169.254/metadata",
        "https://evil.example\\@login.microsoftonline.com/keys",
        "https://login.microsoftonline.com/keys#x",
        "/keys",
        "",
        None,
        7,
    ],
)
def test_keys_are_fetched_from_nowhere_else(uri: object) -> None:
    with pytest.raises(DiscoveryFailed):
        checked_jwks_uri({"jwks_uri": uri}, SOURCES["v2"])


@pytest.mark.parametrize(
    ("authority", "issuers"),
    [
        (GLOBAL, {f"{GLOBAL}/{TENANT}/v2.0", f"https://sts.windows.net/{TENANT}/"}),
        (
            "https://login.microsoftonline.us/",
            {f"https://login.microsoftonline.us/{TENANT}/v2.0", f"https://sts.windows.net/{TENANT}/"},
        ),
        (
            "https://login.chinacloudapi.cn",
            {f"https://login.partner.microsoftonline.cn/{TENANT}/v2.0", f"https://sts.chinacloudapi.cn/{TENANT}/"},
        ),
        ("https://contoso.ciamlogin.com", {f"https://{TENANT}.ciamlogin.com/{TENANT}/v2.0"}),
        ("https://127.0.0.1:4443", {None}),
    ],
)
def test_the_issuers_of_each_cloud_are_known_beforehand(authority: str, issuers: set[str | None]) -> None:
    assert {source.issuer for source in issuers_of_tenant(authority, TENANT)} == issuers


def test_each_version_has_its_own_discovery_document() -> None:
    assert [source.metadata_url for source in issuers_of_tenant(GLOBAL, TENANT)] == [
        f"{GLOBAL}/{TENANT}/v2.0/.well-known/openid-configuration",
        f"{GLOBAL}/{TENANT}/.well-known/openid-configuration",
    ]


def test_v1_takes_keys_that_name_the_v2_issuer_but_not_the_reverse() -> None:
    v2, v1 = issuers_of_tenant(GLOBAL, TENANT)
    assert v1.key_issuers == {v2.issuer}
    assert v2.key_issuers == frozenset()


def test_a_custom_issuer_may_be_given_with_or_without_the_end_of_its_address() -> None:
    whole = "https://login.contoso.example/x/v2.0/.well-known/openid-configuration"
    assert CUSTOM == issuer_by_discovery(whole) == IssuerSource(whole, TokenVersion.V2, None, None)
    assert issuer_by_discovery("https://login.contoso.example/x").version is TokenVersion.V1
