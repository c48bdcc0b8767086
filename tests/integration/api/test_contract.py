"""The API as its callers see it: over HTTP, through the functions host, on Azurite and the Entra emulator."""

import base64
import json
import re
import time
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from local.entra.faults import slow as slow_graph
from local.stack import ApiClient, Stack

PROTECTED = [
    ("GET", "statistics"),
    ("POST", "sync-user"),
    ("POST", "provision-certificate"),
    ("POST", "validate-token"),
    ("GET", "users"),
    ("GET", "users/1"),
    ("POST", "bulk-sync-users"),
    ("GET", "certificates"),
    ("GET", "certificates/1"),
    ("GET", "sync"),
    ("POST", "sync"),
    ("POST", "certificates/1/revoke"),
    ("POST", "certificates/1/release"),
    ("POST", "certificates/1/renew"),
    ("GET", "expiring-certificates"),
]


def upn(name: str) -> str:
    """A user principal name that no other test uses."""
    return f"{name}.{uuid.uuid4().hex[:8]}@contoso.example"


@pytest.fixture
def ada(stack: Stack) -> dict[str, Any]:
    """A synchronized user, as sync-user shows it."""
    name = upn("ada")
    stack.entra.add_user(name, displayName="Ada Lovelace", givenName="Ada", surname="Lovelace", mail=name)
    reply = stack.api.post("sync-user", json={"user_principal_name": name})
    assert reply.status_code == 200, reply.text
    user: dict[str, Any] = reply.json()["user"]
    return user


# --- Credentials and errors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), PROTECTED)
@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer nonsense", "Basic YTpi", "Bearer 1|epki_wrong"])
def test_nothing_but_health_answers_without_credentials(
    stack: Stack, method: str, path: str, header: str | None
) -> None:
    reply = ApiClient(stack.url, None).request(
        method, path, data=b"{not json", headers={} if header is None else {"Authorization": header}
    )

    assert reply.status_code == 401
    assert reply.json()["message"] == "Unauthenticated."
    assert reply.headers["WWW-Authenticate"].startswith("Bearer")
    assert reply.headers["X-Request-Id"] == reply.json()["request_id"]


def test_an_unknown_route_and_a_wrong_method_answer_in_the_same_shape(stack: Stack) -> None:
    unknown = stack.api.get("nothing-here")
    wrong = stack.api.delete("users")

    assert (unknown.status_code, unknown.json()["code"]) == (404, "route_not_found")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    assert wrong.headers["Allow"] == "GET, HEAD"


def test_a_well_formed_request_id_is_kept_and_any_other_replaced(stack: Stack) -> None:
    kept = stack.api.get("users", headers={"X-Request-Id": "order-66.b_1"})
    replaced = stack.api.get("users", headers={"X-Request-Id": "no spaces <or> brackets"})

    assert kept.headers["X-Request-Id"] == "order-66.b_1"
    assert uuid.UUID(replaced.headers["X-Request-Id"])


def test_http_is_refused_wherever_a_token_would_travel(stack: Stack) -> None:
    over_http = {"X-Forwarded-Proto": "http"}
    issuer_id = stack.api.get("health").json()  # health itself is public
    assert issuer_id["status"] in {"healthy", "degraded"}

    assert stack.api.get("users", headers=over_http).json()["code"] == "https_required"
    assert stack.api.get("health", headers=over_http).status_code == 200


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b'{"user_principal_name": }', "application/json", 400),
        (b"[]", "application/json", 400),
        (b"", "application/json", 400),
        (b'{"user_principal_name": "a@b.example", "user_principal_name": "c@d.example"}', "application/json", 400),
        (b"user_principal_name=a", "application/x-www-form-urlencoded", 415),
        (b'{"a": "' + b"x" * 262_144 + b'"}', "application/json", 413),
        (b"{}", "application/json", 422),
    ],
)
def test_a_wrong_body_is_told_apart(stack: Stack, body: bytes, content_type: str, status: int) -> None:
    reply = stack.api.post("sync-user", data=body, headers={"Content-Type": content_type})

    assert reply.status_code == status
    assert reply.json()["message"]


def test_a_host_header_that_is_none_is_the_callers_mistake(stack: Stack) -> None:
    reply = stack.api.get("users", headers={"Host": "["})

    assert reply.status_code == 400, reply.text


