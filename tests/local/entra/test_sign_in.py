"""Discovery, key sets and the token endpoint, as unmodified msal and azure-identity see them."""

import base64
import datetime
import hashlib
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests
from azure.identity import CertificateCredential, ClientSecretCredential
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from local.entra.control import EntraEmulator, Tenant
from tests.local.entra.conftest import confidential_client

VAULT_SCOPE = "https://vault.azure.net/.default"


def claims_of(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


def fetched(url: str, ca_path: str) -> Any:
    reply = requests.get(url, verify=ca_path, timeout=10)
    assert reply.status_code == 200, reply.text
    return reply.json()


def signing_certificate() -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "client")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    return key, builder.sign(key, hashes.SHA256())


@pytest.fixture
def client_certificate(tenant: Tenant, tmp_path: Path) -> Path:
    """A PEM file with key and certificate, registered for the tenant's app."""
    key, certificate = signing_certificate()
    pem = certificate.public_bytes(Encoding.PEM)
    tenant.add_client_certificate(pem.decode())
    path = tmp_path / "client.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + pem)
    return path


class TestDiscovery:
    @pytest.mark.parametrize(("version", "path"), [(1, ""), (2, "/v2.0")])
    def test_each_version_names_its_own_issuer_and_keys(
        self, tenant: Tenant, ca_path: str, version: int, path: str
    ) -> None:
        document = fetched(f"{tenant.authority}{path}/.well-known/openid-configuration", ca_path)

        assert document["issuer"] == tenant.issuers.of(version)
        assert fetched(document["jwks_uri"], ca_path)["keys"]

    def test_only_the_v2_set_names_the_issuer_of_each_key(self, tenant: Tenant, ca_path: str) -> None:
        v1 = fetched(f"{tenant.authority}/discovery/keys", ca_path)["keys"]
        v2 = fetched(f"{tenant.authority}/discovery/v2.0/keys", ca_path)["keys"]

        assert all("issuer" not in key for key in v1)
        assert all(key["issuer"] == tenant.issuers.v2 for key in v2)

    def test_a_published_key_comes_with_a_certificate_for_it(self, tenant: Tenant, ca_path: str) -> None:
        key = fetched(f"{tenant.authority}/discovery/v2.0/keys", ca_path)["keys"][0]

        der = base64.b64decode(key["x5c"][0])
        public = x509.load_der_x509_certificate(der).public_key()
        assert isinstance(public, rsa.RSAPublicKey)
        assert public == jwt.PyJWK(key, "RS256").key
        assert key["kid"] == base64.urlsafe_b64encode(hashlib.sha1(der).digest()).rstrip(b"=").decode()

    def test_an_unknown_tenant_is_refused_in_entras_words(self, tenant: Tenant, ca_path: str) -> None:
        url = tenant.authority.replace(tenant.id, "00000000-0000-0000-0000-00000000dead")
        reply = requests.get(f"{url}/v2.0/.well-known/openid-configuration", verify=ca_path, timeout=10)

        assert reply.status_code == 400
        assert reply.json()["error"] == "invalid_tenant"
        assert reply.json()["error_codes"] == [90002]


