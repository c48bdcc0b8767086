"""One user from the first certificate to the last trace: what Entra does, and what OpenSSL says after the next sync."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.azurite.azurite import Azurite
from local.entra.control import EntraEmulator, new_user
from local.stack import app_settings
from shared.directory.erasure import ERASED
from shared.directory.records.user import User, user_key
from shared.directory.tables import TableStore
from shared.entra.tenant_sync import SyncOrder
from shared.services import Services
from shared.settings import Settings
from tests.support.user_lives import Observer, patient

LENA, FORMERLY = "lena.abel@contoso.example", "lena.kain@contoso.example"
HELD, SUPERSEDED, CEASED = (
    ("revoked", f"revoked, {reason}") for reason in ("certificateHold", "superseded", "cessationOfOperation")
)
GOOD = ("good", "good")


@pytest.fixture
def observer(
    azurite: Azurite, entra: EntraEmulator, tables: TableStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Observer]:
    """On a tenant with a dozen of others: of fewer, one who leaves is more than the sync's guard lets go."""
    tenant = entra.new_tenant()
    tenant.add_users([new_user(f"colleague{number}@contoso.example") for number in range(12)])
    settings = app_settings(azurite, entra, tenant, tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", settings["REQUESTS_CA_BUNDLE"])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    services = Services(Settings.read(settings))
    services.blobs.create_if_missing()
    yield Observer(services, tenant, tmp_path)
    services.replica.close()
    entra.forget_tenant(tenant)


def test_a_user_loses_and_regains_certificates_as_entra_says_and_openssl_agrees(observer: Observer) -> None:
    entra = observer.tenant
    lena = entra.add_user(FORMERLY, displayName="Lena Kain").id
    first = observer.issue(FORMERLY, "first")
    observer.when("Lena has a certificate")
    assert observer.openssl("first") == GOOD

    observer.when("Entra disables Lena", lambda: entra.disable(lena))
    assert observer.openssl("first") == HELD

    observer.when("Entra enables Lena again", lambda: entra.enable(lena))
    assert observer.openssl("first") == GOOD

    observer.when("Lena marries, and gets another UPN", lambda: entra.update_user(lena, userPrincipalName=LENA))
    assert observer.openssl("first") == SUPERSEDED

    second = observer.issue(LENA, "second")
    otto = entra.add_user(FORMERLY, displayName="Otto Kain").id
    ottos = observer.issue(FORMERLY, "ottos")
    observer.when("Lena has a new certificate; Otto gets her former UPN, and one of his own")
    assert first.user_id == second.user_id != ottos.user_id
    assert [observer.openssl(name) for name in ("first", "second", "ottos")] == [SUPERSEDED, GOOD, GOOD]

    observer.when("Entra moves Lena to the recycle bin", lambda: entra.delete(lena))
    assert observer.openssl("second") == HELD

    observer.when("Entra restores Lena", lambda: entra.restore(lena))
    assert observer.openssl("second") == GOOD

    def delete_for_good() -> None:
        entra.delete(lena)
        entra.purge(lena)

    observer.when("Entra deletes Lena for good", delete_for_good)
    assert observer.openssl("second") == CEASED

    report = observer.services.user_purge.run(first.user_id or 0, patient())
    assert (report.certificates, report.revoked) == (2, 0)
    observer.when("Lena's personal data are purged")
    assert [observer.openssl(name) for name in ("first", "second", "ottos")] == [SUPERSEDED, CEASED, GOOD]

    observer.when("Entra disables Otto", lambda: entra.disable(otto))
    assert observer.openssl("ottos") == HELD
    assert observer.services.tenant_sync.run(patient(), SyncOrder(full=True)).outcome == "completed"
    erased = observer.services.ledger.get(User, user_key(first.user_id or 0))
    assert erased is not None and (erased.name, erased.user_principal_name) == (ERASED, None)
    print("\n".join(observer.journal))
