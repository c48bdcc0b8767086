"""How the values of records are stored in the replica, and read back: moments as integers, GUIDs and hex as bytes."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def pack_time(moment: datetime) -> int:
    """Microseconds since 1970, UTC."""
    return (moment - EPOCH) // _MICROSECOND


def unpack_time(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)


def unpack_time_or_none(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else unpack_time(microseconds)


def pack_text_time(text: Any) -> int | None:
    """From the text of a row (`records.base.format_time`); None stays None. Raises ValueError."""
    return None if text is None else pack_time(datetime.fromisoformat(text))


def pack_guid(guid: str) -> bytes:
    return UUID(guid).bytes


def unpack_guid(packed: bytes) -> str:
    return str(UUID(bytes=packed))


def pack_hex(text: Any) -> bytes | None:
    return None if text is None else bytes.fromhex(text)
