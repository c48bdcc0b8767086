"""CRL and OCSP as clients get them: the whole app over plain http, asked by OpenSSL, GnuTLS and pkilint."""

import base64
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
import requests
from asn1crypto import ocsp as asn1
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID

from local.stack import ApiClient, Stack
from shared.cli.pkilint_report import pkix_findings
from tests.support.revocation_checkers import (
    crl_findings,
    gnutls_crl_refusal,
    has_gnutls,
    ocsp_findings,
    openssl_crl_refusal,
    run,
)

OCSP_TYPE = "application/ocsp-response"
SERIALS = [str(number) for number in range(5000, 5013)]
"""Never issued."""


@dataclass(frozen=True)
class Scene:
    """An issuer and four certificates of its users: what becomes of each is its name."""

    stack: Stack
    folder: Path
    certificates: Mapping[str, x509.Certificate]
    issuer: x509.Certificate

    @property
    def ca(self) -> str:
        return str(self.folder / "ca.pem")

    def file(self, name: str) -> str:
        path = self.folder / f"{name}.pem"
        path.write_bytes(self.certificates[name].public_bytes(Encoding.PEM))
        return str(path)

    @property
    def crl_url(self) -> str:
        points = self.certificates["good"].extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        assert points[0].full_name is not None
        return str(points[0].full_name[0].value)

    @property
    def ocsp_url(self) -> str:
        access = self.certificates["good"].extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
        (url,) = (each for each in access if each.access_method == AuthorityInformationAccessOID.OCSP)
        return str(url.access_location.value)

    def openssl_ocsp(self, *arguments: str) -> str:
        """`openssl ocsp` over http; fails unless the reply's signature and nonce verify."""
        said = run(["openssl", "ocsp", "-issuer", self.ca, "-CAfile", self.ca, "-url", self.ocsp_url, *arguments])
        assert "Response verify OK" in said, said
        return said

    def request(self, *arguments: str) -> bytes:
        """An OCSP request by OpenSSL."""
        path = self.folder / "request.der"
        run(["openssl", "ocsp", "-issuer", self.ca, *arguments, "-reqout", str(path)])
        return path.read_bytes()

    def get(self, request: bytes) -> requests.Response:
        return requests.get(f"{self.ocsp_url}/{quote(base64.b64encode(request), safe='')}", timeout=30)

    def post(self, request: bytes) -> requests.Response:
        return requests.post(
            self.ocsp_url, data=request, headers={"Content-Type": "application/ocsp-request"}, timeout=30
        )


