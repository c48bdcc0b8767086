"""The PKCS#11 backend keeps the contract on a SoftHSM2 token, and says what is wrong when something is."""

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from shared.pki.errors import BackendMisconfigured
from shared.pki.keys import KeyType, sign, verify
from shared.pki.signing.base import SigningBackend
from shared.pki.signing.loader import load_backend
from tests.support.signing_contract import SigningContract, soon
from tests.support.softhsm import SoftHsm, missing_softhsm, start_softhsm

if TYPE_CHECKING:
    from shared.pki.signing.pkcs11 import Pkcs11Backend

MISSING = missing_softhsm()
pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))


@pytest.fixture(scope="module")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> SoftHsm:
    return start_softhsm(tmp_path_factory.mktemp("softhsm"))


@pytest.fixture
def label() -> str:
    """A key label of the test's own: an empty key store."""
    return f"test-{secrets.token_hex(4)}"


@pytest.fixture
def backend(hsm: SoftHsm, label: str) -> "Pkcs11Backend":
    return connect(hsm, label)


def connect(hsm: SoftHsm, label: str, **other: str) -> "Pkcs11Backend":
    from shared.pki.signing.pkcs11 import Pkcs11Backend

    return Pkcs11Backend(
        other.get("module", hsm.module), other.get("token", hsm.token), other.get("pin", hsm.pin), label
    )


class TestPkcs11Backend(SigningContract):
    @pytest.fixture
    def backend(self, hsm: SoftHsm, label: str) -> SigningBackend:
        return connect(hsm, label)

    @pytest.fixture
    def reopen(self, hsm: SoftHsm, label: str) -> Callable[[], SigningBackend]:
        return lambda: connect(hsm, label)


def test_the_settings_alone_make_a_working_backend(hsm: SoftHsm, label: str) -> None:
    backend = load_backend(
        "pkcs11",
        {
            "CA_PKCS11_MODULE": hsm.module,
            "CA_PKCS11_TOKEN": hsm.token,
            "CA_PKCS11_PIN": hsm.pin,
            "CA_PKCS11_KEY": label,
        },
    )

    assert backend.provide_key(KeyType.P_256, soon()).startswith(f"{label}#")


def test_every_missing_setting_is_named() -> None:
    with pytest.raises(BackendMisconfigured, match="CA_PKCS11_MODULE, CA_PKCS11_PIN"):
        load_backend("pkcs11", {"CA_PKCS11_TOKEN": "x"})


def test_a_key_never_leaves_the_token(hsm: SoftHsm, backend: "Pkcs11Backend", label: str) -> None:
    import pkcs11

    backend.provide_key(KeyType.P_256, soon())

    with pkcs11.lib(hsm.module).get_token(token_label=hsm.token).open() as session:
        key = session.get_key(pkcs11.ObjectClass.PRIVATE_KEY, label=label)
        assert key[pkcs11.Attribute.NEVER_EXTRACTABLE] and key[pkcs11.Attribute.ALWAYS_SENSITIVE]
        with pytest.raises(pkcs11.AttributeSensitive):
            key[pkcs11.Attribute.VALUE]


def test_a_session_that_has_gone_is_opened_again(hsm: SoftHsm, backend: "Pkcs11Backend") -> None:
    import pkcs11

    reference = backend.provide_key(KeyType.P_256, soon())
    key = backend.signing_key(reference, soon())
    sign(key, b"before")

    pkcs11.lib(hsm.module).reinitialize()

    verify(key.public_key(), sign(key, b"after"), b"after")


def test_a_key_that_was_deleted_is_told_at_the_next_signature(
    hsm: SoftHsm, backend: "Pkcs11Backend", label: str
) -> None:
    import pkcs11

    reference = backend.provide_key(KeyType.P_256, soon())
    key = backend.signing_key(reference, soon())
    sign(key, b"before")
    with pkcs11.lib(hsm.module).get_token(token_label=hsm.token).open(rw=True) as session:
        for stored in list(session.get_objects({pkcs11.Attribute.LABEL: label})):
            stored.destroy()

    with pytest.raises(BackendMisconfigured, match="the key was deleted"):
        sign(key, b"after")
    with pytest.raises(BackendMisconfigured, match="the key was deleted"):
        backend.check(reference, soon())


def test_a_key_that_may_not_sign_is_found_by_health(hsm: SoftHsm, label: str) -> None:
    import pkcs11

    backend = connect(hsm, label)
    reference = backend.provide_key(KeyType.P_256, soon())
    backend.check(reference, soon())
    with pkcs11.lib(hsm.module).get_token(token_label=hsm.token).open(rw=True) as session:
        key = session.get_key(pkcs11.ObjectClass.PRIVATE_KEY, label=label)
        key[pkcs11.Attribute.SIGN] = False

    with pytest.raises(BackendMisconfigured, match="CKA_SIGN"):
        backend.check(reference, soon())


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"module": "/nowhere/libpkcs11.so"}, "CA_PKCS11_MODULE"),
        ({"token": "another-token"}, "CA_PKCS11_TOKEN"),
        ({"token": "never-logged-in", "pin": "000000"}, "CA_PKCS11_PIN"),
        ({"token": "never-logged-in", "pin": "77"}, "CA_PKCS11_PIN"),
    ],
)
def test_each_wrong_setting_is_named(hsm: SoftHsm, label: str, wrong: dict[str, str], told: str) -> None:
    with pytest.raises(BackendMisconfigured, match=told) as caught:
        connect(hsm, label, **wrong).provide_key(KeyType.P_256, soon())

    assert wrong.get("pin", "no pin") not in caught.value.message


def test_a_reference_of_another_backend_is_told(backend: "Pkcs11Backend") -> None:
    with pytest.raises(BackendMisconfigured, match="not the reference of a PKCS#11 key"):
        backend.public_key("issuer.pem#not-hexadecimal", soon())