def test_where_nothing_must_be_said_nothing_need_be_sent(stack: Stack, ada: dict[str, Any]) -> None:
    """Of a chunked body the host gives nothing on: that is not the same as none."""
    certificate = provision(stack, ada["id"]).json()["certificate"]["id"]
    revoke, release = f"certificates/{certificate}/revoke", f"certificates/{certificate}/release"

    assert stack.api.post(revoke, data=iter([b'{"reason": "keyCompromise"}'])).status_code == 400
    assert stack.api.post(revoke, json={"reason": "certificateHold"}).status_code == 200
    said = stack.api.post(release, json={"reason": "found it"})
    assert (said.status_code, said.json()["message"]) == (422, "The reason field is prohibited.")
    assert stack.api.post(release, data=b"found it", headers={"Content-Type": "text/plain"}).status_code == 415
    assert stack.api.post(release).json()["certificate"]["status"] == "active"
    revoked = stack.api.post(revoke)
    assert (revoked.status_code, revoked.json()["certificate"]["status"]) == (200, "revoked")


def test_an_idempotency_key_that_came_twice_is_refused(stack: Stack, ada: dict[str, Any]) -> None:
    reply = stack.api.post("provision-certificate", json={"user_id": ada["id"]}, headers={"Idempotency-Key": "a,b"})

    assert (reply.status_code, reply.json()["code"]) == (400, "malformed_idempotency_key")


def test_an_error_is_problem_json_for_those_who_prefer_it(stack: Stack) -> None:
    reply = stack.api.get("users/999999", headers={"Accept": "application/problem+json"})

    assert reply.headers["Content-Type"].startswith("application/problem+json")
    assert reply.json()["status"] == 404


# --- Users -----------------------------------------------------------------------------------------------------------


def test_sync_user_creates_once_and_then_updates(stack: Stack) -> None:
    name = upn("grace")
    group = stack.entra.add_group("Compilers")
    person = stack.entra.add_user(name, displayName="Grace Hopper", mail=name)
    stack.entra.add_member(group, person)

    first = stack.api.post("sync-user", json={"user_principal_name": name}).json()
    stack.entra.update_user(person, displayName="Rear Admiral Hopper")
    second = stack.api.post("sync-user", json={"user_principal_name": name.upper()}).json()

    assert (first["created"], second["created"]) == (True, False)
    assert first["user"]["id"] == second["user"]["id"]
    assert first["user"]["entra_groups"] == [{"id": group.id, "display_name": "Compilers"}]
    assert second["user"]["name"] == "Rear Admiral Hopper"
    assert second["user"]["entra_id"] == person.id
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", second["user"]["entra_last_sync"])


def test_a_user_that_entra_does_not_know_is_a_404(stack: Stack) -> None:
    reply = stack.api.post("sync-user", json={"user_principal_name": upn("nobody")})

    assert (reply.status_code, reply.json()["code"]) == (404, "entra_user_not_found")


def test_bulk_sync_answers_in_order_and_one_failure_stops_nobody(stack: Stack) -> None:
    known = [upn("first"), upn("second")]
    for name in known:
        stack.entra.add_user(name, displayName=name)
    asked = [known[1], upn("nobody"), known[0], known[1]]

    reply = stack.api.post("bulk-sync-users", json={"user_principal_names": asked})

    assert reply.status_code == 200
    body = reply.json()
    assert body["summary"] == {"total": 4, "successful": 3, "failed": 1}
    assert [result["user_principal_name"] for result in body["results"]] == asked
    assert [result["success"] for result in body["results"]] == [True, False, True, True]
    assert body["results"][1]["error"]["code"] == "entra_user_not_found"


def test_the_list_finds_by_any_part_of_a_name_whatever_its_accents(stack: Stack) -> None:
    name = upn("jose")
    stack.entra.add_user(name, displayName="José García Ñandú", mail=name)
    stack.api.post("sync-user", json={"user_principal_name": name})

    for term in ("garcia", "GARCÍA", "é g", "ñandu", name.split("@", maxsplit=1)[0]):
        found = stack.api.get("users", params={"search": term}).json()
        assert name in [user["entra_upn"] for user in found["data"]], term
    for term in ("%", "_", "gar%a", '"', "' OR 1=1 --"):
        found = stack.api.get("users", params={"search": term}).json()
        assert name not in [user["entra_upn"] for user in found["data"]] or term in name, term


