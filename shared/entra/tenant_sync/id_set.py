"""Sets of local user ids: an eighth of a byte for each id that exists, whatever the size of the set."""

from collections.abc import Iterable, Iterator


class IdSet:
    """Positive integers as a bit map. Local ids are dense, so a million users take 125 KB."""

    def __init__(self, bits: bytes = b"") -> None:
        self._bits = bytearray(bits)

    def add(self, number: int) -> None:
        at, bit = divmod(number, 8)
        if at >= len(self._bits):
            self._bits.extend(bytes(at + 1 - len(self._bits)))
        self._bits[at] |= 1 << bit

    def update(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self.add(number)

    def discard(self, number: int) -> None:
        at, bit = divmod(number, 8)
        if at < len(self._bits):
            self._bits[at] &= ~(1 << bit)

    def __contains__(self, number: int) -> bool:
        at, bit = divmod(number, 8)
        return at < len(self._bits) and bool(self._bits[at] >> bit & 1)

    def __len__(self) -> int:
        return int.from_bytes(self._bits, "little").bit_count()

    def __iter__(self) -> Iterator[int]:
        """In ascending order."""
        for at, byte in enumerate(self._bits):
            if byte:
                yield from (8 * at + bit for bit in range(8) if byte >> bit & 1)

    def to_bytes(self) -> bytes:
        return bytes(self._bits).rstrip(b"\0")
