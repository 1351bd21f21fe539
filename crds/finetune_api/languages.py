"""Facts about languages: what a code means, however it is written, and which scripts write no blanks between words.

Codes come as ISO 639-1 (`zh`), 639-2 in both of its forms (`zho`, `chi`), 639-3 (`cmn`), BCP 47 (`zh-Hans-CN`),
POSIX (`zh_CN.UTF-8`, `sr@latin`) and with a script (`zho_Hans`, as NLLB and FLORES name them). Two codes are compared
by `same_language` and `matching_codes`, never as texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple


class Language(NamedTuple):
    """What a code says."""

    language: str
    """Shortest ISO 639 code, lower case: `zh` for `zho`, `cmn` and `chi`; `yue` has no shorter one."""
    script: str
    """ISO 15924 code: as the code says, else the one that the language is mostly written in; "" if not known."""


UNSPACED_SCRIPTS = frozenset(
    {"Bopo", "Hani", "Hans", "Hant", "Hira", "Jpan", "Kana", "Khmr", "Laoo", "Mymr", "Thai", "Tibt"}
)
"""Scripts that put no blanks between words. Korean (`Kore`) does, Tibetan puts a dot between syllables."""

_TER_TAKES_APART = frozenset({"Hani", "Hans", "Hant", "Jpan"})
"""Those of them that sacrebleu's TER takes apart (`--ter-asian-support`): at every ideograph, not within kana."""

POSIX_SCRIPTS = {"latin": "Latn", "cyrillic": "Cyrl", "arabic": "Arab", "devanagari": "Deva"}
"""What POSIX locales call scripts, after `@`."""

_LONGER_CODES = """
aa:aar ab:abk ae:ave af:afr ak:aka,fat,twi am:amh an:arg ar:ara,arb as:asm av:ava ay:aym,ayr az:aze,azj ba:bak
be:bel bg:bul bi:bis bm:bam bn:ben bo:bod,tib br:bre bs:bos ca:cat ce:che ch:cha co:cos cr:cre cs:ces,cze cu:chu
cv:chv cy:cym,wel da:dan de:deu,ger dv:div dz:dzo ee:ewe el:ell,gre en:eng eo:epo es:spa et:est,ekk eu:eus,baq
fa:fas,per,pes,prs ff:ful,fuc fi:fin fj:fij fo:fao fr:fra,fre fy:fry ga:gle gd:gla gl:glg gn:grn,gug gu:guj gv:glv
ha:hau he:heb,iw hi:hin ho:hmo hr:hrv,scr ht:hat hu:hun hy:hye,arm hz:her ia:ina id:ind,in ie:ile ig:ibo ii:iii
ik:ipk io:ido is:isl,ice it:ita iu:iku ja:jpn jv:jav,jw ka:kat,geo kg:kon kg:kng ki:kik kj:kua kk:kaz kl:kal km:khm
kn:kan ko:kor kr:kau,knc ks:kas ku:kur,kmr kv:kom,kpv kw:cor ky:kir la:lat lb:ltz lg:lug li:lim ln:lin lo:lao lt:lit
lu:lub lv:lav,lvs mg:mlg,plt mh:mah mi:mri,mao mk:mkd,mac ml:mal mn:mon,khk mr:mar ms:msa,may,zsm,zlm mt:mlt
my:mya,bur na:nau nb:nob nd:nde ne:nep,npi ng:ndo nl:nld,dut nn:nno no:nor nr:nbl nv:nav ny:nya oc:oci oj:oji
om:orm,gaz or:ori,ory os:oss pa:pan pi:pli pl:pol ps:pus,pbt,pbu pt:por qu:que,quy,quz rm:roh rn:run ro:ron,rum,mol,mo
ru:rus rw:kin sa:san sc:srd sd:snd se:sme sg:sag si:sin sk:slk,slo sl:slv sm:smo sn:sna so:som sq:sqi,alb,als sr:srp,scc
ss:ssw st:sot su:sun sv:swe sw:swa,swh ta:tam te:tel tg:tgk th:tha ti:tir tk:tuk tl:tgl,fil tn:tsn to:ton tr:tur ts:tso
tt:tat ty:tah ug:uig uk:ukr ur:urd uz:uzb,uzn ve:ven vi:vie vo:vol wa:wln wo:wol xh:xho yi:yid,ydd,ji yo:yor za:zha
zh:zho,chi,cmn zu:zul
"""
"""Shortest code and its longer or older forms, with the one language that a macrolanguage mostly is."""