def test_a_page_keeps_the_query_in_its_links(stack: Stack, ada: dict[str, Any]) -> None:
    page = stack.api.get("users?recently_synced=&search=Lovelace&per_page=1").json()

    assert page["per_page"] == 1
    assert page["total"] >= 1
    assert len(page["data"]) == 1
    assert page["first_page_url"] == f"{page['path']}?recently_synced=&search=Lovelace&per_page=1&page=1"


def test_filters_combine(stack: Stack) -> None:
    mark = uuid.uuid4().hex[:10]
    active, disabled = f"on.{mark}@contoso.example", f"off.{mark}@contoso.example"
    stack.entra.add_user(active, displayName="On")
    stack.entra.add_user(disabled, displayName="Off", accountEnabled=False)
    stack.api.post("bulk-sync-users", json={"user_principal_names": [active, disabled]})

    def names(**query: str) -> list[str]:
        return [user["entra_upn"] for user in stack.api.get("users", params={"search": mark, **query}).json()["data"]]

    assert names() == [active, disabled]
    assert names(active="true") == [active]
    assert names(active="0") == [disabled]
    assert names(active="true", recently_synced="1") == [active]


def test_a_single_user_shows_all_attributes(stack: Stack, ada: dict[str, Any]) -> None:
    user = stack.api.get(f"users/{ada['id']}").json()["user"]

    assert user["given_name"] == "Ada"
    assert user["surname"] == "Lovelace"
    assert user["certificates"] == []
    assert user["entra_groups"] == []


@pytest.mark.parametrize("user", ["0", "999999", "abc", "-1", "1.0", "%00", "9" * 30, "٣"])
def test_no_such_user_is_a_404(stack: Stack, user: str) -> None:
    assert stack.api.get(f"users/{user}").status_code == 404


# --- Certificates ----------------------------------------------------------------------------------------------------


def provision(stack: Stack, user_id: int, **fields: Any) -> requests.Response:
    headers = {"Idempotency-Key": fields.pop("key")} if "key" in fields else {}
    return stack.api.post("provision-certificate", json={"user_id": user_id, **fields}, headers=headers)


def test_a_certificate_with_its_key_comes_once(stack: Stack, ada: dict[str, Any]) -> None:
    reply = provision(stack, ada["id"])

    assert reply.status_code == 201
    assert reply.headers["Cache-Control"] == "no-store"
    body = reply.json()
    certificate = x509.load_pem_x509_certificate(body["certificate"]["pem"].encode())
    key = serialization.load_pem_private_key(body["private_key"].encode(), None)
    assert key.public_key() == certificate.public_key()
    assert body["private_key_available"] is True
    assert body["certificate"]["type"] == "entra_user"
    assert body["certificate"]["certificate_type"] == "client_auth"
    assert body["certificate"]["status"] == "active"
    assert body["certificate"]["key_size"] == 2048
    assert (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days == 364
    assert body["certificate"]["fingerprint_sha256"] == certificate.fingerprint(hashes.SHA256()).hex()
    assert body["certificate"]["entra_certificate_user_ids"]["principal_name"] == f"X509:<PN>{ada['entra_upn']}"

    again = stack.api.get(f"certificates/{body['certificate']['id']}").json()["certificate"]
    assert again == body["certificate"]
    listed = stack.api.get(f"users/{ada['id']}").json()["user"]["certificates"]
    assert [each["id"] for each in listed] == [body["certificate"]["id"]]


def test_a_pkcs12_opens_with_the_password_that_came_with_it(stack: Stack, ada: dict[str, Any]) -> None:
    body = provision(stack, ada["id"], certificate_type="email_protection", format="pkcs12", validity_days=30).json()

    assert "private_key" not in body or body["private_key"] is None
    key, certificate, chain = pkcs12.load_key_and_certificates(
        base64.b64decode(body["pkcs12"]), body["pkcs12_password"].encode()
    )
    assert key is not None
    assert certificate is not None
    assert chain
    assert key.public_key() == certificate.public_key()


def test_a_csr_keeps_the_key_with_its_maker(stack: Stack, ada: dict[str, Any]) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Somebody Else")])
    )
    pem = request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    body = provision(stack, ada["id"], csr=pem).json()

    certificate = x509.load_pem_x509_certificate(body["certificate"]["pem"].encode())
    assert certificate.public_key() == key.public_key()
    assert "Somebody Else" not in certificate.subject.rfc4514_string()
    assert body["private_key_available"] is False


