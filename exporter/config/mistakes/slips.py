"""Slips that people make in a configuration, recognised by how they look: what was meant, and what may be repeated.

Nothing here knows a setting. A value may be a secret in the wrong place: only what `may_be_secret` clears is repeated
in the text of a fault.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

QUOTES = "\"'`“”„‟‘’‚‛«»「」＂＇"  # what word processors make of quotation marks
_CURLY = frozenset(QUOTES) - set("\"'`")
_FULLWIDTH = {"：": ":", "，": ",", "、": ",", "［": "[", "］": "]", "｛": "{", "｝": "}", "＃": "#", "－": "-"}
_UNSEEN = re.compile(r"[\u00a0\u00ad\u1680\u2000-\u200f\u2028-\u202f\u205f\u2060-\u2064\u3000\ufeff]")

_SCHEME = re.compile(
    r"(authorization|x-[a-z-]*token|x-api-key)\s*:|(bearer|basic|token|apikey|key)[\s:]", re.IGNORECASE
)
_ASSIGNED = re.compile(r"(export\s+)?[A-Z][A-Z0-9_]{0,40}(KEY|TOKEN|SECRET|PASSWORD)[A-Z0-9_]{0,40}\s*=")
_TEMPLATE = re.compile(
    r"\{\{.*\}\}|%[A-Za-z_][A-Za-z0-9_]*%|\$\{.*|\$\(.*\)|\$env:\w+|env:\w+|<%.*%>"
    r"|(os\.environ|process\.env)\W.*",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(
    r"<.*>"
    r"|(your|insert|replace|enter|paste|put|fill)([-_ ].*)?[-_ ](key|token|secret|password|here|this|me|in|id)"
    r"([-_ ].*)?"
    r"|(sk-)?your[-_ ]?.{0,20}(key|token|secret)([-_ ]?here)?"
    r"|(change|replace)[-_ ]?(me|it|this)"
    r"|(sk-|ak-)?(x{3,}|\*{3,}|\.{3,}|…+|•+)|.{0,12}x{8,}"
    r"|todo|tbd|fixme",
    re.IGNORECASE,
)

_PLAIN = re.compile(r"\$\{?[A-Z_][A-Z0-9_]{0,40}\}?|-?\d{1,8}(?:[.,:/-]\d{1,8}){0,3}\s?[^\W\d]{0,12}(?:/[^\W\d]{1,8})?")
_OF_A_CALL = re.compile(r"(.*?)(/v[0-9]+/(?:chat/completions|completions|models|videos|images|audio)(?:/.*)?)")
_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")

_DURATION_UNITS = {
    "ms": ("msec", "msecs", "millis", "millisecond", "milliseconds", "毫秒"),
    "s": ("sec", "secs", "second", "seconds", "秒"),
    "m": ("min", "mins", "minute", "minutes", "分钟", "分"),
    "h": ("hr", "hrs", "hour", "hours", "小时"),
    "d": ("day", "days", "天"),
}
_UNIT_OF = {word: unit for unit, words in _DURATION_UNITS.items() for word in (unit, *words)}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([^\W\d_]*)[\s,]*")
_RATE = re.compile(
    r"([0-9]+(?:\.[0-9]+)?)\s*(?:r|req|reqs|requests?|calls?)?\s*(?:/|per\b|p(?=[sm]\b))?\s*1?\s*([^\W\d_]*)"
)


def may_be_secret(text: str) -> bool:
    """Whether a text could be a credential. Short words, numbers with a unit and variables are none."""
    if _PLAIN.fullmatch(text):
        return False
    return len(text) > 48 or not text.isprintable() or "://" in text or any(map(_is_random, text.split()))


def _is_random(word: str) -> bool:
    """Whether a word is long or mixed enough for a credential; words joined as in `poll_interval` are not."""
    if re.search(r"[$&+=]", word):
        return True
    if len(word) >= 6 and re.search(r"\d", word):
        return not re.fullmatch(r"[a-z]{2,}2[a-z]{2,}", word)  # as in text2video
    parts = _PARTS.findall(word)
    return len(word) >= 16 and (not parts or max(map(len, parts)) > 12 or len(word) / len(parts) < 4)


def repeated(text: str) -> str:
    """The text in backticks where it may be shown, else nothing."""
    return "" if may_be_secret(text) or not text.strip() or "`" in text else f"`{text}`"


def shown_path(path: str) -> str:
    """A file's path as it may be shown; empty where it looks like a credential that was written in a path's place."""
    looks_like_one = path.startswith(("/", "./", "../", "~")) or "/" in path or re.search(r"\.[a-z]{2,6}$", path)
    random = re.search(r"[=+\s]|(^|/)(sk|ak|r8|eyJ)[-_A-Za-z0-9]{8}", path) or any(
        sum(map(str.isdigit, run)) > 1 for run in re.findall(r"[A-Za-z0-9_]{24,}", path)
    )
    return path if looks_like_one and not random and path.isprintable() and len(path) <= 4096 else ""


def nearest(word: str, allowed: Iterable[str]) -> str:
    """The allowed word that was probably meant: the same but for case and hyphens, else one much like it; or ''."""
    plain = {_plain(one): one for one in allowed}
    unit = _UNIT_OF.get(word.strip().lower(), "")
    if found := plain.get(_plain(word)) or plain.get(unit):
        return found
    close = [
        one
        for one in difflib.get_close_matches(_plain(word), plain, n=3)
        if one[0] == _plain(word)[0] or difflib.SequenceMatcher(a=one, b=_plain(word)).ratio() >= _ALIKE
    ]
    if not close and len(_plain(word)) >= _TELLING:
        close = [one for one in plain if one.startswith(_plain(word))]
    return plain[close[0]] if close else ""


_TELLING = 3
"""Letters of a word that show which longer one is meant."""

_ALIKE = 0.75
"""How much alike words are that do not begin with the same letter, and are mistaken for each other."""


def hint(word: str, allowed: Iterable[str]) -> str:
    """Words that ask for the allowed one that was probably meant; empty if there is none."""
    meant = nearest(word, allowed)
    return f"; did you mean {meant}?" if meant else ""


def _plain(word: str) -> str:
    return re.sub(r"[-_. ]", "", word).lower()


def duration_meant(text: str) -> str:
    """A duration in our units that was probably meant (`15 sec` is `15s`, `90` is `90s`); empty if there is none."""
    parts = _PART.findall(text.strip().lower())
    if len(text) > 24 or re.search(r"\d{9}", text):
        return ""  # no duration; perhaps a secret
    if not parts or _PART.sub("", text.strip().lower()):
        return ""
    if len(parts) > 1 and any(not unit for _, unit in parts):
        return ""
    weeks = {"w", "week", "weeks", "周"}
    meant = [
        f"{float(number) * 7:g}d" if unit in weeks else f"{number}{_UNIT_OF.get(unit or 's', '')}"
        for number, unit in parts
    ]
    return "".join(meant) if all(one[-1].isalpha() for one in meant) else ""


def rate_meant(text: str) -> str:
    """A rate that was probably meant (`10/sec` and `10 per second` are `10/s`); empty if there is none."""
    match = None if re.search(r"\d{9}", text) else _RATE.fullmatch(text.strip().lower())
    unit = _UNIT_OF.get((match[2] or "s") if match else "", "")
    return f"{match[1]}/{unit}" if match and unit in ("s", "m", "h") and float(match[1]) > 0 else ""


def of_credential(text: str) -> str:
    """What is wrong with a credential by its look, never repeating it; empty if nothing is.

    An answer is about what surrounds it, or says that this is no credential.
    """
    if text[0] in QUOTES or text[-1] in QUOTES:
        return "has quotes around it that would be sent too; write it without them"
    if _SCHEME.match(text):
        return "begins with the word `Bearer` or the like, which is no part of it; write the credential alone"
    if _ASSIGNED.match(text):
        return "holds `NAME=` before the credential; write the credential alone"
    if _TEMPLATE.fullmatch(text):
        return "is the name of a variable in a form that is not replaced; write ${NAME}, which is"
    if "://" in text:
        return "is a URL; write the credential alone"
    if text.startswith(("/", "./", "../", "~/")) and text.count("/") > 1 and shown_path(text):
        return "is the path of a file; give it by the same key with _file"
    return ""


def of_placeholder(text: str) -> str:
    """What to do about a credential that is still that of an example; empty if it is none."""
    return "is a placeholder of an example; write the real credential" if _PLACEHOLDER.fullmatch(text) else ""


def of_word(text: str) -> str:
    """What is wrong with any value or key by its look; empty if nothing is."""
    if curly := next((one for one in (text[:1], text[-1:]) if one in _CURLY), ""):
        return f"has a curly quote ({curly}); write a straight one, or none"
    if unseen := _UNSEEN.search(text.strip()):
        name = f"U+{ord(unseen[0]):04X}"
        return f"holds a character that cannot be seen ({name}), as copied from a web page; type it again by hand"
    if wide := re.search(r"[\uff01-\uff5e]", text):
        return f"holds a full-width character (`{wide[0]}`); type it again with an English keyboard"
    return ""


def of_id(text: str) -> str:
    """Why a text is no single id of a task; empty if it may be one."""
    if "://" in text:
        return "a URL, not an id; write the id alone, which is mostly the last part of the URL"
    if found := next((one for one in ("，", "、", "；", ", ") if one in text), ""):
        return (
            f"several ids in one, with `{found.strip()}` between them; write each alone, with plain commas between them"
        )
    return of_word(text)


def of_base_url(url: str, default: str, added: Iterable[str]) -> str:
    """What is wrong with the address at which an API starts; `added` are path segments that requests add to it."""
    parts, usual = urlsplit(url), urlsplit(default)
    vendor = usual.hostname or ""
    domain = "." + ".".join(vendor.split(".")[-2:])
    if vendor and parts.scheme == "http" and f".{parts.hostname}".endswith(domain):
        return "would send the credentials to the vendor in plain text; write https://"
    if usual.path and not parts.path and parts.hostname == vendor:
        return f"lacks {usual.path}, where the vendor's API starts; write {default}"
    if re.fullmatch(r"/v[0-9]+", parts.path) and not usual.path:
        added = (*added, parts.path.strip("/"))
    found = [(at, one) for one in added if (at := f"{parts.path}/".find(f"/{one}/")) >= 0]
    if found:
        at, own = min(found)
        kept, own = parts.path[:at], f"/{own}"
    elif of_a_call := _OF_A_CALL.fullmatch(parts.path):
        kept, own = of_a_call[1], of_a_call[2]
    else:
        kept = own = ""
    if own:
        kept = f"{parts.scheme}://{parts.netloc}{kept}"
        return f"holds {own}, a part of the path that each request adds; write {kept}"
    if set("{}") & set(parts.path):
        return "a URL with a placeholder in its path; write where the API starts, without the path of a call"
    return ""


def of_line(line: str) -> str:
    """What in this line YAML probably stumbles over, and what to write; empty if nothing stands out."""
    code = re.sub(r"(^|\s)#.*", "", line)
    if re.match(r"\s*\t|[^'\"]*:\t", line):
        return "a tab where a value or indentation belongs; write spaces"
    if _UNSEEN.search(code[: len(code) - len(code.lstrip())]):
        return "the indentation holds a no-break space or another character that cannot be seen; write plain spaces"
    if "{{" in code:
        return "`{{ }}` is a template that was not filled in; write ${NAME} for an environment variable"
    if re.search(r":\s*%\w+%", code):
        return "`%` is no sign of a variable here; write ${NAME} for an environment variable"
    if re.search(r"[{\[,]\s*(?:[\w-]+:\s+)?[^\s\"'{}\[\],:]+(?:\s+[^\s\"'{}\[\],:]+)*\{", code):
        return "a text with braces within brackets; put it in quotes"
    if sign := re.search(r":\s*([%@`])", code):
        return f"a text that begins with `{sign[1]}`; put it in quotes"
    if odd := re.match(r"\s*(?:- )?[\w-]+\s*([：＝=])", code):
        return f"`{odd[1]}` after the key; write a plain colon and a space"
    if re.match(r"\s*(?:- )?[\w-]+:\S", code):
        return "no space after the colon; write `key: value`"
    if re.match(r"\s*-[^\s-]", code):
        return "no space after the `-`; write `- ` before an item of a list"
    if found := next((one for one in _FULLWIDTH if one in code), ""):
        return f"`{found}` is not a plain `{_FULLWIDTH[found]}`; type it again with an English keyboard"
    if any(one in code for one in _CURLY):
        return "curly quotes; write straight ones"
    return ""
