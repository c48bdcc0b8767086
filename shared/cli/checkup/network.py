"""Other hosts: reachable, trusted, of one mind about the time; and our own addresses, as certificates name them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp

from shared.cli.checkup.checks import Finding, failed, ok, warning
from shared.context import Clock
from shared.directory.records.crl import CrlPointer, crl_key
from shared.health_probes import MAX_CLOCK_SKEW
from shared.pki.ocsp.codec import hashed, key_bits
from shared.pki.urls import ca_certificate_url, crl_url, ocsp_url

if TYPE_CHECKING:
    from shared.pki.authority.issuer_material import IssuerMaterial
    from shared.services import Services
    from shared.settings import Settings

TIMEOUT = (5.0, 10.0)
"""Seconds to connect, and between bytes."""
NOTICEABLE_SKEW = timedelta(seconds=30)
WHO_ANSWERS = "Is it this function app that answers there?"
OCSP_REQUEST = "application/ocsp-request"


def hosts(settings: "Settings") -> dict[str, str]:
    """What the app talks to over https or http, by what it is; addresses without a path."""
    from azure.data.tables import TableServiceClient
    from azure.storage.blob import BlobServiceClient

    storage, found = settings.storage, dict[str, str]()
    found["Entra ID"], found["Microsoft Graph"] = settings.entra.authority_host, settings.entra.graph_base_url
    if storage.connection_string:
        with suppress(ValueError):  # a malformed one is for the check of the storage to tell
            found["Table storage"] = TableServiceClient.from_connection_string(storage.connection_string).url
            found["Blob storage"] = BlobServiceClient.from_connection_string(storage.connection_string).url
    else:
        found["Table storage"], found["Blob storage"] = str(storage.tables_url), str(storage.blobs_url)
    if settings.pki.signing_backend == "key_vault" and settings.pki.key_vault_url:
        found["Key vault"] = settings.pki.key_vault_url
    return {name: _root(url) for name, url in found.items()}


def connection(name: str, url: str) -> Sequence[Finding]:
    """The host answers, whatever it answers, and over https proves who it is."""
    try:
        requests.get(url, timeout=TIMEOUT, allow_redirects=False).close()
    except requests.exceptions.SSLError as error:
        return [
            failed(
                f"The TLS certificate of {url} is not trusted here: {_reason(error)}.",
                "REQUESTS_CA_BUNDLE must name a file with the root that vouches for it; a proxy that looks into TLS "
                "has a root of its own.",
            )
        ]
    except (requests.exceptions.RequestException, OSError) as error:
        return [
            failed(
                f"{name} at {url} cannot be reached ({_reason(error)}).",
                "Check the address in the settings, name resolution, the firewall, and HTTPS_PROXY.",
            )
        ]
    trusted = ", and its certificate is trusted" if url.startswith("https:") else ""
    return [ok(f"{name} answers at {url}{trusted}.")]


def clocks(urls: Sequence[str], clock: Clock) -> Sequence[Finding]:
    """Our clock beside the Date of each host's answer. Hosts that do not answer are somebody else's business."""
    skews = {url: skew for url in urls if (skew := _skew(url, clock)) is not None}
    if not skews:
        return [warning("No host told its time.")]
    url, worst = max(skews.items(), key=lambda item: abs(item[1]))
    told = f"This machine's clock is {worst.total_seconds():+.0f} s off that of {url}."
    remedy = "Set the clock by NTP (`timedatectl set-ntp true`)."
    if abs(worst) > MAX_CLOCK_SKEW:
        return [failed(f"{told} With 5 minutes and more nothing is signed.", remedy)]
    if abs(worst) > NOTICEABLE_SKEW:
        return [warning(told, remedy)]
    return [ok(f"The clock agrees with those of {len(skews)} hosts, to {abs(worst).total_seconds():.0f} s.")]


def public_addresses(services: "Services") -> Sequence[Finding]:
    """CA certificate, CRL and OCSP under the addresses that certificates carry, fetched as Windows and Entra do."""
    base = services.settings.pki.public_url
    if base is None:
        return [
            warning(
                "PKI_PUBLIC_URL is not set: certificates carry no addresses, and nobody learns of revocations.",
                "Set it to the http URL of the function app.",
            )
        ]
    return [finding for issuer in services.crl_publisher.issuers() for finding in _addresses(services, issuer, base)]


def _addresses(services: "Services", issuer: "IssuerMaterial", base: str) -> Iterator[Finding]:
    pointer = services.ledger.get(CrlPointer, crl_key(issuer.id))
    yield _fetched(ca_certificate_url(base, issuer.id), lambda body: _check_certificate(body, issuer))
    yield _fetched(crl_url(base, issuer.id), lambda body: _check_crl(body, issuer, pointer))
    yield _fetched(ocsp_url(base, issuer.id), _check_ocsp, _ocsp_request(issuer))


def _fetched(url: str, check: Callable[[bytes], str | None], post: bytes | None = None) -> Finding:
    try:
        headers = {"Content-Type": OCSP_REQUEST} if post else {}
        reply = requests.request(
            "POST" if post else "GET", url, data=post, headers=headers, timeout=TIMEOUT, allow_redirects=False
        )
    except (requests.exceptions.RequestException, OSError) as error:
        return failed(
            f"{url} cannot be fetched from here ({_reason(error)}).",
            "Clients fetch it from the internet: PKI_PUBLIC_URL must lead to the function app, by name and firewall.",
        )
    if reply.is_redirect:
        return failed(
            f"{url} redirects to {reply.headers.get('Location')}.",
            "Windows and Entra fetch over plain http: the function app's `httpsOnly` must be off.",
        )
    if reply.status_code != 200:
        return failed(f"{url} answers with status {reply.status_code}.", WHO_ANSWERS)
    problem = check(reply.content)
    return failed(f"{url}: {problem}", WHO_ANSWERS) if problem else ok(f"{url} is right.")


def _check_certificate(body: bytes, issuer: "IssuerMaterial") -> str | None:
    return None if body == issuer.der else "that is not the issuer's certificate."


def _check_crl(body: bytes, issuer: "IssuerMaterial", pointer: CrlPointer | None) -> str | None:
    try:
        crl = x509.load_der_x509_crl(body)
        number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except (ValueError, x509.ExtensionNotFound):
        return "that is no CRL."
    if not crl.is_signature_valid(issuer.public_key):
        return "that CRL is not of this issuer."
    if crl.next_update_utc is None or crl.next_update_utc <= datetime.now(UTC):
        return "that CRL has ended."
    if pointer is not None and pointer.number is not None and number > pointer.number:
        return f"that CRL has number {number}, and the directory knows {pointer.number}: was it restored?"
    return None


def _check_ocsp(body: bytes) -> str | None:
    try:
        reply = ocsp.load_der_ocsp_response(body)
    except ValueError:
        return "that is no OCSP response."
    if reply.response_status is ocsp.OCSPResponseStatus.TRY_LATER:
        return "the OCSP responder could not get its certificate signed; it tries again after 30 seconds."
    if reply.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        return f"the OCSP responder answers {reply.response_status.name.lower().replace('_', ' ')}."
    return None


def _ocsp_request(issuer: "IssuerMaterial") -> bytes:
    """About a serial number that was never given: the answer is `unknown`, signed."""
    spki = issuer.record.public_key
    builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(
        hashed("sha1", issuer.record.subject_der),
        hashed("sha1", key_bits(spki)),
        1,
        hashes.SHA1(),  # noqa: S303
    )
    return builder.build().public_bytes(serialization.Encoding.DER)


def _skew(url: str, clock: Clock) -> timedelta | None:
    try:
        reply = requests.get(url, timeout=TIMEOUT, allow_redirects=False)
        theirs = parsedate_to_datetime(reply.headers["Date"]).astimezone(UTC)
    except (requests.exceptions.RequestException, OSError, KeyError, ValueError, TypeError):
        return None
    return clock() - theirs - timedelta(seconds=0.5)  # it is cut to whole seconds


def _root(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/"


def _reason(error: Exception) -> str:
    """The innermost cause, without addresses of memory."""
    cause: BaseException = error
    while True:
        inner = next((each for each in cause.args if isinstance(each, BaseException)), None)
        inner = inner or getattr(cause, "reason", None) or cause.__cause__ or cause.__context__
        if not isinstance(inner, BaseException) or inner is cause:
            break
        cause = inner
    said = getattr(cause, "verify_message", None) or getattr(cause, "strerror", None) or str(cause)
    return str(said).partition(": Failed to establish")[0][:200]
