"""Hashes that decide splits and orders: the same on every rank, in every run and on every machine."""

from __future__ import annotations

import hashlib
import re
import unicodedata

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2^64 / golden ratio, odd: the increment of SplitMix64."""
_MASK = 2**64
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef]"
)
"""Soft hyphens, directions of writing, what has no width, variants of glyphs."""


def mix(values: Hashes) -> Hashes:
    """The finaliser of SplitMix64 (Steele et al. 2014): every bit of the input reaches every bit of the output."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def uniform(hashes: Hashes, seed: int) -> NDArray[np.float64]:
    """A number in [0, 1) by hash and seed."""
    value = mix(hashes + np.uint64(seed * int(GOLDEN) % _MASK))
    return (value >> np.uint64(11)).astype(np.float64) / 2.0**53


def shuffled(hashes: Hashes, seed: int) -> NDArray[np.int64]:
    """All positions in a random order: a function of hashes and seed, wherever a hash stands."""
    with np.errstate(over="ignore"):
        # Half of `mix`: an order once chosen stays, or runs of one seed could not be compared.
        mixed = np.asarray(hashes, np.uint64) ^ np.uint64(seed * int(GOLDEN) % _MASK)
        mixed = (mixed ^ (mixed >> np.uint64(31))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(29)
    order: NDArray[np.int64] = np.argsort(mixed, kind="stable")
    return order


def folded(text: str) -> str:
    """What two texts that read the same have in common: neither letter case counts nor marks that cannot be seen."""
    if text.isascii():
        return text.casefold()
    visible = unicodedata.normalize("NFC", _INVISIBLE.sub("", text))
    return unicodedata.normalize("NFC", visible.casefold())


def text_hash(text: str) -> int:
    """64-bit hash of a text, folded."""
    return int.from_bytes(hashlib.blake2b(folded(text).encode(), digest_size=8).digest())


def keyed_uniform(key: str) -> float:
    """A number in [0, 1): a function of `key` alone."""
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") / 2**64
