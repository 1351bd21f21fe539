"""Characters without width: which scripts are written with them, and where they are rubbish."""

from __future__ import annotations

import re

_BRAHMIC_AND_ARABIC = (
    "\u0600-\u08ff\u0900-\u0dff\u0f00-\u109f\u1700-\u18af\u1900-\u1c7f\ua800-\uabff\ufb50-\ufdff\ufe70-\ufefc"
    "\U00010a00-\U00010fff\U00011000-\U00011fff\U0001e900-\U0001e95f"
)
"""Scripts from Arabic to Khmer and Mongolian, in which a joiner changes what is read."""
_EMOJI = "\u20e3\u2190-\u21ff\u2600-\u27bf\u2b00-\u2bff\ufe0f\U0001f000-\U0001faff\U000e0020-\U000e007f"
_WITHOUT_BLANKS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19ff\u1a20-\u1aaf\ua9e0-\ua9ff\uaa60-\uaa7f"
"""Thai, Lao, Myanmar, Khmer and the Tai scripts, which mark ends of words by a space without width."""

RUBBISH = re.compile("[\u2060-\u2064\ufeff]")
JOINERS = re.compile(f"(?<![{_BRAHMIC_AND_ARABIC}{_EMOJI}])[\u200c\u200d]+")
SPACES = re.compile("\u200b+")
NEEDS_SPACE = re.compile(f"[{_WITHOUT_BLANKS}]")
ANY = re.compile("[\u200b-\u200d\u2060-\u2064\ufeff]")


def without_rubbish(text: str) -> str:
    """The text without characters that have no width and no meaning where they stand.

    Joiners stay in scripts that need them (Persian, Hindi, Sinhala …) and in emoji, spaces without width between words
    of scripts that have no others (Khmer, Thai …); byte order marks and word joiners go.
    """
    if ANY.search(text) is None:
        return text
    return JOINERS.sub("", SPACES.sub(_space, RUBBISH.sub("", text)))


def _space(found: re.Match[str]) -> str:
    """One between two characters of a script without blanks, none elsewhere."""
    around = found.string[found.start() - 1 : found.start()], found.string[found.end() : found.end() + 1]
    return "\u200b" if all(map(NEEDS_SPACE.match, around)) else ""
