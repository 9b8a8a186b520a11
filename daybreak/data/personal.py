"""Personal data: addresses, telephone and identity numbers, cards, accounts and keys, by form, checksum and context.

Numbers are told by the libraries that know their rules: python-stdnum the checksums, phonenumbers the numbering plans.
A cheap look for '@', for six digits close together and for the beginnings of keys comes first, so that text without
any costs little.
"""

import dataclasses
import datetime
import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from daybreak.core.errors import UsageError
from daybreak.data.cleaning import Document, Note

ACTIONS = ("report", "tag", "drop")
_BEFORE, _AFTER = 40, 48  # characters around a cluster of digits that patterns look at
_MOST_ROUNDS = 8  # of tagging, until nothing more is found

# Six digits with at most two other characters between them, or four numbers with dots.
_DIGITS = re.compile(r"[0-9](?:[0-9]{0,2}(?:\.[0-9]{1,3}){3}|(?:[^0-9\n]{0,2}[0-9]){5,})")
_ARE_DIGITS = bytes(byte in b"0123456789" for byte in range(256))
_COLONS = re.compile(r":[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}")

_LOCAL = re.compile(r"(?<![\w.%+-])[A-Za-z0-9_](?:[A-Za-z0-9._%+-]{0,62}[A-Za-z0-9_+-])?\Z", re.ASCII)
_DOMAIN = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,6}([A-Za-z]{2,18})(?![A-Za-z0-9-])")
_FILES = frozenset(  # endings of file names such as icon@2x.png
    re.findall(r"\w+", "bmp css gif htm html ico jpeg jpg js json md mp3 mp4 pdf php png py svg tar txt webp xml zip")
)
_NOBODY = frozenset(("git", "hg", "svn"))  # accounts that code is fetched with

# Where a number is said to be something else. It stands right before it, with a few words of grammar at most.
_OTHERWISE = re.compile(
    r"(?:(?<![a-z])(?:isbn|issn|doi|arxiv|pmid|sku|ean|upc|orders?|invoice|tracking|article|item|part|product|serial|case|docket"
    r"|model|ticket|batch|lot|patent|standard|version|release|firmware|build|section|chapter|clause|figure|table|row|v"
    r"|coordinates?|latitude|longitude|lat|lon)|订单|单号|编号|序号|版本|货号|文号|型号|批号|案号|书号|条形码|流水|经度|纬度"
    r"|章节|第)(?:-1[03])?[\s号码]{0,3}(?:(?:no\.?|number|id|code|is|was)\b[\s:：#]{0,2}){0,2}[\s:：#.=（(为是]{0,3}\Z",
    re.IGNORECASE,
)
_SOCIAL = re.compile(r"(?<![a-z])(?:ssn|social security(?: number| no\.?)?)(?: is| was)?[\s:#]{1,3}\Z", re.IGNORECASE)

_BEFORE_ADDRESS = r"(?<![A-Za-z0-9_.+-])(?<![A-Za-z0-9]/)"  # as in Chrome/91.0.4.1
_START = r"(?<![A-Za-z0-9_])(?<![0-9][.,:/-])(?<![0-9]{4} )"
_END = r"(?![A-Za-z0-9_])(?![.,:/-][0-9])(?! [0-9]{4})"


def _valid(module: str) -> Callable[[str], bool]:
    """The check of a module of python-stdnum."""

    def check(number: str) -> bool:
        import importlib

        return bool(importlib.import_module(f"stdnum.{module}").is_valid(number))

    return check


def _is_resident(number: str) -> bool:
    """A Chinese resident's (GB 11643): province, a day of birth that there was, and ISO 7064's check MOD 11-2.

    python-stdnum's own check knows which county existed in the year of birth, but numbers are given out later too.
    """
    from stdnum.iso7064 import mod_11_2

    try:
        born = datetime.date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    return bool(_PROVINCE.match(number) and 1900 <= born.year < 2100 and mod_11_2.is_valid(number.upper()))


