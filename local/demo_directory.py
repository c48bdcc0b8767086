"""The demo's directory: some 200 invented people of contoso.example in many scripts, and the groups they are in.

Most come from demo_people.tsv; what makes directories hard (guests, mononyms, very long names, missing mail, disabled
and deleted accounts, accounts from on premises) is spelled out here. Ids and everything else are the same in each run.
"""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.entra.directory_control import DirectoryObject, new_user
from local.entra.tenant_control import Tenant

DOMAIN = "contoso.example"
PEOPLE = Path(__file__).with_name("demo_people.tsv")
NAMESPACE = uuid.UUID("6f0a8a3e-3f0c-5d0e-9a53-1d1a7c0f2b11")
FAMILY_NAME_FIRST = {"zh": "", "ja": "", "ko": "", "hu": " ", "vi": " ", "km": " "}
"""Languages that write the family name first, with what stands between the names."""

TEAMS = {
    "Engineering": ("Platform", "Security", "Quality"),
    "Finance": ("Controlling", "Treasury"),
    "Operations": ("Facilities", "Logistics", "Support"),
    "Research": ("Materials", "Optics"),
    "Sales": ("EMEA", "Asia Pacific", "Americas"),
}
TITLES = ("Analyst", "Consultant", "Director", "Engineer", "Manager", "Specialist", "Team lead")
ADMINISTRATORS = ("harriet.vane-tempest", "lee.haneul", "wolfgang.esslinger")
TIER_ZERO = ("nino.beridze", "zhu.ge.breakglass")
DISABLED = ("benoit.d'aubigne", "darioush.off", "daryoush.off", "mahmoud.alqahtani", "matej.kun", "neema.mwakasege")
DELETED = ("leaver.one", "leaver.two")


@dataclass(frozen=True)
class DemoDirectory:
    """What `fill` made: users by UPN, groups by display name, and the group whose members nobody may impersonate."""

    users: Mapping[str, DirectoryObject]
    groups: Mapping[str, DirectoryObject]
    protected_group: DirectoryObject


def fill(tenant: Tenant) -> DemoDirectory:
    """Fills an empty tenant."""
    people = [*_everyday_people(), *_special_people()]
    ids: list[str | None] = [_id(person["userPrincipalName"]) for person in people]
    users = {user.user_principal_name: user for user in tenant.add_users(people, ids)}
    groups = _add_groups(tenant, list(users.values()))
    for alias in DELETED:
        tenant.delete(users[f"{alias}@{DOMAIN}"])
    return DemoDirectory(users, groups, groups["Certificate administrators"])


def _id(name: str) -> str:
    return str(uuid.uuid5(NAMESPACE, name))


def _everyday_people() -> Iterator[dict[str, Any]]:
    lines = PEOPLE.read_text(encoding="utf-8").splitlines()[1:]
    departments = list(TEAMS)
    for number, line in enumerate(lines):
        language, given, surname, alias = line.split("\t")
        display = f"{given} {surname}"
        if language in FAMILY_NAME_FIRST:
            display = surname + FAMILY_NAME_FIRST[language] + given
        person = _person(alias, display, givenName=given, surname=surname, preferredLanguage=language)
        person["department"] = departments[number % len(departments)]
        person["jobTitle"] = TITLES[number % len(TITLES)]
        person["employeeId"] = f"{10_000 + number}"
        if number % 3 == 0:
            person |= _from_on_premises(alias, number)
        if number % 7 == 0:
            person["proxyAddresses"].append(f"smtp:{alias.replace('.', '_')}@old.{DOMAIN}")
            person["otherMails"] = [f"{alias.partition('.')[0]}@home.example"]
        yield person


def _person(alias: str, display_name: str, **properties: Any) -> dict[str, Any]:
    address = f"{alias}@{DOMAIN}"
    person = new_user(address, displayName=display_name, mail=address, mailNickname=alias, companyName="Contoso")
    person["proxyAddresses"] = [f"SMTP:{address}"]
    person["accountEnabled"] = alias not in DISABLED
    person["createdDateTime"] = "2021-03-01T08:00:00Z"
    return person | properties