_SCRIPTS = """
Arab:ar,aeb,apc,arq,ars,ary,arz,bal,ckb,fa,glk,ks,lrc,mzn,ota,ps,sd,sdh,ug,ur Armn:hy Beng:as,bn,bpy,mni Cans:cr,iu,oj
Cher:chr Copt:cop Cyrl:ab,ady,alt,av,ba,be,bg,bua,ce,chm,crh,cu,cv,inh,kbd,kk,koi,krc,kum,kv,ky,lez,mdf,mk,mn,myv,nog,os
Cyrl:ru,rue,sah,sr,tg,tt,tyv,udm,uk,xal Deva:anp,awa,bgc,bho,brx,doi,gon,hi,hne,kok,mag,mai,mr,mwr,ne,new,raj,sa
Ethi:am,gez,ti,tig Geor:ka,xmf Grek:el,grc,pnt Gujr:gu Guru:pa Hans:zh,gan,hak,hsn,lzh,nan,wuu Hant:yue Hebr:he,lad,yi
Jpan:ja Khmr:km Knda:kn,tcy Kore:ko Laoo:lo Mlym:ml Mymr:my,shn,ksw,mnw Nkoo:nqo Olck:sat Orya:or Sinh:si,pi
Syrc:syr,syc Taml:ta Telu:te Tfng:zgh,tzm Thaa:dv Thai:th,nod,tts Tibt:bo,dz Yiii:ii
"""
"""Languages by the script that they are mostly written in; a language with a code of two letters not named here is
written in Latin letters."""

_TRADITIONAL_CHINESE_IN = frozenset({"TW", "HK", "MO"})

_REGION = re.compile(r"[A-Z]{2}|[0-9]{3}")
_VARIANT = re.compile(r"[a-z0-9]{5,8}|[0-9][a-z0-9]{3}")


def _table(text: str) -> dict[str, str]:
    """`a:b,c` as {b: a, c: a}."""
    rows = (row.split(":") for row in text.split())
    return {member: head for head, members in rows for member in members.split(",")}


_SHORTEST = _table(_LONGER_CODES)
_SCRIPT_OF = _table(_SCRIPTS)


class Subtags(NamedTuple):
    """Parts of a code, in canonical case; empty where there is none."""

    language: str
    script: str
    region: str
    variants: tuple[str, ...]


@lru_cache(maxsize=4096)
def subtags_of(code: str) -> Subtags:
    """The parts of a code in any spelling, the language by its shortest code."""
    plain, _, modifier = code.strip().partition("@")
    head, *subtags = re.split(r"[-_]", plain.partition(".")[0])
    language = _SHORTEST.get(head.lower(), head.lower())
    script = next((tag.title() for tag in subtags if len(tag) == 4 and tag.isalpha()), "")
    region = next((tag.upper() for tag in subtags if _REGION.fullmatch(tag.upper())), "")
    named = POSIX_SCRIPTS.get(modifier.lower(), "")
    others = subtags if named else [*subtags, modifier]
    variants = tuple(tag for tag in map(str.lower, others) if _VARIANT.fullmatch(tag))
    return Subtags(language, script or named, region, variants)


def normalise_language(code: str) -> Language:
    """What a code means: `cmn` -> ("zh", "Hans"), `zh-TW` -> ("zh", "Hant"), `eng_Latn` -> ("en", "Latn").

    Letter case, `_` for `-`, and a POSIX charset do not count; a code that nobody knows is returned in lower case
    without a script. Raises nothing: whether a code is one is not decided here.
    """
    parts = subtags_of(code)
    return Language(parts.language, parts.script or _usual_script(parts.language, parts.region))


def ter_has_words(code: str) -> bool:
    """Whether TER finds what to count in a language: words between blanks, or ideographs."""
    return writes_blanks(code) or normalise_language(code).script in _TER_TAKES_APART


def writes_blanks(code: str) -> bool:
    """Whether a language puts blanks between its words, as most do."""
    return normalise_language(code).script not in UNSPACED_SCRIPTS


@lru_cache(maxsize=4096)
def canonical_language(code: str) -> str:
    """One spelling of each meaning: `eng_Latn`, `ENG` and `en` are `en`, `zho_Hans_CN` is `zh-CN`, `pt_BR` is `pt-BR`.

    The shortest code; a script only where it is not the usual one (BCP 47 suppresses it likewise); region, variants.
    """
    parts = subtags_of(code)
    script = "" if parts.script == _usual_script(parts.language, parts.region) else parts.script
    return "-".join(filter(None, (parts.language, script, parts.region, *parts.variants)))


def same_language(code: str, other: str) -> bool:
    """Whether two codes can mean one language: as `eng_Latn` and `en`, or `pt` and `pt-BR`, where one says more.

    Two regions, or two variants, are two languages: `pt-BR` and `pt-PT`, `ca-valencia` and `ca-balear`.
    """
    return normalise_language(code) == normalise_language(other) and all(
        not mine or not its or mine == its
        for mine, its in zip(subtags_of(code)[2:], subtags_of(other)[2:], strict=True)  # regions, variants
    )


def matching_codes(code: str, among: Iterable[str]) -> list[str]:
    """Those of `among` that mean the language, the nearest first: as written, in other words, the same more or less."""
    order = {found: _distance(code, found) for found in among}
    return sorted((found for found, distance in order.items() if distance is not None), key=lambda c: order[c] or 0)


def _distance(code: str, other: str) -> int | None:
    if code == other:
        return 0
    if canonical_language(code) == canonical_language(other):
        return 1
    return 2 if same_language(code, other) else None


def _usual_script(language: str, region: str) -> str:
    if language == "zh" and region in _TRADITIONAL_CHINESE_IN:
        return "Hant"
    is_known = language in _SCRIPT_OF or len(language) == 2
    return _SCRIPT_OF.get(language, "Latn") if is_known else ""
