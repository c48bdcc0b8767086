"""What the directory takes away, the CA takes away: each user's story through sync, certificate and back."""

import uuid
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from local.stack import Stack


class Person:
    """A user in Entra with one certificate."""

    def __init__(self, stack: Stack, **certificate: Any) -> None:
        self.stack = stack
        self.upn = f"p{uuid.uuid4().hex[:10]}@contoso.example"
        self.entra_id = stack.entra.add_user(
            self.upn, displayName="Some Person", mail=self.upn, proxyAddresses=[f"SMTP:{self.upn}"]
        ).id
        self.user_id = self.sync()["user"]["id"]
        self.certificate_id = self.provision(**certificate)

    def sync(self) -> dict[str, Any]:
        reply: dict[str, Any] = self.stack.api.post("sync-user", json={"user_principal_name": self.upn}).json()
        return reply

    def provision(self, **fields: Any) -> int:
        reply = self.stack.api.post("provision-certificate", json={"user_id": self.user_id, **fields})
        assert reply.status_code == 201, reply.text
        return int(reply.json()["certificate"]["id"])

    def certificate(self, certificate_id: int | None = None) -> tuple[str, str | None]:
        """Status and reason."""
        found = self.stack.api.get(f"certificates/{certificate_id or self.certificate_id}").json()["certificate"]
        return found["status"], found["revocation_reason"]

    def post(self, action: str, **body: Any) -> tuple[int, dict[str, Any]]:
        reply = self.stack.api.post(f"certificates/{self.certificate_id}/{action}", json=body)
        return reply.status_code, reply.json()