_PROVINCE = re.compile("1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71|8[1-3]|9[1-3]")


def _is_card(number: str) -> bool:
    """Luhn's checksum (ISO/IEC 7812), and first digits and a length that an issuer uses."""
    digits = re.sub(r"[ -]", "", number)
    return bool(_CARD_ISSUER.fullmatch(digits)) and len(set(digits)) > 1 and _valid("luhn")(digits)


_CARD_ISSUER = re.compile(
    r"4[0-9]{12}(?:[0-9]{3}(?:[0-9]{3})?)?"  # Visa
    r"|(?:5[1-5]|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12,14}"  # Mastercard: 16 in all, see below
    r"|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|35(?:2[89]|[3-8][0-9])[0-9]{12}"  # Amex, Diners, JCB
    r"|(?:6011|64[4-9][0-9]|65[0-9]{2})[0-9]{12}|62[0-9]{14,17}"  # Discover, UnionPay
)


def _is_address(number: str) -> bool:
    """An address of the open internet: none of a home network, and none of those kept for documentation."""
    try:
        return ipaddress.ip_address(number).is_global
    except ValueError:
        return False


def _is_telephone(region: str | None) -> Callable[[str], bool]:
    """In the numbering plan of the region, or of the country that the number itself names."""

    def check(number: str) -> bool:
        import phonenumbers

        if region is None and number.startswith("00"):
            number = f"+{number[2:]}"
        try:
            return phonenumbers.is_valid_number(phonenumbers.parse(number, region))
        except phonenumbers.NumberParseException:
            return False

    return check


@dataclass(frozen=True)
class _Number:
    kind: str
    form: re.Pattern[str]
    check: Callable[[str], bool]
    context: bool = True  # that says it is something else counts
    wanted: re.Pattern[str] | None = None  # right before it


def _form(pattern: str, start: str = _START, end: str = _END) -> re.Pattern[str]:
    return re.compile(f"(?:{start})(?:{pattern}){end}")


