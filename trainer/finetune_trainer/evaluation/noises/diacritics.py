"""No diacritics, as from a keyboard that lacks them."""

from __future__ import annotations

import re
import unicodedata
from random import Random

_MARKS = re.compile("[\u0300-\u036f]")


def without_diacritics(text: str, _: Random) -> str:
    """See Noise: accents and the like go (`año` becomes `ano`); vowel signs of Indic scripts, Arabic and Thai stay."""
    return unicodedata.normalize("NFC", _MARKS.sub("", unicodedata.normalize("NFD", text)))
