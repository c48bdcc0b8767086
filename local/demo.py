"""`make demo`: the product does its main job, step by step, on the laptop's own cloud.

Every step checks what it got; the exit status is 0 only if all of them were as they should be.
"""

import argparse
import base64
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jwt
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from rich.console import Console
from rich.table import Table

from local.demo_directory import fill
from local.entra.tenant_snapshot import SnapshotUser
from local.processes import REPOSITORY, ChildFailed, exit_on_sigterm
from local.stack import ABILITY, BACKENDS, SOFTWARE, ApiClient, Stack, StackFailed, empty_folder, running_cloud
from local.storyteller import StoryFailed, Storyteller, expect

STATE = REPOSITORY / ".local" / "demo"
OUTPUT = REPOSITORY / "demo-output"
BULK = 50


class Demo:
    """The steps after the stack is up, in the order of `tell`."""

    def __init__(self, story: Storyteller, stack: Stack, output: Path) -> None:
        self._story = story
        self._stack = stack
        self._api = stack.api
        self._output = output
        self._people = sorted(stack.entra.snapshot().users.values(), key=lambda user: user.user_principal_name.lower())
        self._members = [user for user in self._people if _is_member(user)]
        self._local_ids: dict[str, int] = {}
        self._issuer_id = self._crl = ""
        self._certificate_id = 0

    def tell(self) -> None:
        self.ask_for_health()
        self.sync_one_user()
        self.sync_many_users()
        self.sync_the_tenant()
        self.list_and_search()
        self.provision_client_certificate()
        self.provision_mail_certificate()
        self.renew_a_certificate()
        self.follow_a_departure()
        self.validate_tokens()
        self.refuse_a_local_user()
        self.verify_the_audit_log()

    def ask_for_health(self) -> None:
        with self._story.step("Ask for health: GET /health"):
            health = self._answer(self._api.get("health"), 200)
            expect(health["status"] != "unhealthy", f"the app is {health['status']}")
            checks = ", ".join(f"{name} {check['status']}" for name, check in health["checks"].items())
            self._story.say(f"{health['status']}: {checks}")

    def sync_one_user(self) -> None:
        person = self._members[0]
        with self._story.step("Copy one user from Entra ID: POST /sync-user"):
            name = person.user_principal_name
            first = self._answer(self._api.post("sync-user", json={"user_principal_name": name}), 200)
            again = self._answer(self._api.post("sync-user", json={"user_principal_name": name}), 200)
            expect(first["created"] and not again["created"], "the first sync creates the user, the second does not")
            expect(first["user"]["entra_id"] == person.id, "the user carries the object id of Entra")
            self._local_ids[person.id] = first["user"]["id"]
            groups = ", ".join(group["display_name"] for group in first["user"]["entra_groups"])
            self._story.say(f"{first['user']['name']} <{first['user']['email']}> is user {first['user']['id']}")
            self._story.say(f"member of {groups or 'no group'}")

    def sync_many_users(self) -> None:
        names = [person.user_principal_name for person in self._members[1:BULK]]
        names.append(f"nobody@{names[0].partition('@')[2]}")
        with self._story.step(f"Copy {BULK} users in one request: POST /bulk-sync-users"):
            self._stack.entra.reset_traffic()
            report = self._answer(self._api.post("bulk-sync-users", json={"user_principal_names": names}), 200)
            summary, failed = report["summary"], report["results"][-1]
            expect(summary == {"total": BULK, "successful": BULK - 1, "failed": 1}, f"49 of 50 succeed: {summary}")
            expect(failed["error"]["code"] == "entra_user_not_found", f"the unknown one says why: {failed}")
            copied = [result["user"] for result in report["results"][:-1]]
            self._local_ids |= {user["entra_id"]: user["id"] for user in copied}
            graph_requests = self._stack.entra.traffic().graph_requests
            self._story.say(f"{summary['successful']} copied with {graph_requests} requests to Graph")
            self._story.say(f"{failed['user_principal_name']} does not exist in Entra and fails alone")

    def sync_the_tenant(self) -> None:
        with self._story.step("Fire the timer: sync_tenant copies the whole tenant"):
            self._stack.fire_timer("sync_tenant")
            counts = self._statistics()["users"]
            live = sum(person.state != "deleted" for person in self._people)
            expect(counts["total"] == live, f"all {live} people are here: {counts}")
            disabled = sum(person.state == "disabled" for person in self._people)
            expect(counts["inactive"] >= disabled, f"the {disabled} disabled people are inactive: {counts}")
            self._story.say(
                f"{counts['total']} users: {counts['active']} active, {counts['inactive']} inactive, "
                f"{counts['guests']} guests"
            )

    def list_and_search(self) -> None:
        with self._story.step("List, count and search: GET /users"):
            page = self._answer(self._api.get("users", params={"active": "true", "per_page": "5"}), 200)
            counts = self._statistics()["users"]
            expect(page["total"] == counts["active"], "the list and the statistics agree on the active users")
            expect("per_page=5" in page["next_page_url"], "the link to the next page keeps the query")
            table = Table("id", "name", "user principal name")
            for user in page["data"]:
                table.add_row(str(user["id"]), user["name"], user["entra_upn"])
            self._story.show(table)
            for spelled, as_typed in (("García", "garcia"), ("Müller", "MULLER")):
                self._search(as_typed, spelled)

    def _search(self, as_typed: str, spelled: str) -> None:
        found = self._answer(self._api.get("users", params={"search": as_typed}), 200)["data"]
        names = [user["name"] for user in found]
        expect(any(spelled in name for name in names), f"{as_typed} finds {spelled}: {names}")
        self._story.say(f"search={as_typed} finds {', '.join(names)}")

    def provision_client_certificate(self) -> None:
        with self._story.step("Issue a certificate for client_auth: POST /provision-certificate"):
            user_id = self._local_ids[self._members[0].id]
            issued = self._answer(self._api.post("provision-certificate", json={"user_id": user_id}), 201)
            certificate = issued["certificate"]
            self._issuer_id, self._certificate_id = certificate["issuer_id"], certificate["id"]
            expect(issued["private_key_available"], "the private key made here is in the reply")
            leaf = self._write("client_auth.pem", certificate["pem"])
            chain = self._write("chain.pem", certificate["chain_pem"])
            key = self._write("client_auth.key.pem", issued["private_key"])
            self._story.say(f"serial {certificate['serial_number']}, valid until {certificate['not_after']}")
            verified = openssl("verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", str(chain), str(leaf))
            self._story.say(f"openssl verify: {verified.replace(str(leaf), leaf.name).strip()}")
            own = openssl("x509", "-in", str(leaf), "-noout", "-pubkey")
            expect(own == openssl("pkey", "-in", str(key), "-pubout"), "the private key is the certificate's")
            listed = self._answer(self._api.get(f"users/{user_id}"), 200)["user"]["certificates"]
            expect([each["id"] for each in listed] == [certificate["id"]], "the user's page shows the certificate")

    def provision_mail_certificate(self) -> None:
        with self._story.step("Issue one for mail as PKCS#12: POST /provision-certificate"):
            password = secrets.token_urlsafe(18)
            order = {
                "user_id": self._local_ids[self._members[1].id],
                "certificate_type": "email_protection",
                "format": "pkcs12",
                "pkcs12_password": password,
            }
            issued = self._answer(self._api.post("provision-certificate", json=order), 201)
            path = self._output / "email_protection.p12"
            path.write_bytes(base64.b64decode(issued["pkcs12"]))
            self._write("email_protection.password.txt", password + "\n")
            secret = ["-passin", f"pass:{password}"]
            leaf = self._write(
                "email_protection.pem", openssl("pkcs12", "-in", str(path), *secret, "-clcerts", "-nokeys")
            )
            key = openssl("pkcs12", "-in", str(path), *secret, "-nocerts", "-noenc")
            expect("PRIVATE KEY" in key, "the file holds the private key")
            chain = str(self._output / "chain.pem")
            openssl("verify", "-x509_strict", "-purpose", "smimesign", "-CAfile", chain, str(leaf))
            address = openssl("x509", "-in", str(leaf), "-noout", "-email").strip()
            expect(address == self._members[1].properties["mail"], f"it names the user's mail address: {address}")
            self._story.say(f"for {address}; openssl opens {path.name} and verifies what is in it")

    def renew_a_certificate(self) -> None:
        with self._story.step("Renew the first one: POST /certificates/{certificate}/renew"):
            old = f"certificates/{self._certificate_id}"
            renewed = self._answer(self._api.post(f"{old}/renew", json={}), 201)["certificate"]
            leaf = self._write("client_auth.renewed.pem", renewed["pem"])
            openssl("verify", "-x509_strict", "-CAfile", str(self._output / "chain.pem"), str(leaf))
            replaced = self._answer(self._api.get(old), 200)["certificate"]
            expect(replaced["renewed_by"] == renewed["id"], "the old certificate names its successor")
            expect(replaced["status"] == "active", "the old certificate holds until the overlap ends")
            self._answer(self._api.post(f"{old}/renew", json={}), 409)
            self._story.say(
                f"certificate {renewed['id']} in the place of {replaced['id']}; a second renewal gets a 409"
            )

    def follow_a_departure(self) -> None:
        person = self._members[0]
        with self._story.step("Disable the user in Entra and enable again: sync_tenant, publish_crls, CRL"):
            self._stack.entra.disable(person.id)
            verdict = self._crl_verdict()
            self._story.say(f"{person.user_principal_name} disabled: openssl says {verdict}")
            expect(verdict == "certificate revoked", "the CRL lists the certificate")
            self._stack.entra.enable(person.id)
            verdict = self._crl_verdict()
            self._story.say(f"enabled again: openssl says {verdict}")
            expect(verdict == "OK", "the certificate is good again")

    def _crl_verdict(self) -> str:
        """After a sync and a new CRL, what openssl thinks of the first certificate."""
        self._stack.fire_timer("sync_tenant")
        self._stack.fire_timer("publish_crls")
        crl = self._write("crl.pem", self._next_crl())
        leaf, chain = self._output / "client_auth.pem", self._output / "chain.pem"
        command = ["openssl", "verify", "-crl_check", "-CRLfile", str(crl), "-CAfile", str(chain), str(leaf)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return "OK"
        expect("certificate revoked" in done.stderr, f"openssl refuses it as revoked: {done.stderr}")
        return "certificate revoked"

    def _next_crl(self) -> str:
        """The CRL after the one seen last: the app hands one out from memory for 10 s."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            reply = requests.get(f"{self._stack.url}/api/v1/pki/{self._issuer_id}/crl.pem", timeout=30)
            expect(reply.status_code == 200, f"the CRL is public: {reply.text}")
            if reply.text != self._crl:
                self._crl = reply.text
                return reply.text
            time.sleep(0.2)
        raise StoryFailed("no new CRL was published")

    def validate_tokens(self) -> None:
        person, tenant = self._members[0], self._stack.entra
        with self._story.step("Validate an Entra token, refuse forged ones: POST /validate-token"):
            token = tenant.mint_token(user=person.id, roles=[ABILITY])
            payload = self._answer(self._api.post("validate-token", json={"token": token}), 200)["payload"]
            expect(payload["oid"] == person.id, "the payload names the user")
            self._story.say(f"valid: {payload['upn']}, roles {', '.join(payload['roles'])}")
            for what, forged in _forgeries(token).items():
                verdict = self._answer(self._api.post("validate-token", json={"token": forged}), 401)
                expect(verdict["valid"] is False, f"{what} is not valid")
                self._story.say(f"{what}: refused, {verdict['error']}")
            with_token = ApiClient(self._stack.url, token)
            self._answer(with_token.get("statistics"), 200)
            self._story.say("the same token opens this API, for its bearer holds the app role")

    def refuse_a_local_user(self) -> None:
        with self._story.step("Refuse a certificate for a user who is not from Entra: 409"):
            table = self._write("local-users.csv", "name,email\nPat Local,pat@local.example\n")
            self._stack.manage("users", "import", str(table))
            newest = self._statistics()["users"]["total"] + 1
            local = self._answer(self._api.get(f"users/{newest}"), 200)["user"]
            expect(local["name"] == "Pat Local" and local["entra_id"] is None, f"user {newest} is local: {local}")
            refused = self._answer(self._api.post("provision-certificate", json={"user_id": newest}), 409)
            expect(refused["code"] == "user_not_synchronized", f"the reply says why: {refused}")
            self._story.say(refused["message"])

    def verify_the_audit_log(self) -> None:
        with self._story.step("Sign the log and verify it: anchor_log, manage.py audit verify"):
            self._stack.fire_timer("anchor_log")
            self._story.say(" ".join(self._stack.manage("audit", "verify").split()))

    def _statistics(self) -> dict[str, Any]:
        return self._answer(self._api.get("statistics"), 200)

    def _write(self, name: str, content: str) -> Path:
        path = self._output / name
        path.touch(mode=0o600)
        path.write_text(content, encoding="utf-8")
        return path

    @staticmethod
    def _answer(reply: requests.Response, status: int) -> dict[str, Any]:
        """The reply's JSON. Raises StoryFailed when it has another status."""
        path = str(reply.request.path_url)
        expect(reply.status_code == status, f"{path} answered {reply.status_code}, not {status}: {reply.text}")
        answer: dict[str, Any] = reply.json()
        return answer


def openssl(*arguments: str) -> str:
    """What openssl prints, an independent judge of certificates. Raises StoryFailed when it is not content."""
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    expect(done.returncode == 0, f"openssl {arguments[0]} failed: {done.stderr or done.stdout}")
    return done.stdout.strip() + "\n"


def _is_member(person: SnapshotUser) -> bool:
    """An employee in good standing, with groups and a mail address."""
    is_employee = person.state == "active" and person.properties.get("userType") == "Member"
    return is_employee and bool(person.groups) and bool(person.properties.get("mail"))


def _forgeries(token: str) -> Mapping[str, str]:
    """The token, signed by somebody else under the same key id, and with one claim changed under the old signature."""
    header, payload = jwt.get_unverified_header(token), jwt.decode(token, options={"verify_signature": False})
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    admin = json.dumps(payload | {"upn": "admin@contoso.example"}).encode()
    first, _, last = token.split(".")
    changed = f"{first}.{base64.urlsafe_b64encode(admin).decode().rstrip('=')}.{last}"
    return {
        "the same claims signed with another key": jwt.encode(payload, stranger, "RS256", headers=header),
        "a changed claim under the old signature": changed,
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m local.demo", description=__doc__)
    parser.add_argument("--state", type=Path, default=STATE, help="where keys and logs go; emptied first")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="where what is issued goes; emptied first")
    parser.add_argument("--backend", choices=BACKENDS, default=SOFTWARE, help="where the CA's key is kept")
    arguments = parser.parse_args()
    exit_on_sigterm()
    console = Console()
    story = Storyteller(console)
    try:
        expect(shutil.which("openssl") is not None, "openssl is not installed; the demo lets it judge certificates.")
        with empty_folder(arguments.state) as state, ExitStack() as ends:
            shutil.rmtree(arguments.output, ignore_errors=True)
            arguments.output.mkdir(parents=True)
            stack = start(story, ends, state, arguments.backend)
            Demo(story, stack, arguments.output).tell()
    except (StoryFailed, StackFailed, ChildFailed, FileNotFoundError) as failure:
        console.print("This step failed:", style="bold red")
        console.out(failure, highlight=False)
        return 1
    story.end(f"What was issued is in {os.path.relpath(arguments.output)}/.")
    return 0


def start(story: Storyteller, ends: ExitStack, folder: Path, backend: str) -> Stack:
    """The first steps: emulators, tenant, authority, token, host. `ends` ends them all."""
    with story.step("Start the laptop's cloud: Azurite and an emulator of Entra ID"):
        cloud = ends.enter_context(running_cloud(folder, backend))
        fill(cloud.tenant)
        people = cloud.tenant.snapshot()
        story.say(f"{len(people.users)} people and {len(people.groups)} groups in tenant {cloud.tenant.id}")
    stack = Stack(cloud.azurite, cloud.entra, cloud.tenant, folder, cloud.settings)
    ends.callback(stack.stop)
    with story.step("Make the certificate authority: manage.py ca init"):
        stack.create_storage()
        stack.create_authority()
        story.say(f"its key is kept by the backend {backend}")
    with story.step("Make an API token: manage.py token create"):
        story.say(f"{stack.create_token().partition('|')[0]}|… with the ability {ABILITY}")
    with story.step("Start the Functions app"):
        stack.start_host()
        story.say(f"{len(stack.host.functions)} functions at {stack.url}")
    return stack


if __name__ == "__main__":
    sys.exit(main())
