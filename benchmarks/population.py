"""A tenant of any size with plausible people: many scripts, accents, lengths, guests, leavers, several domains.

The same seed and number give the same people, so that two stores can be filled with the same data.
"""

import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from shared.context import ActorKind
from shared.directory.records.certificate import (
    Certificate,
    CertificateStatus,
    CertificateType,
    KeyOrigin,
    RevocationReason,
)
from shared.directory.records.user import User
from shared.directory.replica.text_folding import fold

NOW = datetime.now(UTC).replace(microsecond=0)
SEED = 20250601

_LATIN_GIVEN = (
    "Maria James Wei Anna John Olivia Liam Emma Noah Sophie Lukas Hannah Mateo Camila José Lucía Zoë François Chloé "
    "Björn Åsa Søren Łukasz Małgorzata Jürgen Käthe Øyvind Ingrid Tomáš Věra Žofia Ágnes István Nguyễn Thị Hoàng "
    "Đức Ayşe İbrahim Şule Fatima Mohammed Ahmed Aisha Priya Rahul Ananya Arjun Siddharth Kwame Ama Chinedu Ngozi "
    "Thabo Lerato Sean Siobhán Eilidh Rhys Gwendolyn Giovanni Francesca Leonardo Beatrice João Inês Thiago Gabriela "
    "Alexandra Maximilian Christopher Bartholomew Jo Bo Li Ng Mary-Jane Jean-Baptiste Ana-Maria Karl-Heinz Juan Pedro "
    "Guillaume Aurélie Noémie Benoît Henrik Frida Mikael Päivi Jukka Aino Jānis Ilze Mindaugas Rūta Kristjan Dušan "
    "Zdravko Branimir Nikola Ștefan Mihai Andreea Ioana Petros Eleni Yiannis Hiroshi Yuki Sakura Takeshi Min-jun "
    "Seo-yeon Xiuying Jing Fang Lei Bao Linh Minh Budi Siti Putu Wayan Isabella Charlotte Amelia Benjamin Theodore"
)
_LATIN_FAMILY = (
    "García Müller Smith Jones Wang Li Zhang Liu Chen Yang Nguyễn Trần Lê Phạm Kowalski Nowak Wiśniewski Wójcik "
    "Novák Svobodová Horváth Kovács Szabó Tóth Nagy Hansen Johansen Olsen Larsen Ødegård Nilsson Johansson Lindström "
    "Sjöberg Virtanen Korhonen Mäkinen Schröder Schäfer Weiß Fischer Hoffmann Zimmermann Wagner Becker Dubois Lefèvre "
    "Moreau Girard Rossi Russo Ferrari Esposito Bianchi Silva Santos Oliveira Pereira Gonçalves Araújo Fernández "
    "Rodríguez Martínez López Hernández Muñoz Ibáñez O'Brien O'Sullivan MacDonald McCarthy FitzGerald van-der-Berg "
    "de-Vries Jansen Bakker Peeters Popescu Ionescu Petrović Jovanović Đorđević Šimić Yılmaz Kaya Demir Çelik Şahin "
    "Öztürk Khan Ahmed Hussain Patel Sharma Gupta Singh Kumar Iyer Chatterjee Okafor Adeyemi Mensah Dlamini Nkosi "
    "Tanaka Suzuki Takahashi Watanabe Kim Park Choi Jung Santoso Wijaya Hidayat Kazlauskas Bērziņš Kalniņš Tamm "
    "Papadopoulos Dimitriou Anderson Thompson Robinson Clarke Wright Mitchell Campbell Featherstonehaugh Ng Wu Xu Ó-Sé"
)
_SYLLABLES = "ka ro li ma ne so ti va du be ran der mann sen ski ov itz ell har wick ton ber gar mo pet lund quist"
_OTHER_SCRIPTS = (
    (
        "Анна:anna Иван:ivan Мария:maria Дмитрий:dmitri Ольга:olga Сергей:sergei Екатерина:ekaterina",
        "Иванов:ivanov Смирнова:smirnova Кузнецов:kuznetsov Попова:popova Шевченко:shevchenko",
    ),
    ("Ελένη:eleni Γιώργος:giorgos Νίκος:nikos", "Παπαδόπουλος:papadopoulos Νικολάου:nikolaou"),
    (
        "伟:wei 芳:fang 秀英:xiuying 娜:na 敏:min 静:jing 强:qiang 磊:lei",
        "王:wang 李:li 张:zhang 刘:liu 陈:chen 杨:yang 黄:huang",
    ),
    ("太郎:taro 花子:hanako 健一:kenichi 美咲:misaki 翔太:shota", "佐藤:sato 鈴木:suzuki 高橋:takahashi 田中:tanaka"),
    ("민준:minjun 서연:seoyeon 지훈:jihun 하은:haeun", "김:kim 이:lee 박:park 최:choi"),
    ("محمد:mohammad فاطمة:fatima علي:ali زينب:zainab", "الأحمد:alahmad العلي:alali حسن:hassan"),
    ("אברהם:avraham שרה:sara דוד:david", "כהן:cohen לוי:levi מזרחי:mizrahi"),
    ("प्रिया:priya राहुल:rahul अनन्या:ananya", "शर्मा:sharma गुप्ता:gupta सिंह:singh"),
)
_GIVEN, _FAMILY, _PARTS = (words.split() for words in (_LATIN_GIVEN, _LATIN_FAMILY, _SYLLABLES))
_DOMAINS = ("contoso.example", "contoso.example", "contoso.example", "fabrikam.example", "eu.contoso.example")


