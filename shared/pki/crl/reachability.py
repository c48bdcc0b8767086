"""Before an issuer is trusted: can everybody fetch the CRLs of the CAs above it? Entra refuses sign-ins if not."""

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

Fetch = Callable[[str], bytes]
"""URL → body. Raises OSError (as `requests` does) where there is none."""


def crl_problems(chain: Sequence[x509.Certificate], fetch: Fetch, now: datetime) -> tuple[str, ...]:
    """`chain`: the issuer, then those above it up to the root. One sentence for each CRL that does not serve."""
    problems = []
    for certificate, parent in pairwise(chain):
        urls = _http_urls(certificate)
        found = [_problem(url, certificate, parent, fetch, now) for url in urls]
        if not urls:
            problems.append(f"{certificate.subject.rfc4514_string()} names no CRL under an http URL.")
        elif all(found):
            problems += [sentence for sentence in found if sentence]
    return tuple(problems)


def _problem(
    url: str, certificate: x509.Certificate, parent: x509.Certificate, fetch: Fetch, now: datetime
) -> str | None:
    try:
        body = fetch(url)
        crl = x509.load_pem_x509_crl(body) if body.startswith(b"-----") else x509.load_der_x509_crl(body)
        genuine = crl.is_signature_valid(parent.public_key())  # type: ignore[arg-type]  # of an unfit kind: TypeError
    except OSError as error:
        return f"{url} cannot be fetched: {error}."
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return f"{url} does not give a CRL."
    if not genuine:
        return f"{url} gives a CRL that {parent.subject.rfc4514_string()} did not sign."
    if crl.next_update_utc is not None and crl.next_update_utc < now:
        return f"{url} gives a CRL that ran out on {crl.next_update_utc:%Y-%m-%d}."
    if crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
        return f"{url} says that {certificate.subject.rfc4514_string()} is revoked."
    return None


def _http_urls(certificate: x509.Certificate) -> list[str]:
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except x509.ExtensionNotFound:
        return []
    names = [name.value for point in points for name in point.full_name or []]
    return [name for name in names if isinstance(name, str) and name.lower().startswith("http://")]