class TestClientCredentials:
    def test_msal_gets_a_graph_token_with_what_was_consented_to(self, tenant: Tenant, ca_path: str) -> None:
        answer = confidential_client(tenant).acquire_token_for_client([tenant.graph_scope])

        claims = claims_of(answer["access_token"])
        assert claims["ver"] == "1.0"
        assert claims["aud"] == tenant.url
        assert claims["iss"] == tenant.issuers.v1
        assert claims["roles"] == ["User.Read.All", "GroupMember.Read.All"]
        assert claims["sub"] == claims["oid"] == tenant.app.object_id
        assert "scp" not in claims

    def test_msal_signs_in_with_a_certificate(self, tenant: Tenant, ca_path: str, client_certificate: Path) -> None:
        pem = client_certificate.read_text()
        certificate = x509.load_pem_x509_certificate(pem.encode())
        credential = {"private_key": pem, "public_certificate": certificate.public_bytes(Encoding.PEM).decode()}

        answer = confidential_client(tenant, credential).acquire_token_for_client([tenant.graph_scope])

        assert answer.get("token_type") == "Bearer", answer

    def test_azure_identity_signs_in_with_a_secret(self, tenant: Tenant, ca_path: str) -> None:
        credential = ClientSecretCredential(
            tenant.id, tenant.client_id, tenant.client_secret, authority=tenant.url, disable_instance_discovery=True
        )

        assert claims_of(credential.get_token(VAULT_SCOPE).token)["aud"] == "https://vault.azure.net"

    def test_azure_identity_signs_in_with_a_certificate(
        self, tenant: Tenant, ca_path: str, client_certificate: Path
    ) -> None:
        credential = CertificateCredential(
            tenant.id, tenant.client_id, str(client_certificate), authority=tenant.url, disable_instance_discovery=True
        )

        assert claims_of(credential.get_token(VAULT_SCOPE).token)["appid"] == tenant.client_id

    @pytest.mark.parametrize(("version", "audience"), [(1, "api://{0}"), (2, "{0}")])
    def test_an_app_gets_tokens_of_the_version_that_it_registered(
        self, tenant: Tenant, ca_path: str, version: Any, audience: str
    ) -> None:
        api = tenant.new_app(token_version=version)
        tenant.grant("manage-entra-integration", resource=api.client_id)

        answer = confidential_client(tenant).acquire_token_for_client([f"{api.identifier_uri}/.default"])

        claims = claims_of(answer["access_token"])
        assert claims["ver"] == f"{version}.0"
        assert claims["aud"] == audience.format(api.client_id)
        assert claims["iss"] == tenant.issuers.of(version)
        assert claims["roles"] == ["manage-entra-integration"]
        assert claims["appid" if version == 1 else "azp"] == tenant.client_id

    def test_a_token_for_an_app_verifies_with_the_published_keys(self, tenant: Tenant, ca_path: str) -> None:
        answer = confidential_client(tenant).acquire_token_for_client([f"{tenant.client_id}/.default"])

        keys = jwt.PyJWKSet.from_dict(fetched(f"{tenant.authority}/discovery/v2.0/keys", ca_path))
        token = answer["access_token"]
        key = keys[jwt.get_unverified_header(token)["kid"]]
        jwt.decode(token, key.key, algorithms=["RS256"], audience=tenant.client_id, issuer=tenant.issuers.v2)

    def test_a_graph_token_verifies_for_nobody_but_graph(self, tenant: Tenant, ca_path: str) -> None:
        token = confidential_client(tenant).acquire_token_for_client([tenant.graph_scope])["access_token"]

        header = jwt.get_unverified_header(token)
        keys = jwt.PyJWKSet.from_dict(fetched(f"{tenant.authority}/discovery/v2.0/keys", ca_path))
        assert "nonce" in header
        with pytest.raises(jwt.InvalidSignatureError):
            jwt.decode(token, keys[header["kid"]].key, algorithms=["RS256"], audience=tenant.url)


