"""Prepares the Entra tenant, by the Azure CLI: the app registration, its roles, and what the app may read.

register  makes the registration that callers get tokens for, as application.json says it
grant     lets the function app's identity read the users and groups of the tenant
assign    gives a user, a group or an app a role of this API

Each tells what it does, does only what is not yet done, and changes nothing with --dry-run. It needs `az login` with an
account that may do it: an Application Administrator to register and assign, a Privileged Role Administrator to grant.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

WANTED: Mapping[str, Any] = json.loads(Path(__file__).with_name("application.json").read_text(encoding="utf-8"))
MANAGE = "manage-entra-integration"
GRAPH_APP_ID = "00000003-0000-0000-c000-000000000000"
"""Microsoft Graph, the same in every tenant
(https://learn.microsoft.com/troubleshoot/entra/entra-id/governance/verify-first-party-apps-sign-in)."""
GRAPH_PERMISSIONS = ("User.Read.All", "GroupMember.Read.All")
NOT_YET = ("Request_ResourceNotFound", "NoBackingApplicationObject")
"""What Graph says of an object that has been made a moment ago."""
TRIES, PAUSE_SECONDS = 6, 5
Json = dict[str, Any]


class SetupFailed(Exception):
    """Something that the person at the terminal has to mend; the message says what."""


class Tenant:
    """Microsoft Graph of the tenant that `az` is signed in to. Tells each change; in a dry run makes none."""

    def __init__(self, dry_run: bool) -> None:
        self._dry_run = dry_run
        self._az = shutil.which("az") or ""
        if not self._az:
            raise SetupFailed("The Azure CLI is needed: https://aka.ms/azure-cli, then `az login`.")
        account = self._run("account", "show")
        self._graph = str(self._run("cloud", "show")["endpoints"]["microsoftGraphResourceId"]).rstrip("/")
        print(f"Tenant {account['tenantId']}, as {account['user']['name']}{', dry run' if dry_run else ''}")

    def get(self, path: str, **query: str) -> Json:
        """`query`: $filter and $select, without the dollar. Lists are taken for one page: none here fills it."""
        parameters = [f"${name}={value}" for name, value in query.items()]
        return self._rest("get", path, *(["--url-parameters", *parameters] if parameters else []))

    def change(self, told: str, method: str, path: str, body: Json) -> Json:
        """Gives Graph's reply; nothing in a dry run."""
        print(f"  {'would ' if self._dry_run else ''}{told}")
        if self._dry_run:
            return {}
        with tempfile.TemporaryDirectory() as folder:  # a file, because shells differ in what they make of JSON
            file = Path(folder) / "body.json"
            file.write_text(json.dumps(body), encoding="utf-8")
            sent = ("--headers", "Content-Type=application/json", "--body", f"@{file}")
            for tries_left in range(TRIES - 1, -1, -1):
                try:
                    return self._rest(method, path, *sent)
                except SetupFailed as failed:
                    if not tries_left or not any(code in str(failed) for code in NOT_YET):
                        raise
                time.sleep(PAUSE_SECONDS)
        raise AssertionError("the last try returns or raises")

    def _rest(self, method: str, path: str, *more: str) -> Json:
        return self._run("rest", "--method", method, "--url", f"{self._graph}/v1.0/{path}", *more)

    def _run(self, *command: str) -> Json:
        done = subprocess.run([self._az, *command, "--output", "json"], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SetupFailed(f"az {' '.join(command[:5])}\n{done.stderr.strip()}")
        reply: Json = json.loads(done.stdout or "{}")
        return reply


def register(tenant: Tenant, name: str) -> None:
    """Makes or mends the app registration, and its service principal in the tenant."""
    application = find_application(tenant, name)
    if application is None:
        told = f"make the app registration {name} with the roles {', '.join(values(WANTED['appRoles']))}"
        application = tenant.change(told, "post", "applications", {"displayName": name, **WANTED})
        if not application:
            print("  would make its service principal, and print ENTRA_CLIENT_ID")
            return
    mend(tenant, application)
    client_id = str(application["appId"])
    principal = find_principal(tenant, client_id)
    required = {"appRoleAssignmentRequired": True}
    if principal is None:
        told = "make its service principal, which gives tokens to those alone who have a role"
        tenant.change(told, "post", "servicePrincipals", {"appId": client_id, **required})
    elif principal.get("appRoleAssignmentRequired") is not True:
        told = "let its service principal give tokens to those alone who have a role"
        tenant.change(told, "patch", f"servicePrincipals/{principal['id']}", required)
    else:
        print("  its service principal: there already")
    print(f"ENTRA_CLIENT_ID={client_id}")


def mend(tenant: Tenant, application: Json) -> None:
    """Brings the registration to what application.json wants. Roles, scopes and names of others are kept."""
    uri = f"api://{application['appId']}"
    api = application.get("api") or {}
    scopes = merged(api.get("oauth2PermissionScopes"), WANTED["api"]["oauth2PermissionScopes"])
    wanted = {
        "signInAudience": WANTED["signInAudience"],
        "identifierUris": list(dict.fromkeys([*(application.get("identifierUris") or []), uri])),
        "api": {**api, **WANTED["api"], "oauth2PermissionScopes": scopes},
        "appRoles": merged(application.get("appRoles"), WANTED["appRoles"]),
    }
    different = {key: value for key, value in wanted.items() if application.get(key) != value}
    if different:
        told = f"set {', '.join(different)} of the app registration"
        tenant.change(told, "patch", f"applications/{application['id']}", different)
    else:
        print("  the app registration with its roles: there already")


def merged(found: Sequence[Json] | None, wanted: Sequence[Json]) -> list[Json]:
    """Those found, with what is wanted written over them by id, and those that are missing."""
    ours = {str(each["id"]): each for each in wanted}
    kept = [{**each, **ours.pop(str(each["id"]), {})} for each in found or ()]
    return [*kept, *ours.values()]


def grant(tenant: Tenant, identity: str) -> None:
    """Gives the identity Graph's application permissions."""
    graph = find_principal(tenant, GRAPH_APP_ID)
    if graph is None:
        raise SetupFailed("This tenant has no service principal of Microsoft Graph.")
    for permission in GRAPH_PERMISSIONS:
        give(tenant, identity, graph, permission, f"the permission {permission} of Microsoft Graph")


def assign(tenant: Tenant, principal: str, name: str, role: str) -> None:
    """Gives the principal a role of this API."""
    application = find_application(tenant, name)
    ours = find_principal(tenant, str(application["appId"])) if application else None
    if ours is None:
        raise SetupFailed(f"There is no app registration {name} with a service principal: register it first.")
    give(tenant, principal, ours, role, f"the role {role} of {name}")


def give(tenant: Tenant, principal: str, resource: Json, role: str, told: str) -> None:
    """Gives the principal an app role of the resource, a service principal. Raises: SetupFailed if it has no such."""
    role_id = next((each["id"] for each in resource["appRoles"] if each["value"] == role), None)
    if role_id is None:
        raise SetupFailed(f"There is no such thing as {told}; there are {', '.join(values(resource['appRoles']))}.")
    kind = str(tenant.get(f"directoryObjects/{principal}").get("@odata.type")).rpartition(".")[2]
    held = tenant.get(f"{kind}s/{principal}/appRoleAssignments", filter=f"resourceId eq {resource['id']}")["value"]
    if any(each["appRoleId"] == role_id for each in held):
        print(f"  {told}: there already")
        return
    body = {"principalId": principal, "resourceId": resource["id"], "appRoleId": role_id}
    told = f"give the {kind} {principal} {told}"
    tenant.change(told, "post", f"servicePrincipals/{resource['id']}/appRoleAssignedTo", body)


def values(roles: Sequence[Json]) -> list[str]:
    return [str(role["value"]) for role in roles]


def find_application(tenant: Tenant, name: str) -> Json | None:
    """Raises: SetupFailed if there are several of that name."""
    quoted = name.replace("'", "''")
    fields = "id,appId,displayName,signInAudience,identifierUris,api,appRoles"
    found = tenant.get("applications", filter=f"displayName eq '{quoted}'", select=fields)["value"]
    if len(found) > 1:
        raise SetupFailed(f"There are {len(found)} app registrations {name}: rename the others, or say --name.")
    return found[0] if found else None


def find_principal(tenant: Tenant, client_id: str) -> Json | None:
    fields = "id,appId,appRoles,appRoleAssignmentRequired"
    found = tenant.get("servicePrincipals", filter=f"appId eq '{client_id}'", select=fields)["value"]
    return found[0] if found else None


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")
    named = argparse.ArgumentParser(add_help=False)
    named.add_argument("--name", default="Entra PKI", help="the app registration's name [Entra PKI]")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("register", parents=[common, named])
    granting = commands.add_parser("grant", parents=[common])
    granting.add_argument("identity", help="object id of the function app's managed identity: azd's API_PRINCIPAL_ID")
    assigning = commands.add_parser("assign", parents=[common, named])
    assigning.add_argument("principal", help="object id of a user, a group or a service principal")
    assigning.add_argument("--role", default=MANAGE, help=f"[{MANAGE}]")
    return parser


def main(command_line: Sequence[str] | None = None) -> None:
    """Exit code 0: done, or nothing to do; 1: refused or failed, with a sentence; 2: the command line was wrong."""
    given = arguments().parse_args(command_line)
    try:
        tenant = Tenant(given.dry_run)
        match given.command:
            case "register":
                register(tenant, given.name)
            case "grant":
                grant(tenant, given.identity)
            case "assign":
                assign(tenant, given.principal, given.name, given.role)
    except SetupFailed as failed:
        sys.exit(f"Error: {failed}")


if __name__ == "__main__":
    main()
