"""What keeps a runner that has lost its lease from writing."""

from dataclasses import dataclass
from typing import ClassVar

from shared.directory.records.base import Record

FENCES = "fence|"


@dataclass(frozen=True, kw_only=True)
class Fence(Record):
    """The highest lease number under which something was written: `fence|<name>`.

    It stands in the ledger, where a commit can look at it and write in one transaction; the lease itself does not.
    """

    KIND: ClassVar[str] = "fence"

    name: str
    number: int

    @property
    def key(self) -> str:
        return fence_key(self.name)


def fence_key(name: str) -> str:
    return f"{FENCES}{name}"