def test_the_same_idempotency_key_gives_the_same_certificate_and_never_the_key_again(
    stack: Stack, ada: dict[str, Any]
) -> None:
    key = uuid.uuid4().hex
    first = provision(stack, ada["id"], key=key)
    second = provision(stack, ada["id"], key=key)
    other = provision(stack, ada["id"], key=key, validity_days=7)

    assert (first.status_code, second.status_code, other.status_code) == (201, 200, 409)
    assert first.json()["certificate"] == second.json()["certificate"]
    assert second.json()["private_key_available"] is False
    assert other.json()["code"] == "idempotency_key_reused"


def test_a_disabled_or_deleted_user_gets_no_certificate(stack: Stack, ada: dict[str, Any]) -> None:
    stack.entra.disable(ada["entra_id"])
    stack.api.post("sync-user", json={"user_principal_name": ada["entra_upn"]})
    disabled = provision(stack, ada["id"])
    stack.entra.delete(ada["entra_id"])
    gone = stack.api.post("sync-user", json={"user_principal_name": ada["entra_upn"]})
    deleted = provision(stack, ada["id"])

    assert (disabled.status_code, disabled.json()["code"]) == (409, "user_inactive")
    assert gone.status_code == 404
    assert (deleted.status_code, deleted.json()["code"]) == (409, "user_deleted")


def test_a_user_that_is_not_from_entra_gets_no_certificate_and_is_not_listed(stack: Stack) -> None:
    name, next_name = f"Local {uuid.uuid4().hex[:8]}", upn("next")
    file = stack.folder / "people.csv"
    file.write_text(f"name,email\n{name},local@contoso.example\n", encoding="utf-8")
    imported = json.loads(stack.manage("users", "import", str(file), "--json"))
    stack.entra.add_user(next_name, displayName="Next")
    following = stack.api.post("sync-user", json={"user_principal_name": next_name}).json()["user"]["id"]

    local = stack.api.get(f"users/{following - 1}").json()["user"]
    reply = provision(stack, local["id"])

    assert imported == {"created": 1, "updated": 0, "unchanged": 0}
    assert (local["name"], local["entra_id"], local["entra_upn"]) == (name, None, None)
    assert stack.api.get("users", params={"search": name}).json()["total"] == 0
    assert (reply.status_code, reply.json()["code"]) == (409, "user_not_synchronized")


def test_nobody_gets_a_certificate_without_a_user(stack: Stack) -> None:
    assert provision(stack, 999_999).json()["code"] == "user_not_found"


# --- Tokens ----------------------------------------------------------------------------------------------------------


def test_a_token_of_the_tenant_is_valid_and_says_who(stack: Stack, ada: dict[str, Any]) -> None:
    token = stack.entra.mint_token(user=ada["entra_id"])

    reply = stack.api.post("validate-token", json={"token": token})

    assert reply.status_code == 200, reply.text
    body = reply.json()
    assert body["valid"] is True
    assert body["payload"]["oid"] == ada["entra_id"]
    assert body["payload"]["tid"] == stack.entra.id
    assert isinstance(body["payload"]["roles"], list)


def test_an_altered_token_is_not(stack: Stack, ada: dict[str, Any]) -> None:
    header, payload, signature = stack.entra.mint_token(user=ada["entra_id"]).split(".")
    forged = f"{header}.{payload}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"

    reply = stack.api.post("validate-token", json={"token": forged})

    assert reply.status_code == 401
    assert reply.json()["valid"] is False
    assert reply.json()["error"]


# --- Statistics and health -------------------------------------------------------------------------------------------


def test_statistics_count_what_is_there(stack: Stack, ada: dict[str, Any]) -> None:
    before = stack.api.get("statistics").json()
    provision(stack, ada["id"], certificate_type="code_signing", key_size=3072)
    after = stack.api.get("statistics").json()

    assert after["users"]["total"] == before["users"]["total"] >= 1
    assert after["users"]["active"] + after["users"]["inactive"] == after["users"]["total"]
    assert after["certificates"]["active"] == before["certificates"]["active"] + 1
    assert (
        after["certificates"]["by_type"]["code_signing"] == before["certificates"]["by_type"].get("code_signing", 0) + 1
    )
    assert datetime.fromisoformat(after["generated_at"]) <= datetime.now(UTC)