def _from_on_premises(alias: str, number: int) -> dict[str, Any]:
    return {
        "onPremisesSyncEnabled": True,
        "onPremisesSecurityIdentifier": f"S-1-5-21-1004336348-1177238915-682003330-{1100 + number}",
        "onPremisesImmutableId": uuid.uuid5(NAMESPACE, f"anchor of {alias}").hex[:22] + "==",
        "onPremisesSamAccountName": alias.replace(".", "")[:20],
        "onPremisesDomainName": f"corp.{DOMAIN}",
        "onPremisesUserPrincipalName": f"{alias}@corp.{DOMAIN}",
        "onPremisesDistinguishedName": f"CN={alias},OU=People,DC=corp,DC=contoso,DC=example",
    }


def _special_people() -> Iterator[dict[str, Any]]:
    yield from _guests()
    yield from _long_names()
    yield from _odd_names()
    yield from _odd_addresses()
    for number, alias in enumerate((*DELETED, "darioush.off", "daryoush.off")):
        yield _person(alias, f"Former Colleague {number + 1}", jobTitle="Left the company")


def _guests() -> Iterator[dict[str, Any]]:
    """Invited people: the UPN holds their home address, the mail is not ours to vouch for."""
    invited = (
        ("grace.partner", "fabrikam.example", "Grace Partner", "Accepted"),
        ("o'neil", "fabrikam.example", "Shaun O'Neil (Fabrikam)", "Accepted"),
        ("tomoko", "wingtip.example", "智子 / Tomoko", "Accepted"),
        ("consultant+contoso", "adatum.example", "Consultant (Adatum)", "Accepted"),
        ("pending", "litware.example", "Pending Invitation", "PendingAcceptance"),
        ("first_last", "under_score.example", "Under Score", "Accepted"),
        ("مستشار", "tailspin.example", "مستشار خارجي", "Accepted"),
        ("auditor", "nod.example", "External Auditor", "Accepted"),
    )
    for local, home, display, state in invited:
        alias = f"{local if local.isascii() else 'mustashar'}_{home}#EXT#"
        properties = {"userType": "Guest", "externalUserState": state, "companyName": home}
        person = _person(alias, display, **properties)
        yield person | {"mail": f"{local}@{home}", "proxyAddresses": [f"SMTP:{local}@{home}"]}


def _long_names() -> Iterator[dict[str, Any]]:
    """Beyond the 64 characters that X.509 allows a common name (RFC 5280, appendix A.1, ub-common-name)."""
    long = (
        ("maria.longname", "María de los Ángeles Guadalupe", "Fernández de Córdoba y Álvarez de Toledo-Vizcaíno"),
        (
            "hubert.longname",
            "Hubert Blaine Wolfeschlegelsteinhausen",
            "Bergerdorff-Zimmermannsfelden von und zu Altdorf",
        ),
        ("thai.longname", "กรุงเทพมหานคร", "อมรรัตนโกสินทร์มหินทรายุธยามหาดิลกภพนพรัตนราชธานีบูรีรมย์อุดมราชนิเวศน์"),
        ("greek.longname", "Κωνσταντίνος-Αλέξανδρος", "Παπαχριστοδουλόπουλος-Οικονομοπαπαδόπουλος"),
        ("x" * 64, "Ex", "Sixty-Four"),
        ("abcdefgh." * 7 + "z", "Very", "Long-Alias"),
    )
    for alias, given, surname in long:
        yield _person(alias, f"{given} {surname}", givenName=given, surname=surname)
    yield _person("two.hundred", "Æ" * 256, givenName="Æ" * 64, surname="Æ" * 64)


def _odd_names() -> Iterator[dict[str, Any]]:
    yield _person("wijayanti", "Wijayanti", givenName="Wijayanti")
    yield _person("tenzin", "བསྟན་འཛིན", givenName="བསྟན་འཛིན")
    yield _person("surname.only", "Van den Berghe-Ó Súilleabháin", surname="Van den Berghe-Ó Súilleabháin")
    yield _person("alice.hartley2", "Alice Hartley", givenName="Alice", surname="Hartley")
    yield _person("robin.fox", "Robin 🦊 Fox", givenName="Robin", surname="🦊 Fox")
    yield _person("family", "Sam 👩‍👩‍👧‍👦 Rivera", givenName="Sam", surname="Rivera")
    yield _person("combining", "Zoe\u0308 Ame\u0301lie", givenName="Zoe\u0308", surname="Ame\u0301lie")
    yield _person("bidi", "\u202bשלום\u202c Smith", givenName="\u202bשלום\u202c", surname="Smith")
    yield _person("comma", 'Lovelace, Ada "Countess" (IT) <ops>; #1=+', givenName="Ada", surname="Lovelace, Countess")
    yield _person("backslash", "Ann\\Marie O\\'Toole", givenName="Ann\\Marie", surname="O\\'Toole")
    yield _person("spaces", "Extra  Spaces", givenName="Extra ", surname=" Spaces")
    yield _person("kadabra", "Ⅷ. Ｆｕｌｌｗｉｄｔｈ ﬁ", givenName="Ｆｕｌｌｗｉｄｔｈ", surname="ﬁ")
    yield _person("zhu.ge.breakglass", "Break-glass account 1", jobTitle="Emergency access")


