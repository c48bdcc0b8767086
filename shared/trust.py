"""The trust anchors of outgoing https: a deployment must not trust what vouches for a laptop's emulators."""

from pathlib import Path

from shared.settings import InvalidSettings

LAPTOP_NAME = "localhost"


def refuse_laptop_root(bundle: Path | None) -> None:
    """Raises InvalidSettings if the bundle cannot be read or holds a root that is constrained to localhost."""
    if bundle is None:
        return
    from cryptography import x509

    try:
        certificates = x509.load_pem_x509_certificates(bundle.read_bytes())
    except (OSError, ValueError):
        raise InvalidSettings({"REQUESTS_CA_BUNDLE": f"{bundle} is not a readable file of PEM certificates."}) from None
    for certificate in certificates:
        try:
            constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
        except (x509.ExtensionNotFound, ValueError):
            continue
        if any(getattr(name, "value", None) == LAPTOP_NAME for name in constraints.permitted_subtrees or ()):
            subject = certificate.subject.rfc4514_string()
            raise InvalidSettings(
                {"REQUESTS_CA_BUNDLE": f"{bundle} trusts the laptop's emulators ({subject}): use the system's bundle."}
            )
