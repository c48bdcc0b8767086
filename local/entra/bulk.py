"""Fills a directory with many plain people and nested groups, in seconds and the same way for the same seed."""

import gc
import random
import uuid
from dataclasses import dataclass
from datetime import timedelta

from local.entra.directory import Directory, timestamp

GIVEN_NAMES = ("Ada", "Björn", "Chloé", "Dmitrij", "Eleni", "Fatima", "Gökçe", "Hana", "Ivo", "Jun", "Kofi", "Łucja")
SURNAMES = ("Ahlström", "Borges", "Çelik", "Dubois", "Eze", "Fischer", "García", "Horváth", "Ito", "Jansen", "Kovač")
DEPARTMENTS = ("Engineering", "Finance", "Operations", "Research", "Sales")


@dataclass(frozen=True)
class BulkLoad:
    """How many of what. A group whose number is a multiple of `nest_every` is also a member of its predecessor."""

    users: int
    groups: int = 0
    groups_per_user: int = 0
    nest_every: int = 10
    domain: str = "contoso.example"
    seed: int = 0


def load(directory: Directory, plan: BulkLoad) -> None:
    chance = random.Random(plan.seed)
    with directory.lock:
        users = [_add_user(directory, plan, number, chance) for number in range(plan.users)]
        groups = [_add_group(directory, number, chance) for number in range(plan.groups)]
        members: dict[str, list[str]] = {group: [] for group in groups}
        for user in users:
            for group in chance.sample(groups, min(plan.groups_per_user, len(groups))):
                members[group].append(user)
        for number in range(plan.nest_every, len(groups), plan.nest_every):
            members[groups[number - 1]].append(groups[number])
        for group, found in members.items():
            if found:
                directory.add_members(group, found)
    gc.freeze()  # a large directory lives as long as the emulator: collections need not walk through it


def _guid(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))


def _add_user(directory: Directory, plan: BulkLoad, number: int, chance: random.Random) -> str:
    given, surname = chance.choice(GIVEN_NAMES), chance.choice(SURNAMES)
    upn = f"user{number:07d}@{plan.domain}"
    properties = {
        "userPrincipalName": upn,
        "displayName": f"{given} {surname} {number}",
        "givenName": given,
        "surname": surname,
        "mail": upn,
        "proxyAddresses": [f"SMTP:{upn}"],
        "accountEnabled": True,
        "userType": "Member",
        "department": chance.choice(DEPARTMENTS),
        "createdDateTime": timestamp(directory.clock() - timedelta(days=chance.randrange(1, 2000))),
    }
    return directory.add("user", properties, _guid(chance)).id


def _add_group(directory: Directory, number: int, chance: random.Random) -> str:
    properties = {
        "displayName": f"Group {number:05d}",
        "mailNickname": f"group{number:05d}",
        "mailEnabled": False,
        "securityEnabled": True,
    }
    return directory.add("group", properties, _guid(chance)).id
