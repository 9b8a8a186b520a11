"""Names in wikitext: of namespaces and elements, and of templates that stand for words in a sentence."""

import re
from collections.abc import Callable, Sequence

Values = Sequence[str]  # of a template, in order, without those that have a name
Named = dict[str, str]
Words = Callable[[Values, Named], str]

# Elements whose content is no text, and names of namespaces in the largest wikis.
DRAWN = (
    "timeline imagemap score graph hiero mapframe maplink templatedata inputbox categorytree rss charinsert indicator "
    "templatestyles style includeonly section"
)
FILES = (
    "file image media datei bild fichier archivo imagen immagine ficheiro arquivo imagem bestand plik grafika fil "
    "soubor файл изображение зображення 文件 档案 檔案 图像 圖像 ファイル 画像 파일 그림 ملف صورة קובץ تصویر lêer dosya"
)
CATEGORIES = (
    "category kategorie catégorie categoría categoria kategoria kategori категория категорія 分类 分類 カテゴリ 분류 "
    "تصنيف קטגוריה रده श्रेणी"
)


_NUMBER = re.compile(r"\s*(\d+)\s*=")
_NAME = re.compile(r"\s*([^=\n<>\"'/?&]{1,40}?)\s*=")
_NAME_CHARACTERS = 100  # of a value, among which its name is
_AMOUNT = re.compile(r"[-+−±~]?\d[\d,.\s/]*(?:e[-+]?\d+)?|to|and|by|or|x|×|-|–|to\(-\)|\+/-|±|e\d+|abbr=\w+")
_UNITS = {"sqmi": "sq mi", "km2": "km²", "m2": "m²", "km3": "km³", "m3": "m³", "C": "°C", "F": "°F", "ft2": "sq ft"}


def _first(values: Values, named: Named) -> str:
    return next((named[name] for name in ("text", "quote", "content", "texte", "1") if name in named), "") or (
        values[0] if values else ""
    )


def _second(values: Values, named: Named) -> str:
    return values[1] if len(values) > 1 else named.get("2", named.get("texte", named.get("text", "")))


def _third(values: Values, named: Named) -> str:
    return values[2] if len(values) > 2 else _second(values, named)


def _last(values: Values, _: Named) -> str:
    return values[-1] if values else ""


def _all(by: str) -> Words:
    return lambda values, named: by.join(filter(None, map(str.strip, [*values, *_numbered(named)])))


def _numbered(named: Named) -> list[str]:
    return [value for name, value in named.items() if name.isdigit()]


def _sign(text: str) -> Words:
    return lambda values, named: text


def _with(before: str, after: str = "") -> Words:
    return lambda values, named: before + _first(values, named) + after if values or named else ""


def _measure(values: Values, _: Named) -> str:
    """An amount and its unit: {{convert|5|to|10|km|mi}} is 5 to 10 km."""
    shown = []
    for value in map(str.strip, values):
        amount = _AMOUNT.fullmatch(value) is not None
        shown.append(value if amount else _UNITS.get(value, value))
        if not amount:
            break
    return " ".join(shown)


def _quantity(values: Values, named: Named) -> str:
    return " ".join(filter(None, (values[0] if values else "", named.get("u", named.get("ul", "")))))


def _fraction(values: Values, _: Named) -> str:
    parts = [value.strip() for value in values]
    if len(parts) == 1:
        return f"1/{parts[0]}"
    return " ".join([*parts[:-2], "/".join(parts[-2:])])


def _date(values: Values, _: Named) -> str:
    return "-".join(value.strip().rjust(2, "0") for value in values[:3] if value.strip().isdigit())


def _as_of(values: Values, named: Named) -> str:
    return ("as of " if named.get("lc", "") == "y" else "As of ") + _date(values, named)


def _names(values: Values, named: Named) -> str:
    """{{nihongo|English|日本語|romaji}}, {{読み仮名|漢字|かな}}: one, and the others in parentheses."""
    given = [value.strip() for value in values[:3] if value.strip()]
    return given[0] + (f" ({', '.join(given[1:])})" if given[1:] else "") if given else ""


def _chinese(values: Values, named: Named) -> str:
    given = [*values, *(named[name] for name in ("c", "s", "t", "p", "w", "l") if name in named)]
    return ", ".join(filter(None, map(str.strip, given)))


def _lived(values: Values, _: Named) -> str:
    """{{bd|1879年|3月14日|1955年|4月18日}}"""
    given = [value.strip() for value in (*values, "", "", "", "")[:4]]
    return f"{given[0]}{given[1]}—{given[2]}{given[3]}".rstrip("—")


def _century(values: Values, _: Named) -> str:
    return "".join(value.strip() for value in values[:2]) + " siècle"


