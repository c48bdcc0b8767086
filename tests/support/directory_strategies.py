"""Random users, certificates and queries, small enough to collide often, strange enough to hurt."""

import uuid
from datetime import timedelta

from hypothesis import strategies as st

from shared.directory.records.certificate import (
    Certificate,
    CertificateKind,
    CertificateStatus,
    CertificateType,
    RevocationReason,
)
from shared.directory.records.user import User
from shared.directory.replica.queries import CertificateQuery, EffectiveStatus, UserQuery
from tests.support.people import NOW, certificate, user

MOST_IDS = 40
ISSUERS = ("0123456789abcdef", "fedcba9876543210")

_LETTERS = "aAbñÑ\u0303éÉe\u0301łßsſİıi%_\"'*^():-+ \t\\王李\u3099か김ᄀ\u1161🙂"
_WORDS = (
    "Ana",
    "ana",
    "García",
    "garcia",
    "contoso",
    "NEAR",
    "AND",
    "a@b",
    "STRASSE",
    "straße",
    "@contoso.",
    "a@c",
    ".example",
    "@",
)
texts = st.one_of(
    st.text(_LETTERS, max_size=5), st.lists(st.sampled_from(_WORDS), min_size=1, max_size=3).map(" ".join)
)
moments = st.integers(-40, 40).map(lambda days: NOW + timedelta(days=days)) | st.sampled_from(
    [NOW - timedelta(hours=24), NOW - timedelta(microseconds=1), NOW, NOW + timedelta(microseconds=1)]
)
ids = st.integers(1, MOST_IDS)


@st.composite
def users(draw: st.DrawFn) -> User:
    user_id = draw(ids)
    upn = draw(st.none() | st.builds("{}@{}".format, texts, st.sampled_from(["contoso.example", "b.example", "a"])))
    return user(
        user_id,
        draw(texts),
        object_id=draw(st.sampled_from([None, *[str(uuid.UUID(int=user_id))] * 9])),
        user_principal_name=upn,
        email=draw(st.none() | texts | st.just(upn)),
        is_active=draw(st.booleans()),
        user_type=draw(st.sampled_from([None, "Member", "Guest"])),
        synced_at=draw(st.none() | moments),
        deleted_at=draw(st.none() | moments),
        updated_at=draw(moments),
    )


@st.composite
def certificates(draw: st.DrawFn) -> Certificate:
    status = draw(st.sampled_from(CertificateStatus))
    gone = status in (CertificateStatus.HELD, CertificateStatus.REVOKED)
    kind = draw(st.sampled_from([*[CertificateKind.ENTRA_USER] * 5, CertificateKind.OCSP_RESPONDER]))
    of_user = kind is CertificateKind.ENTRA_USER
    return certificate(
        draw(ids),
        draw(ids) if of_user else None,
        kind=kind,
        certificate_type=draw(st.sampled_from(CertificateType)) if of_user else None,
        status=status,
        issuer_id=draw(st.sampled_from(ISSUERS)),
        not_after=draw(moments),
        revoked_at=draw(moments) if gone else None,
        revocation_reason=draw(st.none() | st.sampled_from(RevocationReason)) if gone else None,
    )


user_queries = st.builds(
    UserQuery,
    active=st.none() | st.booleans(),
    synced_since=st.none() | moments,
    search=st.none() | st.just("") | texts | st.text(_LETTERS, min_size=1, max_size=2),
    page=st.integers(1, 5) | st.just(10**9),
    per_page=st.sampled_from([1, 3, 15, 100]),
    sort=st.sampled_from(["id", "name", "synced_at"]),
)
certificate_queries = st.builds(
    CertificateQuery,
    user_id=st.none() | ids,
    status=st.none() | st.sampled_from(EffectiveStatus),
    certificate_type=st.none() | st.sampled_from(CertificateType),
    expiring_within=st.none() | st.integers(0, 50).map(lambda days: timedelta(days=days)),
    issuer_id=st.none() | st.sampled_from([*ISSUERS, "none"]),
    serial_number=st.none() | ids.map(lambda number: f"{number:08x}") | st.just("no hex"),
    page=st.integers(1, 5) | st.just(10**9),
    per_page=st.sampled_from([1, 3, 15, 100]),
)