class TestRefusals:
    def refused(self, tenant: Tenant, ca_path: str, **changes: str | None) -> tuple[int, str, int]:
        form: dict[str, str | None] = {
            "grant_type": "client_credentials",
            "client_id": tenant.client_id,
            "client_secret": tenant.client_secret,
            "scope": tenant.graph_scope,
        }
        form.update(changes)
        url = f"{tenant.authority}/oauth2/v2.0/token"
        sent = {name: value for name, value in form.items() if value is not None}
        reply = requests.post(url, data=sent, verify=ca_path, timeout=10)
        body = reply.json()
        (code,) = body["error_codes"]
        assert body["error_description"].startswith(f"AADSTS{code}: ")
        assert body["trace_id"] in body["error_description"]
        return reply.status_code, body["error"], code

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({"client_secret": "wrong"}, (401, "invalid_client", 7000215)),
            ({"client_secret": None}, (401, "invalid_client", 7000218)),
            ({"client_id": "0b0e1f4a-5a2f-4a3e-9d3e-000000000000"}, (400, "unauthorized_client", 700016)),
            ({"client_id": None}, (400, "invalid_request", 900144)),
            ({"grant_type": None}, (400, "invalid_request", 900144)),
            ({"grant_type": "password"}, (400, "unsupported_grant_type", 70003)),
            ({"scope": None}, (400, "invalid_request", 900144)),
            ({"scope": "https://graph.microsoft.com/User.Read.All"}, (400, "invalid_scope", 1002012)),
            ({"scope": "https://nobody.example/.default"}, (400, "invalid_resource", 500011)),
        ],
    )
    def test_a_bad_request_gets_entras_error(
        self, tenant: Tenant, ca_path: str, changes: dict[str, str | None], expected: tuple[int, str, int]
    ) -> None:
        assert self.refused(tenant, ca_path, **changes) == expected

    def assertion(self, tenant: Tenant, key: rsa.RSAPrivateKey, certificate: x509.Certificate, **changes: Any) -> str:
        now = int(datetime.datetime.now(datetime.UTC).timestamp())
        claims = {
            "aud": f"{tenant.authority}/oauth2/v2.0/token",
            "iss": tenant.client_id,
            "sub": tenant.client_id,
            "jti": "1",
            "nbf": now,
            "exp": now + 300,
        } | changes
        thumbprint = base64.urlsafe_b64encode(certificate.fingerprint(hashes.SHA256())).rstrip(b"=").decode()
        return jwt.encode(claims, key, algorithm="PS256", headers={"x5t#S256": thumbprint})

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"exp": 1}, 700024),
            ({"aud": "https://login.example/token"}, 700023),
            ({"iss": "somebody"}, 700027),
            ({"sub": "somebody"}, 700027),
        ],
    )
    def test_an_assertion_with_wrong_claims_is_refused(
        self, tenant: Tenant, ca_path: str, changes: dict[str, Any], code: int
    ) -> None:
        key, certificate = signing_certificate()
        tenant.add_client_certificate(certificate.public_bytes(Encoding.PEM).decode())
        assertion = self.assertion(tenant, key, certificate, **changes)

        answer = self.refused(tenant, ca_path, client_secret=None, client_assertion=assertion, **ASSERTION)

        assert answer == (401, "invalid_client", code)

    def test_an_assertion_by_an_unregistered_certificate_is_refused(self, tenant: Tenant, ca_path: str) -> None:
        assertion = self.assertion(tenant, *signing_certificate())

        answer = self.refused(tenant, ca_path, client_secret=None, client_assertion=assertion, **ASSERTION)

        assert answer == (401, "invalid_client", 700027)

    def test_an_assertion_signed_by_another_key_is_refused(self, tenant: Tenant, ca_path: str) -> None:
        _, certificate = signing_certificate()
        other, _ = signing_certificate()
        tenant.add_client_certificate(certificate.public_bytes(Encoding.PEM).decode())
        assertion = self.assertion(tenant, other, certificate)

        answer = self.refused(tenant, ca_path, client_secret=None, client_assertion=assertion, **ASSERTION)

        assert answer == (401, "invalid_client", 700027)

    def test_an_app_of_one_tenant_is_unknown_in_another(
        self, tenant: Tenant, ca_path: str, entra: EntraEmulator
    ) -> None:
        other = entra.new_tenant()

        assert self.refused(other, ca_path, client_id=tenant.client_id)[2] == 700016