def _odd_addresses() -> Iterator[dict[str, Any]]:
    no_mail: dict[str, Any] = {"mail": None, "proxyAddresses": []}
    yield _person("no.mail", "Nora Nomail", givenName="Nora", surname="Nomail") | no_mail
    yield _person("svc-scanner", "Scanner, 3rd floor", jobTitle="Service account") | no_mail
    yield _person("kiosk", "Kiosk Reception", jobTitle="Shared account") | no_mail
    yield _person("proxy.only", "Petra Proxyonly", givenName="Petra", surname="Proxyonly") | {"mail": None}
    elsewhere = {"mail": f"press@{DOMAIN}", "proxyAddresses": [f"SMTP:press@{DOMAIN}", f"smtp:pr@{DOMAIN}"]}
    yield _person("mail.elsewhere", "Mia Elsewhere", givenName="Mia", surname="Elsewhere") | elsewhere
    unicode_mail = {"mail": f"jörg.grün@{DOMAIN}", "proxyAddresses": [f"SMTP:jörg.grün@{DOMAIN}"]}
    yield _person("joerg.gruen", "Jörg Grün", givenName="Jörg", surname="Grün") | unicode_mail
    many = [f"SMTP:many.aliases@{DOMAIN}", *(f"smtp:alias{n}@{DOMAIN}" for n in range(12)), "X500:/o=Contoso/cn=many"]
    yield _person("many.aliases", "Manny Aliases", givenName="Manny", surname="Aliases") | {"proxyAddresses": many}
    for alias, name in (("bang!", "Bang Exclamation"), ("caret^hat", "Caret Hat"), ("tilde~wave", "Tilde Wave")):
        yield _person(alias, name)
    yield _person("UPPER.Case", "Upper Case", givenName="Upper", surname="Case")


def _add_groups(tenant: Tenant, users: list[DirectoryObject]) -> dict[str, DirectoryObject]:
    groups: dict[str, DirectoryObject] = {}

    def group(name: str, *members: DirectoryObject, **properties: Any) -> DirectoryObject:
        groups[name] = tenant.add_group(name, id=_id(f"group {name}"), **properties)
        if members:
            tenant.add_member(groups[name], *members)
        return groups[name]

    departments = [_add_department(group, department, users) for department in TEAMS]
    guests = [user for user in users if user.properties["userType"] == "Guest"]
    by_alias = {user.user_principal_name.partition("@")[0]: user for user in users}
    everybody = group("All staff", *departments)
    group("VPN users", groups["Engineering"], groups["Sales"], *guests[:2])
    group("Guests of Contoso", *guests)
    group("Nobody yet")
    unified = {"groupTypes": ["Unified"], "mailEnabled": True, "mail": f"chess@{DOMAIN}", "securityEnabled": False}
    group("Chess club ♟", *users[::11], **unified)
    group("Projekt Übermut", *users[2:40:5])
    group("プロジェクト桜", *users[3:150:13], groups["Projekt Übermut"])
    group("مشروع النخيل", *users[1:150:17])
    tier_zero = group("Tier 0 operators", *(by_alias[alias] for alias in TIER_ZERO))
    administrators = [by_alias[alias] for alias in ADMINISTRATORS]
    group("Certificate administrators", *administrators, tier_zero, isAssignableToRole=True)
    tenant.add_member(tenant.add_directory_role("Global Administrator"), *administrators)
    tenant.add_member(tenant.add_administrative_unit("Northern offices"), *users[:30], everybody)
    return groups


def _add_department(group: Any, department: str, users: list[DirectoryObject]) -> DirectoryObject:
    """A department's group holds its teams' groups, and these the people."""
    people = [user for user in users if user.properties.get("department") == department]
    teams = TEAMS[department]
    nested = [group(f"{department} – {team}", *people[n :: len(teams)]) for n, team in enumerate(teams)]
    made: DirectoryObject = group(department, *nested)
    return made
