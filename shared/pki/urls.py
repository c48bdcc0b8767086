"""The addresses that certificates carry. They never change: they are in certificates for as long as those live."""


def ca_certificate_url(public_url: str, issuer_id: str) -> str:
    """AIA id-ad-caIssuers (RFC 5280 4.2.2.1): the issuer's certificate, DER."""
    return f"{_base(public_url, issuer_id)}/ca.crt"


def crl_url(public_url: str, issuer_id: str) -> str:
    """CDP (RFC 5280 4.2.1.13): the issuer's CRL, DER."""
    return f"{_base(public_url, issuer_id)}/crl"


def ocsp_url(public_url: str, issuer_id: str) -> str:
    """AIA id-ad-ocsp (RFC 6960 3.1)."""
    return f"{_base(public_url, issuer_id)}/ocsp"


def _base(public_url: str, issuer_id: str) -> str:
    return f"{public_url.rstrip('/')}/api/v1/pki/{issuer_id}"
