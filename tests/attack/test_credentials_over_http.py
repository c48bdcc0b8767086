"""Rows 37 to 39: how credentials are sent, over HTTP and byte by byte where a client library would be too polite."""

import http.client
import json
from urllib.parse import urlsplit

import pytest

from local.stack import API, ApiClient, Stack

ROLE = "manage-entra-integration"
AUTHENTICATED = 422  # an empty body is looked at after the credentials


@pytest.fixture(scope="module")
def entra_token(stack: Stack) -> str:
    token: str = stack.entra.mint_token(roles=[ROLE])
    return token


def sent(stack: Stack, *authorization: str, query: str = "", body: str = "{}") -> http.client.HTTPResponse:
    """The reply to validate-token with these Authorization header lines."""
    connection = http.client.HTTPConnection(urlsplit(stack.url).netloc, timeout=30)
    connection.putrequest("POST", f"{API}/validate-token{query}")
    for value in authorization:
        connection.putheader("Authorization", value)
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body.encode())
    return connection.getresponse()


def test_either_kind_of_token_authenticates(stack: Stack, entra_token: str) -> None:
    assert sent(stack, f"Bearer {entra_token}").status == AUTHENTICATED
    assert sent(stack, f"Bearer {stack.token}").status == AUTHENTICATED


def test_two_headers_are_refused(stack: Stack, entra_token: str) -> None:
    for other in (entra_token, stack.token, "x"):
        for pair in ((entra_token, other), (other, entra_token)):
            assert sent(stack, *(f"Bearer {token}" for token in pair)).status == 401


@pytest.mark.parametrize(
    "header",
    [
        "Bearer {0}, Bearer {0}",
        "Bearer {0},{0}",
        "Bearer {0} {0}",
        "Bearer Bearer {0}",
        "Bearer {0},",
        "Basic {0}",
        "{0}",
    ],
)
def test_two_tokens_in_one_header_are_refused(stack: Stack, entra_token: str, header: str) -> None:
    for token in (entra_token, stack.token):
        reply = sent(stack, header.format(token))
        assert reply.status == 401
        assert reply.headers["WWW-Authenticate"].startswith("Bearer error=")


@pytest.mark.parametrize("name", ["access_token", "token", "authorization", "Authorization", "bearer"])
def test_tokens_in_the_query_string_are_not_looked_at(stack: Stack, entra_token: str, name: str) -> None:
    assert sent(stack, query=f"?{name}={entra_token}").status == 401


def test_a_token_in_the_body_does_not_authenticate(stack: Stack, entra_token: str) -> None:
    assert sent(stack, body=json.dumps({"token": entra_token})).status == 401


def test_an_api_token_is_not_an_entra_token_to_validate(stack: Stack) -> None:
    reply = stack.api.post("validate-token", json={"token": stack.token})
    assert (reply.status_code, reply.json()["error"]) == (401, "not_an_entra_token")


def test_an_entra_token_is_never_tried_as_an_api_token(stack: Stack, entra_token: str) -> None:
    assert sent(stack, f"Bearer 1|{entra_token}").status == 401
    assert sent(stack, f"Bearer {entra_token}|").status == 401


def test_an_unknown_id_and_a_wrong_secret_get_the_same_reply(stack: Stack) -> None:
    made = stack.manage("token", "create", "--name", "other", "--ability", "entra:read", "--json")
    _, _, secret = json.loads(made)["token"].partition("|")
    replies = []
    for credential in (f"99999|{secret}", f"1|{secret}", f"1|epki_{'a' * 40}00000000"):
        reply = sent(stack, f"Bearer {credential}")
        content = json.loads(reply.read())
        del content["request_id"]
        replies.append((reply.status, content, reply.headers["WWW-Authenticate"]))
    assert replies[0] == replies[1] == replies[2]
    assert replies[0][0] == 401


def test_a_narrow_token_may_do_its_own_part_only(stack: Stack) -> None:
    made = stack.manage("token", "create", "--name", "narrow", "--ability", "entra:validate", "--json")
    narrow = ApiClient(stack.url, json.loads(made)["token"])
    assert narrow.post("validate-token", json={}).status_code == AUTHENTICATED
    refused = narrow.get("users")
    assert (refused.status_code, refused.json()["message"]) == (403, "This action is unauthorized.")
    assert 'error="insufficient_scope"' in refused.headers["WWW-Authenticate"]


def test_a_refused_token_tells_an_integrator_what_to_mend(stack: Stack) -> None:
    token = stack.entra.mint_token(roles=[ROLE], audience="11111111-0000-4000-8000-000000000000")
    reply = sent(stack, f"Bearer {token}")
    content = json.loads(reply.read())
    assert (reply.status, content["message"], content["error"]) == (401, "Unauthenticated.", "wrong_audience")
    assert content["detail"] in reply.headers["WWW-Authenticate"]
