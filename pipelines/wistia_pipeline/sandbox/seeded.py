"""Makes bytes, ids and keys that depend on the seed, a name and a number only."""

from hashlib import blake2b

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_SPAN = 1 << 48
_FACTOR = 0x5DEECE66D
_INVERSE = pow(_FACTOR, -1, _SPAN)


def draw(seed: int, what: str, number: int) -> bytes:
    """64 bytes that look random."""
    return blake2b(f"{seed}:{what}:{number}".encode()).digest()


def hashed_id(seed: int, what: str, number: int) -> str:
    """Ten lower-case letters and digits, as Wistia's hashed ids are."""
    return "".join(ALPHABET[byte % 36] for byte in draw(seed, f"{what} id", number)[:10])


def key(salt: bytes, number: int, at: int) -> str:
    """A key of an event or a visitor; `number_in` gets the number back, so no table of keys is needed."""
    text = salt[:23].hex()
    hidden = (number * _FACTOR + 0xB) % _SPAN
    # the prefix looks like a time but is not always one
    prefix = str(at // 1000) if salt[30] > 2 else "v" + text[40:45]
    uuid = f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:32]}"
    return f"{prefix}_{uuid}-{text[32:41]}-{hidden:012x}-{text[42:46]}"


def number_in(text: str) -> int | None:
    """The number that `key` hid in a key, None if it is none; the caller checks whether the rest fits."""
    parts = text.split("-")
    if len(parts) != 8:
        return None
    try:
        return (int(parts[6], 16) - 0xB) * _INVERSE % _SPAN
    except ValueError:
        return None
