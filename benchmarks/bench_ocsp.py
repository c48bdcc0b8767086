"""OCSP answers a second on one core, against the raw P-256 signature that each of them needs.

python -m benchmarks.bench_ocsp [--seconds S]

Azurite and a replica are real; what is measured is the responder itself, without HTTP. CPU time of this thread, so that
other processes' turns on the processor do not count.
"""

import argparse
import tempfile
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from asn1crypto import core
from asn1crypto import ocsp as asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import load_der_x509_certificate, ocsp

from local.azurite.azurite import Azurite
from shared.context import Deadline, system_clock
from shared.directory.ledger import Ledger
from shared.directory.records.certificate import Certificate
from shared.directory.tables import TableStore
from shared.pki.authority.authority import Authority
from shared.pki.keys import KeyType
from shared.pki.ocsp.codec import decode_request
from shared.pki.ocsp.responder import OcspResponder
from shared.pki.ocsp.responder_certificate import OcspCertification
from shared.pki.ocsp.signers import OcspSigners
from shared.pki.ocsp.statuses import OcspStatuses
from tests.support.crls import TestCrls, blob_store
from tests.support.issuers import LooseIssuer
from tests.support.ocsp import request_for, serial_of
from tests.support.pki import TestCa, context, order, software_backend

SECOND = timedelta(seconds=1)
ECDSA = ec.ECDSA(hashes.SHA256())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="CPU time for each line")
    seconds = parser.parse_args().seconds
    with Azurite.start() as azurite, tempfile.TemporaryDirectory() as folder:
        tables = TableStore.from_connection_string(azurite.connection_string, "directory")
        tables.create_if_missing()
        ca = TestCa.on(Ledger(tables, str(uuid.uuid4())), software_backend(Path(folder))).initialize()
        compare(TestCrls.of(ca, blob_store(azurite), Path(folder) / "replica"), seconds)


def compare(crls: TestCrls, seconds: float) -> None:
    user = crls.ca.add_user()
    issued = [crls.ca.issuance.issue(order(user), context()).certificate for _ in range(16)]
    crls.revoke(issued[1])
    key = ec.generate_private_key(ec.SECP256R1())
    one = request_for(serial_of(issued[0]), crls.issuer)
    nonce = request_for(serial_of(issued[0]), crls.issuer, nonce=b"n" * 32)
    revoked = request_for(serial_of(issued[1]), crls.issuer, nonce=b"n" * 32)
    made_up = request_for(4711, crls.issuer, nonce=b"n" * 32)
    many = sixteen(issued, one)
    responder, issuer_id = responder_of(crls), crls.issuer.id
    lines: dict[str, Callable[[], object]] = {
        "raw P-256 signature (cryptography)": lambda: key.sign(one, ECDSA),
        "cryptography's builder, status at hand, no cache": peer(issued[0], crls),
        "reading a request of 1 certificate (asn1crypto)": lambda: decode_request(one),
        "ours, good, with a nonce": lambda: responder.answer(issuer_id, nonce),
        "ours, revoked, with a nonce": lambda: responder.answer(issuer_id, revoked),
        "ours, never issued, with a nonce": lambda: responder.answer(issuer_id, made_up),
        "ours, 16 certificates, with a nonce": lambda: responder.answer(issuer_id, many),
        "ours, good, without a nonce (cached 10 s)": lambda: responder.answer(issuer_id, one),
        "ours, malformed": lambda: responder.answer(issuer_id, one[:-1]),
    }
    print(f"{'OCSP, one core':<56}{'a second':>12}{'us':>10}{'signatures':>12}")
    raw = 0.0
    for name, act in lines.items():
        each = microseconds(act, seconds)
        raw = raw or each
        print(f"  {name:<54}{1e6 / each:>12,.0f}{each:>10.0f}{each / raw:>12.2f}", flush=True)


def responder_of(crls: TestCrls) -> OcspResponder:
    """As the app builds it."""
    ca = crls.ca
    crls.replica.prepare(Deadline.after(10 * SECOND))
    authority = Authority(ca.ledger, ca.backend, "software")
    signers = OcspSigners(OcspCertification(ca.ledger, authority))
    return OcspResponder(authority, OcspStatuses(ca.ledger, crls.replica, crls.reader), signers)


def peer(certificate: Certificate, crls: TestCrls) -> Callable[[], object]:
    """What cryptography can do: one certificate, its DER at hand, a status that nobody had to look up."""
    signer = LooseIssuer.make(KeyType.P_256)
    leaf, issuer = load_der_x509_certificate(certificate.der or b""), crls.issuer.certificate

    def answer() -> object:
        now = system_clock()
        builder = ocsp.OCSPResponseBuilder().add_response(
            cert=leaf,
            issuer=issuer,
            algorithm=hashes.SHA1(),
            cert_status=ocsp.OCSPCertStatus.GOOD,
            this_update=now,
            next_update=now + timedelta(hours=1),
            revocation_time=None,
            revocation_reason=None,
        )
        certificate = signer.material.certificate
        named = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, certificate).certificates([certificate])
        return named.sign(signer.key, hashes.SHA256())

    return answer


def sixteen(issued: list[Certificate], one: bytes) -> bytes:
    """A request for all of them, by asn1crypto, with a nonce."""
    (first,) = asn1.OCSPRequest.load(one)["tbs_request"]["request_list"]
    requests = [first.copy() for _ in issued]
    for request, certificate in zip(requests, issued, strict=True):
        request["req_cert"]["serial_number"] = serial_of(certificate)
    nonce = core.ParsableOctetString(core.OctetString(b"n" * 32).dump())
    tbs = {"request_list": requests, "request_extensions": [{"extn_id": "nonce", "extn_value": nonce}]}
    return bytes(asn1.OCSPRequest({"tbs_request": tbs}).dump(force=True))


def microseconds(act: Callable[[], object], seconds: float) -> float:
    """CPU time of one, after a few to warm up."""
    for _ in range(10):
        act()
    started, count = time.thread_time(), 0
    while (taken := time.thread_time() - started) < seconds:
        for _ in range(20):
            act()
        count += 20
    return taken / count * 1e6


if __name__ == "__main__":
    main()