# The more a form asks for, the earlier it comes: what one has found the next ones leave alone.
_NUMBERS = (
    _Number("ip_address", _form(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}", _BEFORE_ADDRESS), _is_address),
    _Number("id_number", _form(r"[1-9][0-9]{16}[0-9Xx]"), _is_resident, context=False),
    _Number(
        "company_code", _form(r"(?:[15][1-39]|9[1-3]|Y1)[0-9]{6}[0-9A-HJ-NP-RTUW-Y]{10}"), _valid("cn.uscc"), False
    ),
    _Number(
        "bank_account", _form(r"[A-Z]{2}[0-9]{2}(?: ?[0-9A-Z]{4}){2,7}(?: ?[0-9A-Z]{1,3})?"), _valid("iban"), False
    ),
    _Number("payment_card", _form(r"[2-6][0-9]{3}(?:[ -]?[0-9]{4}){2}(?:[ -]?[0-9]{1,7})"), _is_card),
    _Number("payment_card", _form(r"3[0-9]{3}[ -]?[0-9]{6}[ -]?[0-9]{4,5}|[2-6][0-9]{12}"), _is_card),
    _Number(
        "id_number",  # The UK's: letters that are given out, as HM Revenue and Customs' manual NIM39110 lists them.
        _form(r"(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]"),
        lambda number: True,
    ),
    _Number("id_number", _form(r"[0-9]{3}-[0-9]{2}-[0-9]{4}|[0-9]{3} [0-9]{2} [0-9]{4}"), _valid("us.ssn")),
    _Number("id_number", _form(r"[0-9]{9}"), _valid("us.ssn"), wanted=_SOCIAL),
    _Number(
        "phone",
        _form(r"(?:\+|00)[1-9](?:[ .()-]{0,2}[0-9]){6,14}", r"(?<![A-Za-z0-9_+])"),
        _is_telephone(None),
        False,
    ),
    _Number("phone", _form(r"(?:86[ -]?)?1[3-9][0-9][ -]?[0-9]{4}[ -]?[0-9]{4}"), _is_telephone("CN")),
    _Number("phone", _form(r"\(0[0-9]{2,3}\) ?[0-9]{7,8}|0[0-9]{2,3}[ -][0-9]{3,4}[ -]?[0-9]{4}"), _is_telephone("CN")),
    _Number(
        "phone",
        _form(r"(?:1[ .-])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[ .-][0-9]{4}"),
        _is_telephone("US"),
    ),
    _Number(
        "phone", _form(r"\(?0[1-9][0-9]{1,4}\)?[ -][0-9]{3,4}(?:[ -]?[0-9]{3,4})?|07[0-9]{9}"), _is_telephone("GB")
    ),
)

_PASSPORT = re.compile(
    r"(?:passport|护照)(?: ?(?:number|no\.?|号码?))?(?: is|为|是)?[\s:：#]{0,3}([A-Z]{1,2}[0-9]{7,8}|[0-9]{9})\b",
    re.I | re.A,
)
# Most of a text is letters in lower case and blanks: what a secret's beginning is without them is looked for first.
_LEAST_DIGITS = 4  # in any number that is looked for
_NO_TRACE = b"abcdefghijklmnopqrstuvwxyz \n"
_KEY = r"-----{} (?:[A-Z]{{2,12}} ){{0,2}}PRIVATE KEY-----"
_SECRETS = tuple(
    (
        beginning.encode().translate(None, _NO_TRACE) or b"-",  # which follows "xox"
        beginning,
        re.compile(rf"(?<![A-Za-z0-9_-])(?:{pattern})", re.ASCII),
    )
    for beginnings, pattern in (
        (("AKIA", "ASIA"), r"A[KS]IA[A-Z0-9]{16}(?![A-Za-z0-9])"),  # Amazon
        (("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"gh[pousr]_[A-Za-z0-9]{36,255}"),  # GitHub
        (("github_pat_",), r"github_pat_[A-Za-z0-9_]{50,255}"),
        (("glpat-",), r"glpat-[\w-]{20,64}"),  # GitLab
        (("xox",), r"xox[abeoprs]-[0-9][A-Za-z0-9-]{15,250}"),  # Slack
        (("sk-",), r"sk-(?=[\w-]*[A-Z])(?=[\w-]*[0-9])[\w-]{24,250}"),  # OpenAI and alike
        (("sk_live_",), r"sk_live_(?=[\w-]*[A-Z])(?=[\w-]*[0-9])[\w-]{24,250}"),  # Stripe
        (("AIza",), r"AIza[\w-]{35}(?![\w-])"),  # Google
        (("eyJ",), r"eyJ[\w-]{10,4000}\.eyJ[\w-]{10,8000}\.[\w-]{16,1000}"),  # JSON Web Token
        (("PRIVATE KEY-----",), _KEY.format("BEGIN") + r"[\sA-Za-z0-9+/=:,.-]{1,16000}?" + _KEY.format("END")),
    )
    for beginning in beginnings
)


def find(text: str) -> list[tuple[int, int, str]]:
    """Personal data: start, end and kind of each, in order, none over another."""
    found: list[tuple[int, int, str]] = []
    for start, end, kind in _candidates(text):
        if all(end <= other_start or start >= other_end for other_start, other_end, _ in found):
            found.append((start, end, kind))
    return sorted(found)


def _candidates(text: str) -> Iterator[tuple[int, int, str]]:
    traces = text.encode("utf-8", "replace").translate(None, _NO_TRACE)
    for trace, beginning, form in _SECRETS:
        if trace in traces and beginning in text:
            yield from ((match.start(), match.end(), "secret") for match in form.finditer(text))
    yield from _emails(text)
    if ":" in text:
        yield from _long_addresses(text)
    for start, end in _windows(text) if traces.translate(_ARE_DIGITS).count(1) >= _LEAST_DIGITS else ():
        for match in _PASSPORT.finditer(text, start, end):
            yield match.start(1), match.end(1), "passport"
        for number in _NUMBERS:
            for match in number.form.finditer(text, start, end):
                before = text[max(0, match.start() - _BEFORE) : match.start()]
                if number.context and _OTHERWISE.search(before):
                    continue
                if (number.wanted is None or number.wanted.search(before)) and number.check(match.group()):
                    yield match.start(), match.end(), number.kind


def _emails(text: str) -> Iterator[tuple[int, int, str]]:
    at = text.find("@")
    while at >= 0:
        local = _LOCAL.search(text, max(0, at - 65), at)
        domain = _DOMAIN.match(text, at + 1) if local else None
        if local and domain and domain[1].lower() not in _FILES and local.group() not in _NOBODY:
            yield local.start(), domain.end(), "email"
        at = text.find("@", at + 1)


def _long_addresses(text: str) -> Iterator[tuple[int, int, str]]:
    """Of IP version 6: with three colons at least, so that neither times nor C++ names are among them."""
    reached = 0
    for match in _COLONS.finditer(text):
        if match.start() < reached:
            continue
        whole = _ADDRESS.search(text, max(reached, match.start() - 4), match.end() + 40)
        if whole:
            reached = whole.end()
            number = whole.group()
            if number.count(":") > 2 and _is_address(number):
                yield whole.start(), whole.end(), "ip_address"


_ADDRESS = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?<!:)(?![\w:])", re.ASCII)


def _windows(text: str) -> Iterator[tuple[int, int]]:
    """Stretches around digits that stand close together; those that overlap are one."""
    if not _digits_stand_close(text):
        return
    start, end = 0, -1
    for match in _DIGITS.finditer(text):
        if match.start() - _BEFORE > end:
            if end >= 0:
                yield start, end
            start = max(0, match.start() - _BEFORE)
        end = match.end() + _AFTER
    if end >= 0:
        yield start, end


def _digits_stand_close(text: str) -> bool:
    """Whether _DIGITS may be found at all: far cheaper, for its first character is in most texts."""
    data = text.encode("utf-8", "replace")
    places = np.flatnonzero(np.frombuffer(data.translate(_ARE_DIGITS), np.bool_))
    wide = 1 if len(data) == len(text) else 4  # bytes of a character
    six, four = places[5:] - places[:-5], places[3:] - places[:-3]
    return bool((six <= 5 + 10 * wide).any() or ((four <= 8).any() and "." in text))


@dataclass(frozen=True, kw_only=True)
class PersonalData:
    """Counts personal data by kind, and leaves the text (report), writes its kind in its place (tag), or drops it."""

    action: str = "report"
    name: str = dataclasses.field(default="personal_data", init=False)

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise UsageError(
                "personal data can be reported, tagged or dropped with its document",
                received=f"action={self.action}",
                attempt=" or ".join(f"action={action}" for action in ACTIONS),
            )

    def __call__(self, document: Document, note: Note) -> Document | None:
        found = find(document.text)
        if not found:
            return document
        for _, _, kind in found:
            note(kind)
        if self.action == "drop":
            return None
        if self.action == "report":
            return document
        return dataclasses.replace(document, text=tagged(document.text))


def tagged(text: str) -> str:
    """The text with <EMAIL>, <PHONE> and so on in the place of personal data; tagging it again changes nothing."""
    for _ in range(_MOST_ROUNDS):  # what stood beside one that is gone may be told now
        found = find(text)
        if not found:
            break
        parts, reached = [], 0
        for start, end, kind in found:
            parts += [text[reached:start], f"<{kind.upper()}>"]
            reached = end
        text = "".join([*parts, text[reached:]])
    return text