_KINDS: tuple[tuple[Words, str], ...] = (
    (
        _first,
        "nowrap;nobr;nowr;no wrap;small;smaller;big;larger;"
        "abbr;abbrlink;tooltip;nobold;noitalic;normal;smallcaps;sc;"
        "small caps;sup;sub;var;mvar;math;em;strong;bold;italic;"
        "italics;underline;u;strike;s;del;ins;center;ill;"
        "interlanguage link;interlanguage link multi;illm;ill2;link-interwiki;"
        "visible anchor;vanchor;quote;quotation;"
        "cquote;blockquote;bquote;block quote;bq;poemquote;"
        "poem quote;pull quote;quote box;quotebox;centered pull quote;"
        "text;plain text;sic;notatypo;not a typo;as written;linktext;"
        "angle bracket;angbr;keypress;key press;key;kbd;code;"
        "mono;samp;tt;ipa;respell;script;unicode;polytonic;"
        "big math;flag;flagu;flagcountry;flag+link;flaglink;flagdeco;"
        "zitat;cita;citation bloc;cita bloc;le;link-en;link-ja;link-de;link-fr;internal link helper/en;"
        "internal link helper;link helper;仮リンク;ruby;ruby-ja;zy;nb;"
        "nombre;formatnum;nts;number;num;numéro;unbulleted;"
        "référence nécessaire;référence souhaitée;citation needed span;fact span;"
        "cn span;nobreak;nowraplinks;columns-list;"
        "div col content;col-list;plainlist;plain list;flatlist;flat list;"
        "endplainlist;main text;larger text;ltr;rtl;"
        "rtl-lang;nastaliq;transl2;proper name;nom;noitalics;no italic;abréviation;abrev;abréviation discrète;"
        "italique;petites capitales;'';'''",
    ),
    (
        _second,
        "lang;wikt-lang;langue;color;colour;font color;colored;llang;rquote;sort;mention;m;langwithname;иностр",
    ),
    (_third, "tsl;translink"),
    (_last, "transl;transliteration;translit;rubik"),
    (_all(" "), "sortname;ship;gaps;date;date-;date de naissance;sclass;sclass2;unité;unidad;unit;maßstab"),
    (
        _all("\n"),
        "ubl;unbulleted list;ublist;unbulletedlist;bulleted list;ordered list;collapsible list;plainlist items",
    ),
    (_all(", "), "hlist;cslist;comma separated entries;csl;flatlist items"),
    (_all(" / "), "slashed list"),
    (_measure, "convert;cvt;conv"),
    (_quantity, "val"),
    (_fraction, "frac;fraction;sfrac;fract"),
    (
        _date,
        "start date;end date;birth date;birth date and age;death date;dts;dob;start date and age;film date;date table",
    ),
    (_as_of, "as of"),
    (_names, "nihongo;nihongo2;読み仮名;korean;nihongo foot;yomigana"),
    (_chinese, "zh;lang-zh;chinese"),
    (_lived, "bd;生卒"),
    (_century, "s;s-;siècle"),
    (_with("c. "), "circa;c.;ca"),
    (_with("fl. "), "floruit;fl."),
    (_with("HMS "), "hms"),
    (_with("USS "), "uss"),
    (_with("SS "), "ss"),
    (_with("US$"), "us$;usd"),
    (_with("£"), "£;gbp;pound sterling"),
    (_with("€"), "€;euro;eur"),
    (_with("₹"), "₹;inr"),
    (_with('"', '"'), '"'),
    (_with("«", "»"), "«;guil"),
    (_sign(" – "), "snd;spaced ndash;spaced en dash;–;spnd"),
    (_sign("–"), "ndash;en dash;nd"),
    (_sign("—"), "mdash;em dash;—"),
    (_sign(" · "), "·;dot;middot;•;bull;bullet"),
    (_sign(" "), "nbsp;space;spaces;zwsp;thinsp"),
    (_sign("'"), "';apostrophe"),
    (_sign("'s"), "'s"),
    (_sign("ʻ"), "okina"),
    (_sign("|"), "!"),
    (_sign("="), "="),
    (_sign("{{"), "((;(("),
    (_sign("×"), "times;x"),
    (_sign("−"), "minus"),
    (_sign("π"), "pi"),
    (_sign("1er"), "1er"),
)
_WORDS: dict[str, Words] = {name: words for words, names in _KINDS for name in names.split(";") if name}
_COUNTRY = re.compile("[A-Z]{3}")  # {{USA}}: a flag and a name
_OF_LANGUAGES = re.compile(r"(?:lang|link)-[a-z-]{2,12}")  # {{lang-de|Wort}}, {{link-en|...}}


def words_of(body: str, page: str) -> str | None:
    """The words that a template stands for in a page of this name; None: it is none of those."""
    end = body.find("|")
    name = (body if end < 0 else body[:end]).strip().lower().replace("_", " ")
    words = _WORDS.get(name)
    if words is None:
        if _COUNTRY.fullmatch(body[: end if end >= 0 else len(body)].strip()):
            return name.upper()
        if name in ("pagename", "fullpagename", "basepagename", "subpagename"):
            return page
        if name.startswith("formatnum:"):
            return name.partition(":")[2]
        if not _OF_LANGUAGES.fullmatch(name):
            return None
        words = _first
    values, named = list[str](), Named()
    for part in body[end + 1 :].split("|") if end >= 0 else ():
        if number := _NUMBER.match(part[:_NAME_CHARACTERS]):
            named[number[1]] = part[number.end() :].strip()
        elif name_of := _NAME.match(part[:_NAME_CHARACTERS]):
            named[name_of[1].lower()] = part[name_of.end() :].strip()
        else:
            values.append(part)
    return words(values, named)