def wait_for_earlier_syncs(stack: Stack) -> None:
    """A sync that another test asked for may still be under way, and there is only ever one."""
    deadline = time.monotonic() + 60
    while stack.api.get("statistics").json()["sync"]["in_progress"]:
        assert time.monotonic() < deadline, "the sync of an earlier test never ends"
        time.sleep(0.2)


def test_the_timer_copies_the_tenant(stack: Stack) -> None:
    wait_for_earlier_syncs(stack)
    name = upn("timer")
    stack.entra.add_user(name, displayName="Found By The Timer")

    stack.fire_timer("sync_tenant")

    assert stack.api.get("users", params={"search": name}).json()["total"] == 1
    run = stack.api.get("statistics").json()["sync"]
    assert run["last_run"]["outcome"] == "completed"
    assert run["in_progress"] is False
    assert stack.api.get("sync").json()["held"] is None


def test_a_sync_can_be_asked_for_and_followed(stack: Stack) -> None:
    wait_for_earlier_syncs(stack)
    name = upn("asked")
    stack.entra.add_user(name, displayName="Found By Request")

    started = stack.api.post("sync", json={"full": True})
    deadline = time.monotonic() + 60
    while stack.api.get("users", params={"search": name}).json()["total"] == 0 and time.monotonic() < deadline:
        time.sleep(0.1)

    assert started.status_code == 202, started.text
    assert started.headers["Location"] == started.json()["status_url"]
    assert stack.api.get(started.json()["status_url"]).status_code == 200
    assert stack.api.get("users", params={"search": name}).json()["total"] == 1


def test_a_second_sync_is_refused_while_one_is_under_way(stack: Stack) -> None:
    wait_for_earlier_syncs(stack)
    slow = stack.entra.arm(slow_graph(0.5))
    try:
        first = stack.api.post("sync", json={"full": True})
        second = stack.api.post("sync", json={})
    finally:
        stack.entra.disarm(slow)

    assert (first.status_code, second.status_code) == (202, 409)
    assert second.json()["code"] == "sync_in_progress"


def test_health_tells_the_public_little_and_callers_with_credentials_more(stack: Stack) -> None:
    public = ApiClient(stack.url, None).get("health")
    trusted = stack.api.get("health").json()

    assert public.status_code == 200
    assert set(public.json()["checks"]) == {"storage", "graph", "token_keys", "signing", "sync", "crl", "notices"}
    assert all(set(check) <= {"status", "reason", "latency_ms"} for check in public.json()["checks"].values())
    assert all(check.get("reason") is None for check in public.json()["checks"].values())
    assert all(check["latency_ms"] is not None for check in trusted["checks"].values())


@pytest.mark.parametrize("path", ["health", "users", "users/999999"])
def test_head_answers_as_get_does_without_the_content(stack: Stack, path: str) -> None:
    whole, head = stack.api.get(path), stack.api.request("HEAD", path)

    assert (head.status_code, head.content) == (whole.status_code, b"")
    assert head.headers.keys() == whole.headers.keys()
    assert head.headers["Content-Type"] == whole.headers["Content-Type"]


# --- Public key infrastructure ---------------------------------------------------------------------------------------


def test_issuer_certificates_are_public_and_come_over_http_too(stack: Stack, ada: dict[str, Any]) -> None:
    issuer_id = provision(stack, ada["id"]).json()["certificate"]["issuer_id"]
    base = f"{stack.url}/api/v1/pki/{issuer_id}"

    der = requests.get(f"{base}/ca.crt", headers={"X-Forwarded-Proto": "http"}, timeout=10)
    pem = requests.get(f"{base}/ca.pem", timeout=10)
    chain = requests.get(f"{base}/chain.pem", timeout=10)

    assert der.headers["Content-Type"].startswith("application/pkix-cert")
    certificate = x509.load_der_x509_certificate(der.content)
    assert x509.load_pem_x509_certificate(pem.content) == certificate
    assert x509.load_pem_x509_certificates(chain.content)[0] == certificate
    assert "public" in der.headers["Cache-Control"]
    head = requests.head(f"{base}/ca.crt", timeout=10)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(der.content))
    assert requests.head(f"{base}/crl", timeout=10).headers["ETag"]
    assert requests.get(f"{stack.url}/api/v1/pki/0123456789abcdef/ca.crt", timeout=10).status_code == 404