@pytest.fixture(scope="module")
def scene(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    api, folder = stack.api, tmp_path_factory.mktemp("scene")
    certificates = {name: _issued(stack, api, name) for name in ("good", "revoked", "held", "superseded")}
    reasons = {"revoked": "keyCompromise", "held": "certificateHold", "superseded": "superseded"}
    for name, reason in reasons.items():
        reply = api.post(f"certificates/{certificates[name][0]}/revoke", json={"reason": reason})
        assert reply.status_code == 200, reply.text
    stack.fire_timer("publish_crls")
    parsed = {name: certificate for name, (_, certificate) in certificates.items()}
    issuer_url = _ca_issuers(parsed["good"])
    issuer = x509.load_der_x509_certificate(requests.get(issuer_url, timeout=30).content)
    scene = Scene(stack, folder, parsed, issuer)
    Path(scene.ca).write_bytes(issuer.public_bytes(Encoding.PEM))
    return scene


def _issued(stack: Stack, api: ApiClient, name: str) -> tuple[int, x509.Certificate]:
    user = stack.entra.add_user(f"{name}@contoso.example")
    synced = api.post("sync-user", json={"user_principal_name": user.user_principal_name}).json()
    issued = api.post("provision-certificate", json={"user_id": synced["user"]["id"]}).json()["certificate"]
    return issued["id"], x509.load_pem_x509_certificate(issued["pem"].encode())


def _ca_issuers(certificate: x509.Certificate) -> str:
    access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    (url,) = (each for each in access if each.access_method == AuthorityInformationAccessOID.CA_ISSUERS)
    return str(url.access_location.value)


# --- CRL ---


def test_openssl_finds_the_crl_by_the_certificate_and_refuses_what_it_lists(scene: Scene) -> None:
    verify = ["openssl", "verify", "-crl_check", "-crl_download", "-x509_strict", "-CAfile", scene.ca]

    assert run([*verify, scene.file("good")]).endswith("good.pem: OK\n")
    for name in ("revoked", "held", "superseded"):
        assert "certificate revoked" in run([*verify, scene.file(name)], code=2)


def test_the_crl_says_why(scene: Scene) -> None:
    crl = requests.get(scene.crl_url, timeout=30)
    path = scene.folder / "crl.der"
    path.write_bytes(crl.content)

    text = run(["openssl", "crl", "-inform", "DER", "-in", str(path), "-text", "-noout"])

    assert crl.headers["Content-Type"] == "application/pkix-crl"
    for serial, reason in (("revoked", "Key Compromise"), ("held", "Certificate Hold"), ("superseded", "Superseded")):
        digits = f"{scene.certificates[serial].serial_number:X}"
        entry = text[text.index(digits.rjust(len(digits) + len(digits) % 2, "0")) :].partition("Serial Number")[0]
        assert reason in entry
    assert "X509v3 CRL Number" in text and "X509v3 Authority Key Identifier" in text


def test_other_peoples_checkers_find_nothing_wrong_with_the_crl(scene: Scene, tmp_path: Path) -> None:
    crl, pem = requests.get(scene.crl_url, timeout=30).content, Path(scene.ca).read_text()

    assert crl_findings(crl) == []
    assert openssl_crl_refusal(pem, crl, tmp_path) == ""
    if not has_gnutls():
        pytest.skip("certtool is not installed (Debian's gnutls-bin)")
    assert gnutls_crl_refusal(pem, crl, tmp_path) == ""


def test_the_pem_is_the_same_crl(scene: Scene) -> None:
    pem = requests.get(f"{scene.crl_url}.pem", timeout=30)

    assert pem.headers["Content-Type"].startswith("application/x-pem-file")
    der = x509.load_pem_x509_crl(pem.content).public_bytes(Encoding.DER)
    assert der == requests.get(scene.crl_url, timeout=30).content


def test_a_crl_that_the_client_has_is_not_sent_again(scene: Scene) -> None:
    first = requests.get(scene.crl_url, timeout=30)
    crl = x509.load_der_x509_crl(first.content)

    def status(**headers: str) -> tuple[int, int]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        reply = requests.get(scene.crl_url, headers=named, timeout=30)
        return reply.status_code, len(reply.content)

    size = len(first.content)
    assert "max-age=60" in first.headers["Cache-Control"] and "public" in first.headers["Cache-Control"]
    assert first.headers["Last-Modified"] == f"{crl.last_update_utc:%a, %d %b %Y %H:%M:%S GMT}"
    assert status(If_None_Match=first.headers["ETag"]) == (304, 0)
    assert status(If_None_Match=f'"other", W/{first.headers["ETag"]}') == (304, 0)
    assert status(If_None_Match='"other"', If_Modified_Since=first.headers["Last-Modified"]) == (200, size)
    assert status(If_Modified_Since=first.headers["Last-Modified"]) == (304, 0)
    assert status(If_Modified_Since="Thu, 01 Jan 2015 00:00:00 GMT") == (200, size)
    assert status(If_Modified_Since="yesterday") == (200, size)


def test_public_routes_are_served_over_http_and_unknown_issuers_are_not_found(scene: Scene) -> None:
    over_http = {"X-Forwarded-Proto": "http"}

    assert requests.get(scene.crl_url, headers=over_http, timeout=30).status_code == 200
    assert requests.get(scene.crl_url.replace("/crl", "0/crl"), timeout=30).status_code == 404


def test_health_knows_the_crl(scene: Scene) -> None:
    """Its report may be five seconds old, from before the first CRL."""
    deadline = time.monotonic() + 10
    while (check := scene.stack.api.get("health").json()["checks"]["crl"])["status"] != "healthy":
        assert time.monotonic() < deadline, check
        time.sleep(0.5)


# --- OCSP ---


@pytest.mark.parametrize("algorithm", ["-sha1", "-sha256"])
def test_openssl_gets_every_status_by_post_with_a_nonce(scene: Scene, algorithm: str) -> None:
    names = ("good", "revoked", "held", "superseded")
    certificates = [part for name in names for part in ("-cert", scene.file(name))]

    said = scene.openssl_ocsp("-nonce", algorithm, *certificates, "-serial", "4711")

    assert "WARNING: no nonce" not in said
    assert "good.pem: good" in said
    assert "revoked.pem: revoked" in said and "Reason: keyCompromise" in said
    assert "held.pem: revoked" in said and "Reason: certificateHold" in said
    assert "4711: unknown" in said


def test_sixteen_certificates_are_answered_in_one_reply_and_seventeen_refused(scene: Scene) -> None:
    serials = [part for serial in SERIALS for part in ("-serial", serial)]
    three = [part for name in ("good", "revoked", "held") for part in ("-cert", scene.file(name))]

    said = scene.openssl_ocsp(*three, *serials)

    assert said.count("unknown") == 13 and said.count(": revoked") == 2
    seventeen = scene.post(scene.request(*three, *serials, "-serial", "6000"))
    assert _error(seventeen) == "malformed_request"


def test_get_is_answered_like_post_and_can_be_cached(scene: Scene) -> None:
    request = scene.request("-no_nonce", "-cert", scene.file("revoked"))

    reply = scene.get(request)

    assert reply.status_code == 200 and reply.headers["Content-Type"] == OCSP_TYPE
    assert "max-age=300" in reply.headers["Cache-Control"] and "ETag" in reply.headers
    path = scene.folder / "reply.der"
    path.write_bytes(reply.content)
    verify = ["-issuer", scene.ca, "-CAfile", scene.ca, "-cert", scene.file("revoked"), "-respin", str(path)]
    said = run(["openssl", "ocsp", "-no_nonce", *verify])
    assert "Response verify OK" in said and "revoked.pem: revoked" in said
    again = requests.get(reply.url, headers={"If-None-Match": reply.headers["ETag"]}, timeout=30)
    assert again.status_code in (200, 304)


def test_a_get_with_a_nonce_is_not_cached(scene: Scene) -> None:
    reply = scene.get(scene.request("-nonce", "-cert", scene.file("good")))

    assert reply.headers["Cache-Control"] == "no-store"


def test_a_get_that_encodes_no_slashes_is_understood(scene: Scene) -> None:
    """Many clients leave `/` and `+` as they are."""
    request = scene.request("-no_nonce", "-serial", "1")
    encoded = (base64.b64encode(_with_serial(request, serial)).decode() for serial in range(2**60, 2**60 + 4000))
    awkward = next(each for each in encoded if "/" in each and "+" in each)

    assert _error(requests.get(f"{scene.ocsp_url}/{awkward}", timeout=30)) == "successful"


def _with_serial(request: bytes, serial: int) -> bytes:
    parsed = asn1.OCSPRequest.load(request).copy()
    parsed["tbs_request"]["request_list"][0]["req_cert"]["serial_number"] = serial
    return bytes(parsed.dump(force=True))


def test_the_wrong_issuer_is_not_authorized(scene: Scene, tmp_path: Path) -> None:
    other, key = tmp_path / "other.pem", tmp_path / "other.key"
    subject = ["-subj", "/CN=Somebody else's CA", "-days", "2", "-nodes", "-keyout", str(key), "-out", str(other)]
    run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", *subject])
    path = tmp_path / "request.der"
    run(["openssl", "ocsp", "-issuer", str(other), "-serial", "1", "-reqout", str(path)])

    assert _error(scene.post(path.read_bytes())) == "unauthorized"
    unknown = scene.ocsp_url.replace("/ocsp", "0/ocsp")
    assert _error(requests.post(unknown, data=scene.request("-serial", "1"), timeout=30)) == "unauthorized"


def test_gnutls_accepts_the_replies(scene: Scene) -> None:
    if not has_gnutls():
        pytest.skip("ocsptool is not installed (Debian's gnutls-bin)")

    def ask(name: str) -> str:
        files = ["--load-issuer", scene.ca, "--load-cert", scene.file(name), "--load-signer", scene.ca]
        return run(["ocsptool", f"--ask={scene.ocsp_url}", "--nonce", *files], code=None)

    good, revoked = ask("good"), ask("revoked")

    assert "Certificate Status: good" in good and "Verifying OCSP Response: Success" in good, good
    assert "Certificate Status: revoked" in revoked and "Verifying OCSP Response: Success" in revoked, revoked


@pytest.mark.parametrize("nonce", ["-nonce", "-no_nonce"])
def test_pkilint_finds_nothing_wrong_with_replies_and_their_signer(scene: Scene, nonce: str) -> None:
    names = ("good", "revoked", "held", "superseded")
    certificates = [part for name in names for part in ("-cert", scene.file(name))]
    reply = scene.post(scene.request(nonce, *certificates, "-serial", "4711")).content

    assert ocsp_findings(reply) == []
    basic = asn1.OCSPResponse.load(reply)["response_bytes"]["response"].parsed
    (signer,) = (certificate.dump() for certificate in basic["certs"])
    assert [finding for finding in pkix_findings(signer) if finding.severity in ("ERROR", "FATAL", "WARNING")] == []


def test_damaged_requests_get_an_ocsp_error_and_never_a_500(scene: Scene) -> None:
    chance = random.Random(6960)
    originals = [scene.request("-nonce", "-serial", "1"), scene.request("-sha256", "-serial", "1", "-serial", "2")]
    outcomes: dict[str, int] = {}
    for number in range(150):
        data = bytearray(chance.choice(originals))
        for _ in range(chance.randint(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        if number % 3 == 0:
            data = data[: chance.randrange(len(data))]
        sent = scene.get(bytes(data)) if data and number % 2 else scene.post(bytes(data))
        outcome = _error(sent)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    assert set(outcomes) <= {"malformed_request", "unauthorized", "successful"}
    assert outcomes["malformed_request"] > 20 and outcomes["unauthorized"] > 5


@pytest.mark.parametrize("path", ["/%00", "/AAAA", "/%ff%fe", "/a b", "/" + "A" * 3000, "/..%2f..%2f", "/MA=="])
def test_odd_paths_are_malformed_requests(scene: Scene, path: str) -> None:
    assert _error(requests.get(scene.ocsp_url + path, timeout=30)) == "malformed_request"


def _error(reply: requests.Response) -> str:
    """The status of an OCSP reply by its name; it is an OCSP reply whatever it says."""
    assert reply.status_code == 200, (reply.status_code, reply.text)
    assert reply.headers["Content-Type"] == OCSP_TYPE
    return str(asn1.OCSPResponse.load(reply.content, strict=True)["response_status"].native)