def users(count: int, first_id: int = 1, seed: int = SEED) -> Iterator[User]:
    """Users with ids from `first_id` on: 6 % inactive, 3 % guests, 1 % deleted, synced over the last 60 days.

    The same id gives the same user.
    """
    for user_id in range(first_id, first_id + count):
        yield _user(user_id, random.Random(seed * 1_000_003 + user_id))


def certificates(count: int, users_count: int, seed: int = SEED) -> Iterator[Certificate]:
    """`count` certificates of random users: most are active, some expired, revoked, held or pending."""
    chance = random.Random(seed + 1)
    for certificate_id in range(1, count + 1):
        yield _certificate(certificate_id, chance.randint(1, users_count), chance)


def _user(user_id: int, chance: random.Random) -> User:
    name, local_part = _name(chance)
    local_part = f"{local_part}{user_id % 9973 if chance.random() < 0.7 else ''}"
    upn = f"{local_part}@{chance.choice(_DOMAINS)}"
    guest = chance.random() < 0.03
    if guest:
        upn = f"{local_part}_partner{user_id % 40}.example#EXT#@contoso.example"
    mail = chance.random()
    deleted = chance.random() < 0.01
    created = NOW - timedelta(days=chance.randint(61, 3000), seconds=chance.randint(0, 86399))
    synced = NOW - timedelta(seconds=chance.randint(0, 60 * 86400), microseconds=chance.randint(0, 999_999))
    return User(
        id=user_id,
        object_id=str(uuid.UUID(int=chance.getrandbits(128), version=4)),
        user_principal_name=upn,
        name=name,
        email=upn if mail < 0.75 and not guest else None if mail < 0.78 else f"{local_part}@mail.contoso.example",
        is_active=not deleted and chance.random() < 0.95,
        user_type="Guest" if guest else "Member",
        synced_at=synced,
        deleted_at=synced if deleted else None,
        created_at=created,
        updated_at=synced,
    )


def _name(chance: random.Random) -> tuple[str, str]:
    """A display name, and the local part of the address that goes with it."""
    if chance.random() < 0.15:
        given, family = (chance.choice(names.split()).split(":") for names in chance.choice(_OTHER_SCRIPTS))
        return f"{given[0]} {family[0]}", f"{given[1]}.{family[1]}"
    given_name = chance.choice(_GIVEN)
    if chance.random() < 0.5:
        family_name = chance.choice(_FAMILY)
    else:
        family_name = "".join(chance.choices(_PARTS, k=chance.randint(2, 4))).capitalize()
    middle = f" {chance.choice(_GIVEN)[0]}." if chance.random() < 0.1 else ""
    plain = "".join(letter for letter in fold(f"{given_name}.{family_name}") if letter.isascii() and letter not in "' ")
    return f"{given_name}{middle} {family_name}", plain


def _certificate(certificate_id: int, user_id: int, chance: random.Random) -> Certificate:
    not_before = NOW - timedelta(days=chance.randint(0, 500), seconds=chance.randint(0, 86399))
    status = chance.choices(list(CertificateStatus), (1, 93, 2, 4))[0]
    gone = status in (CertificateStatus.REVOKED, CertificateStatus.HELD)
    return Certificate(
        id=certificate_id,
        user_id=user_id,
        certificate_type=chance.choices(list(CertificateType), (8, 3, 1))[0],
        status=status,
        issuer_id="0123456789abcdef",
        issuer="CN=Contoso Users CA,O=Contoso",
        serial_number=f"{chance.getrandbits(159):040x}",
        subject=f"2.5.4.5={uuid.UUID(int=chance.getrandbits(128), version=4)},CN=User {user_id}",
        not_before=not_before,
        not_after=not_before + timedelta(days=365),
        key_type="rsa",
        key_size=2048,
        key_origin=KeyOrigin.CSR,
        public_key_sha256=f"{certificate_id:064x}",
        user_principal_name=f"user{user_id}@contoso.example",
        requester_kind=ActorKind.APP,
        requester_id="benchmark",
        tbs_sha256=f"{certificate_id:064x}",
        sign_before=not_before,
        fingerprint=f"{chance.getrandbits(256):064x}" if status is not CertificateStatus.PENDING else None,
        issued_at=not_before if status is not CertificateStatus.PENDING else None,
        revoked_at=NOW - timedelta(days=chance.randint(0, 90)) if gone else None,
        revocation_reason=RevocationReason.SUPERSEDED if gone else None,
        created_at=not_before,
        updated_at=not_before,
    )