def new_csr() -> str:
    """A request for a new P-256 key."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture
def person(stack: Stack) -> Person:
    return Person(stack)


def test_a_certificate_is_held_while_its_user_is_disabled_and_lives_again_after(stack: Stack, person: Person) -> None:
    stack.entra.disable(person.entra_id)
    person.sync()
    assert person.certificate() == ("held", "certificateHold")

    stack.entra.enable(person.entra_id)
    person.sync()
    assert person.certificate() == ("active", None)


def test_the_timer_holds_and_lifts_too(stack: Stack, person: Person) -> None:
    stack.fire_timer("sync_tenant")
    stack.entra.disable(person.entra_id)
    stack.fire_timer("sync_tenant")
    assert person.certificate() == ("held", "certificateHold")

    stack.entra.enable(person.entra_id)
    stack.fire_timer("sync_tenant")
    assert person.certificate() == ("active", None)


def test_a_deleted_user_loses_certificates_on_hold_and_for_good_when_purged(stack: Stack, person: Person) -> None:
    stack.entra.delete(person.entra_id)
    person.sync()
    assert person.certificate() == ("held", "certificateHold")

    stack.entra.restore(person.entra_id)
    person.sync()
    assert person.certificate() == ("active", None)

    stack.entra.delete(person.entra_id)
    stack.entra.purge(person.entra_id)
    person.sync()
    assert person.certificate() == ("revoked", "cessationOfOperation")


def test_whoever_gets_a_name_cannot_be_logged_in_by_its_former_owners_certificate(stack: Stack, person: Person) -> None:
    name = person.upn
    stack.entra.update_user(person.entra_id, userPrincipalName=f"was.{name}")
    stack.entra.add_user(name, displayName="The Next One")

    successor = person.sync()

    assert successor["created"] is True
    stack.api.post("sync-user", json={"user_principal_name": f"was.{name}"})
    assert person.certificate() == ("revoked", "superseded")


def test_a_change_that_concerns_no_certificate_changes_none(stack: Stack, person: Person) -> None:
    stack.entra.update_user(person.entra_id, jobTitle="Director", displayName="Some Director")
    person.sync()

    assert person.certificate() == ("active", None)


def test_signed_code_outlives_its_maker_unless_the_maker_is_gone_for_good(stack: Stack) -> None:
    person = Person(stack, certificate_type="code_signing", key_size=3072)
    stack.entra.disable(person.entra_id)
    person.sync()
    assert person.certificate() == ("active", None)

    stack.entra.delete(person.entra_id)
    stack.entra.purge(person.entra_id)
    person.sync()
    assert person.certificate() == ("revoked", "cessationOfOperation")


def test_a_user_with_more_certificates_than_one_transaction_carries_loses_all_of_them(stack: Stack) -> None:
    person = Person(stack, key_size=2048)
    more = [person.provision(validity_days=30 + number) for number in range(44)]
    stack.entra.disable(person.entra_id)
    person.sync()

    refused = stack.api.post("provision-certificate", json={"user_id": person.user_id})
    stack.fire_timer("settle_revocations")

    assert refused.status_code == 409
    states = {person.certificate(number) for number in [person.certificate_id, *more]}
    assert states == {("held", "certificateHold")}


# --- By request ------------------------------------------------------------------------------------------------------


def test_a_revocation_is_for_good_and_the_same_again_changes_nothing(person: Person) -> None:
    first = person.post("revoke", reason="superseded", comment="replaced by a new one")
    again = person.post("revoke", reason="superseded")
    other = person.post("revoke", reason="affiliationChanged")
    released = person.post("release")

    assert (first[0], again[0]) == (200, 200)
    assert first[1]["certificate"]["revoked_at"] == again[1]["certificate"]["revoked_at"]
    assert (other[0], other[1]["code"]) == (409, "certificate_already_revoked")
    assert (released[0], released[1]["code"]) == (409, "certificate_not_held")
    assert person.certificate() == ("revoked", "superseded")


def test_a_hold_by_request_survives_the_users_return_and_ends_by_request(stack: Stack, person: Person) -> None:
    assert person.post("revoke", reason="certificateHold")[0] == 200
    stack.entra.disable(person.entra_id)
    person.sync()
    stack.entra.enable(person.entra_id)
    person.sync()
    assert person.certificate() == ("held", "certificateHold")

    assert person.post("release")[0] == 200
    assert person.certificate() == ("active", None)


def test_a_hold_released_while_the_user_is_away_becomes_the_directorys(stack: Stack, person: Person) -> None:
    person.post("revoke", reason="certificateHold")
    stack.entra.disable(person.entra_id)
    person.sync()

    person.post("release")
    refused = person.post("release")
    stack.entra.enable(person.entra_id)
    person.sync()

    assert (refused[0], refused[1]["code"]) == (409, "certificate_held_by_directory")
    assert person.certificate() == ("active", None)


def test_a_leaked_key_is_never_certified_again(stack: Stack, person: Person) -> None:
    csr = new_csr()
    person.certificate_id = person.provision(csr=csr)

    person.post("revoke", reason="superseded")
    leaked = person.post("revoke", reason="keyCompromise")
    again = stack.api.post("provision-certificate", json={"user_id": person.user_id, "csr": csr})

    assert leaked[0] == 200
    assert leaked[1]["certificate"]["revocation_reason"] == "keyCompromise"
    assert (again.status_code, list(again.json()["errors"])) == (422, ["csr"])


def test_a_leaked_key_takes_all_its_certificates_with_it_held_ones_too(person: Person) -> None:
    csr = new_csr()
    first, second, third = (person.provision(csr=csr, validity_days=days) for days in (10, 20, 30))
    person.certificate_id = second
    person.post("revoke", reason="certificateHold")

    person.certificate_id = first
    person.post("revoke", reason="keyCompromise")

    leaked = ("revoked", "keyCompromise")
    assert [person.certificate(number) for number in (first, second, third)] == [leaked] * 3
    person.certificate_id = second
    assert person.post("release")[1]["code"] == "certificate_not_held"


@pytest.mark.parametrize("reason", ["removeFromCRL", "cACompromise", "because", 1, None])
def test_only_reasons_that_fit_one_certificate_are_taken(person: Person, reason: Any) -> None:
    status, body = person.post("revoke", reason=reason)

    assert (status, list(body["errors"])) == (422, ["reason"])


def test_an_unknown_certificate_is_a_404(stack: Stack) -> None:
    for certificate in ("0", "abc", "999999"):
        assert stack.api.post(f"certificates/{certificate}/revoke", json={}).json()["code"] == "certificate_not_found"


def test_operators_revoke_by_serial_number_and_by_user(stack: Stack, person: Person) -> None:
    serial = stack.api.get(f"certificates/{person.certificate_id}").json()["certificate"]["serial_number"]
    second = person.provision(validity_days=10)

    stack.manage("certs", "revoke", "--serial", serial, "--reason", "superseded")
    stack.manage("certs", "hold", "--user", str(person.user_id), "--json")
    held = person.certificate(second)
    stack.manage("certs", "release", str(second))

    assert person.certificate() == ("revoked", "superseded")
    assert held == ("held", "certificateHold")
    assert person.certificate(second) == ("active", None)


def test_operators_hold_all_certificates_of_an_issuer(stack: Stack, person: Person) -> None:
    issuer = stack.api.get(f"certificates/{person.certificate_id}").json()["certificate"]["issuer_id"]
    second = person.provision(validity_days=10)

    stack.manage("certs", "hold", "--issuer", issuer)

    held = ("held", "certificateHold")
    assert [person.certificate(number) for number in (person.certificate_id, second)] == [held, held]


def test_statistics_count_revocations_by_reason(stack: Stack, person: Person) -> None:
    before = stack.api.get("statistics").json()["certificates"]["revoked_by_reason"].get("privilegeWithdrawn", 0)
    person.post("revoke", reason="privilegeWithdrawn")
    after = stack.api.get("statistics").json()["certificates"]["revoked_by_reason"]["privilegeWithdrawn"]

    assert after == before + 1
