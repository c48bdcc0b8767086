"""Runs inside a scratch environment that has django-ca, not in ours: signs one CSR many times, prints JSON.

python django_ca_peer.py FOLDER CSR_FILE COUNT
"""

import json
import os
import sys
import time
import types
from pathlib import Path


def main() -> None:
    folder, csr_file, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    configure(folder)
    from cryptography import x509
    from django.core.management import call_command
    from django_ca.models import Certificate, CertificateAuthority
    from django_ca.profiles import profiles

    call_command("migrate", verbosity=0)
    call_command("init_ca", "Peer", "CN=Peer CA", key_size=2048, key_type="RSA", verbosity=0)
    authority = CertificateAuthority.objects.get()
    key_options = authority.key_backend.get_use_private_key_options(authority, {})
    csr = x509.load_pem_x509_csr(csr_file.read_bytes())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ada@contoso.com")])
    times = []
    for _ in range(count):
        started = time.perf_counter()
        Certificate.objects.create_cert(authority, key_options, csr, profile=profiles["client"], subject=name)
        times.append(time.perf_counter() - started)
    print(json.dumps({"seconds": times, "certificates": Certificate.objects.count()}))


def configure(folder: Path) -> None:
    """Django with django-ca, a SQLite file and keys in files, nothing else."""
    import django
    from django.conf import settings

    os.environ["DJANGO_CA_SECRET_KEY"] = "bench" * 10
    urls = types.ModuleType("peer_urls")
    sys.modules[urls.__name__] = urls
    settings.configure(
        SECRET_KEY="bench" * 10,
        USE_TZ=True,
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django_ca"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / "peer.sqlite3")}},
        STORAGES={
            "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
            "django-ca": {
                "BACKEND": "django.core.files.storage.FileSystemStorage",
                "OPTIONS": {"location": str(folder), "file_permissions_mode": 0o600},
            },
        },
        CA_DEFAULT_HOSTNAME="pki.contoso.com",
        ROOT_URLCONF=urls.__name__,
    )
    django.setup()
    from django.urls import include, path

    vars(urls)["urlpatterns"] = [path("", include("django_ca.urls"))]


if __name__ == "__main__":
    main()
