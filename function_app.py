"""The Azure Functions app: registers the blueprint of every module in `functions`, and nothing else."""

import azure.functions as func

from functions import (
    bulk_sync_users,
    health,
    list_certificates,
    list_users,
    pki_ca_crt,
    pki_ca_pem,
    pki_chain_pem,
    pki_crl,
    pki_crl_pem,
    provision_certificate,
    publish_crls,
    release_certificate,
    revoke_certificate,
    settle_revocations,
    show_certificate,
    show_sync,
    show_user,
    start_sync,
    statistics,
    sweep_certificates,
    sync_tenant,
    sync_user,
    validate_token,
    zz_unmatched,
)

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
for module in (
    bulk_sync_users,
    health,
    list_certificates,
    list_users,
    pki_ca_crt,
    pki_ca_pem,
    pki_chain_pem,
    pki_crl,
    pki_crl_pem,
    provision_certificate,
    publish_crls,
    release_certificate,
    revoke_certificate,
    settle_revocations,
    show_certificate,
    show_sync,
    show_user,
    start_sync,
    statistics,
    sweep_certificates,
    sync_tenant,
    sync_user,
    validate_token,
    zz_unmatched,
):
    app.register_functions(module.bp)
