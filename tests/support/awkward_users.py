"""Users whose names and addresses are hard on certificates, each under the name of what is hard about it."""

from collections.abc import Mapping
from typing import Any

AWKWARD: Mapping[str, Mapping[str, Any]] = {
    "ordinary": {"name": "Ada Lovelace", "given_name": "Ada", "surname": "Lovelace"},
    "no mail": {"name": "Nomad", "mail": None, "email": None},
    "name of more than 64 characters": {
        "name": "Wolfeschlegelsteinhausenbergerdorff " * 3,
        "given_name": "Hubert Blaine Wolfeschlegelsteinhausenbergerdorff Adolph Berthold Charles David",
        "surname": "Wolfeschlegelsteinhausenbergerdorff-Wolfeschlegelsteinhausenbergerdorff-Zeus",
    },
    "name of 40 characters and 120 octets": {
        "name": "諸葛孔明" * 10,
        "given_name": "孔明" * 12,
        "surname": "諸葛" * 12,
    },
    "combining marks at the cut": {
        "name": "x" * 62 + "q\u0323\u0307" * 3,
        "given_name": "Q\u0323",
        "surname": "\u1e69",
    },
    "mail with a non-ASCII local part": {
        "name": "Jörg Müller",
        "given_name": "Jörg",
        "surname": "Müller",
        "mail": "jörg.müller@contoso.com",
    },
    "mail of an internationalized domain": {
        "name": "Åsa Öberg",
        "mail": "asa@bücher.de",
    },
    "mail of 120 characters and no surname": {
        "name": "Prince",
        "mail": "a" * 60 + "@" + "b" * 55 + ".com",
    },
    "very long UPN": {
        "name": "L. Ong",
        "user_principal_name": "l" * 64 + "@" + "very-long-subdomain." * 5 + "contoso.onmicrosoft.com",
    },
    "guest": {
        "name": "Gast",
        "user_principal_name": "grace_fabrikam.example#EXT#@contoso.onmicrosoft.com",
        "user_type": "Guest",
    },
    "no surname": {"name": "Teller", "given_name": "Teller"},
    "right to left": {"name": "محمد بن سلمان", "given_name": "محمد", "surname": "بن سلمان"},
    "direction override": {"name": "Ada \u202emoc.live\u202c", "given_name": "Ada\u2067", "surname": "\u202eL"},
    "emoji": {"name": "👩‍👩‍👧‍👦 Family 👍🏽 " * 4, "given_name": "👩🏽‍🚀", "surname": "🚀"},
    "special characters of names": {
        "name": 'O\'Brien, "Bob" + Söhne <cn=admin>; #1\\=x',
        "given_name": "Bob+",
        "surname": "#O'Brien,\\",
    },
    "control characters": {"name": "Ada\x07\r\nLovelace\x7f", "given_name": "A\tda", "surname": "L\x85o"},
    "nothing but white space": {"name": " \t ", "given_name": " ", "surname": "\u200a"},
    "on-premises SID": {
        "name": "On Prem",
        "on_premises_security_identifier": "S-1-5-21-3623811015-3361044348-30300820-1013",
    },
}