ASSERTION = {"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}


class TestKeys:
    def published(self, tenant: Tenant, ca_path: str) -> set[str]:
        return {key["kid"] for key in fetched(f"{tenant.authority}/discovery/v2.0/keys", ca_path)["keys"]}

    def test_rotation_signs_with_the_new_key_and_keeps_the_old_one_published(
        self, tenant: Tenant, ca_path: str
    ) -> None:
        old, _ = tenant.signing_key()

        new = tenant.rotate_keys()

        assert jwt.get_unverified_header(tenant.mint_token())["kid"] == new
        assert self.published(tenant, ca_path) == {old, new}

    def test_a_dropped_key_is_gone_from_the_set(self, tenant: Tenant, ca_path: str) -> None:
        old, _ = tenant.signing_key()
        new = tenant.rotate_keys()

        tenant.drop_keys(old)

        assert self.published(tenant, ca_path) == {new}

    def test_a_key_can_sign_before_it_is_published(self, tenant: Tenant, ca_path: str) -> None:
        new = tenant.rotate_keys(publish=False)
        before = self.published(tenant, ca_path)
        tenant.publish_key(new)

        assert new not in before
        assert new in self.published(tenant, ca_path)

    def test_rotation_in_one_tenant_leaves_others_alone(
        self, tenant: Tenant, ca_path: str, entra: EntraEmulator
    ) -> None:
        other = entra.new_tenant()
        before = self.published(other, ca_path)

        tenant.rotate_keys()

        assert self.published(other, ca_path) == before

    def test_odd_keys_are_published_as_they_are(self, tenant: Tenant, ca_path: str) -> None:
        odd = {"kty": "oct", "k": "c2VjcmV0", "kid": "odd", "use": "sig"}

        tenant.publish_odd_keys(odd)

        assert odd in fetched(f"{tenant.authority}/discovery/v2.0/keys", ca_path)["keys"]

    def test_a_keys_issuer_can_be_somebody_elses(self, tenant: Tenant, ca_path: str) -> None:
        kid, _ = tenant.signing_key()

        tenant.set_key_issuer(kid, "https://login.evil.example/v2.0")

        (key,) = fetched(f"{tenant.authority}/discovery/v2.0/keys", ca_path)["keys"]
        assert key["issuer"] == "https://login.evil.example/v2.0"


class TestMint:
    def test_a_user_token_carries_the_users_names(self, tenant: Tenant) -> None:
        ada = tenant.add_user("ada@contoso.example", displayName="Ada Lovelace", givenName="Ada", surname="Lovelace")

        v1 = claims_of(tenant.mint_token("user", version=1, user=ada))
        v2 = claims_of(tenant.mint_token("user", version=2, user=ada))

        assert v1["upn"] == v1["unique_name"] == v2["preferred_username"] == "ada@contoso.example"
        assert v1["oid"] == v2["oid"] == ada.id
        assert v1["scp"] == v2["scp"] == "access_as_user"
        assert v1["sub"] == v2["sub"] != ada.id
        assert v1["aud"] == f"api://{tenant.client_id}"
        assert v2["aud"] == tenant.client_id

    def test_an_app_token_has_no_scp_and_is_its_own_subject(self, tenant: Tenant) -> None:
        claims = claims_of(tenant.mint_token("app", roles=["manage-entra-integration"]))

        assert claims["sub"] == claims["oid"]
        assert "scp" not in claims
        assert claims["roles"] == ["manage-entra-integration"]

    def test_an_id_token_names_no_client(self, tenant: Tenant) -> None:
        ada = tenant.add_user("ada@contoso.example")

        claims = claims_of(tenant.mint_token("id", user=ada))

        assert claims["aud"] == tenant.client_id
        assert not {"azp", "appid", "scp"} & set(claims)

    def test_claims_and_header_members_can_be_replaced_and_removed(self, tenant: Tenant) -> None:
        token = tenant.mint_token(claims={"tid": "elsewhere", "oid": None}, header={"typ": "at+jwt", "x5t": None})

        assert claims_of(token)["tid"] == "elsewhere"
        assert "oid" not in claims_of(token)
        assert jwt.get_unverified_header(token)["typ"] == "at+jwt"
        assert "x5t" not in jwt.get_unverified_header(token)

    def test_any_bytes_can_be_signed(self, tenant: Tenant) -> None:
        token = tenant.sign(b'{"a":1,"a":2}')

        payload = token.split(".")[1]
        _, key = tenant.signing_key()
        assert base64.urlsafe_b64decode(payload + "==") == b'{"a":1,"a":2}'
        jwt.PyJWS().decode(token, key.public_key(), algorithms=["RS256"])

    def test_the_discovery_document_can_lie(self, tenant: Tenant, ca_path: str) -> None:
        tenant.override_discovery(2, issuer="https://evil.example/")

        document = fetched(f"{tenant.authority}/v2.0/.well-known/openid-configuration", ca_path)
        assert document["issuer"] == "https://evil.example/"
