"""Row 30: PKCS #1 v1.5 as Bleichenbacher (2006), BERserk (2014) and others bent it, made with the true private key."""

import hashlib
from collections.abc import Callable, Iterator, Mapping

from tests.attack.forger import SHA256_INFO, World, padded
from tests.attack.forgeries.case import SIGNATURE, VALID, Forgery, case, each


def _identified(der: str) -> Callable[[bytes], bytes]:
    """The digest behind another identifier, rightly padded."""
    return lambda digest: padded(bytes.fromhex(der) + digest)


BLOCKS: Mapping[str, Callable[[bytes], bytes]] = {
    "block-type-2": lambda d: padded(SHA256_INFO + d, head=b"\x00\x02"),
    "block-type-0": lambda d: padded(SHA256_INFO + d, head=b"\x00\x00", fill=b"\x00", end=b"\x00"),
    "first-byte-1": lambda d: padded(SHA256_INFO + d, head=b"\x01\x01"),
    "padding-fe": lambda d: padded(SHA256_INFO + d, fill=b"\xfe"),
    "padding-zeros": lambda d: padded(SHA256_INFO + d, fill=b"\x00"),
    "separator-missing": lambda d: padded(SHA256_INFO + d, end=b""),
    "separator-1": lambda d: padded(SHA256_INFO + d, end=b"\x01"),
    "short-padding-trailing-zeros": lambda d: (b"\0\x01" + b"\xff" * 8 + b"\0" + SHA256_INFO + d).ljust(256, b"\0"),
    "no-padding-trailing-ones": lambda d: (b"\0\x01\0" + SHA256_INFO + d).ljust(256, b"\xff"),
    "trailing-byte": lambda d: padded(SHA256_INFO + d + b"\x00"),
    "null-missing": _identified("302f300b06096086480165030402010420"),
    "null-with-content": _identified("3032300e06096086480165030402010501000420"),
    "other-parameters": _identified("3031300d060960864801650304020104000420"),
    "garbage-in-parameters": _identified("3081953073060960864801650304020105" + "66" + "aa" * 0x66 + "0420"),
    "ber-long-length": _identified("308131300d060960864801650304020105000420"),
    "ber-longer-length": _identified("30820031300d060960864801650304020105000420"),
    "ber-long-inner-length": _identified("303230810d060960864801650304020105000420"),
    "ber-long-digest-length": _identified("3032300d06096086480165030402010500048120"),
    "ber-indefinite-length": lambda d: padded(bytes.fromhex("3080300d060960864801650304020105000420") + d + b"\0\0"),
    "sha1-identifier": lambda d: padded(bytes.fromhex("3021300906052b0e03021a05000414") + d[:20]),
    "sha1-identifier-long-digest": _identified("302d300906052b0e03021a05000420"),
    "sha384-identifier": _identified("3031300d060960864801650304020205000420"),
    "sha512-256-identifier": _identified("3031300d060960864801650304020605000420"),
    "sha3-256-identifier": _identified("3031300d060960864801650304020805000420"),
    "md5-identifier": lambda d: padded(bytes.fromhex("3020300c06082a864886f70d020505000410") + d[:16]),
    "digest-alone": padded,
    "digest-reversed": lambda d: padded(SHA256_INFO + d[::-1]),
    "digest-of-digest": lambda d: padded(SHA256_INFO + hashlib.sha256(d).digest()),
    "digest-cut": lambda d: padded(SHA256_INFO + d[:31]),
}


def _modulus(world: World) -> int:
    return world.key.public_key().public_numbers().n


CHANGES: Mapping[str, Callable[[bytes, int], bytes]] = {
    "zero": lambda s, n: bytes(256),
    "one": lambda s, n: (1).to_bytes(256, "big"),
    "modulus": lambda s, n: n.to_bytes(256, "big"),
    "modulus-less-one": lambda s, n: (n - 1).to_bytes(256, "big"),
    "all-ones": lambda s, n: b"\xff" * 256,
    "plus-modulus": lambda s, n: (int.from_bytes(s, "big") + n).to_bytes(257, "big"),
    "modulus-minus-signature": lambda s, n: (n - int.from_bytes(s, "big")).to_bytes(256, "big"),
    "255-bytes": lambda s, n: s[1:],
    "255-bytes-from-the-end": lambda s, n: s[:-1],
    "257-bytes-leading-zero": lambda s, n: b"\0" + s,
    "257-bytes-trailing-zero": lambda s, n: s + b"\0",
    "512-bytes": lambda s, n: s + s,
    "one-byte": lambda s, n: b"\0",
    "reversed": lambda s, n: s[::-1],
    "first-bit-flipped": lambda s, n: bytes([s[0] ^ 128]) + s[1:],
    "last-bit-flipped": lambda s, n: s[:-1] + bytes([s[-1] ^ 1]),
}


def forgeries() -> Iterator[Forgery]:
    yield from each(30, SIGNATURE, BLOCKS, lambda w, block: w.with_block(block))
    yield from each(
        30,
        SIGNATURE,
        CHANGES,
        lambda w, change: w.with_signature(lambda s: change(s, _modulus(w))),
        prefix="signature-",
    )
    yield case(30, "the-right-block", VALID, lambda w: w.with_block(lambda d: padded(SHA256_INFO + d)))
