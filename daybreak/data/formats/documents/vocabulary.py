"""Vocabulary: a record of how a kind of XML is recognised by its root element and how its documents are read."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from xml.parsers import expat

from daybreak.data.cleaning import Document
from daybreak.data.formats.format import Text


@dataclass(frozen=True)
class Root:
    """The start of the first element of an XML file."""

    name: str  # without its prefix
    namespace: str  # empty: none
    attributes: Mapping[str, str]
    doctype: str = ""  # the name and the identifiers of its definition; empty: none
    seen: frozenset[str] = frozenset()  # elements in the beginning of the file
    text: bool = True  # there is text between the tags of the beginning


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """A kind of XML."""

    name: str
    recognize: Callable[[Root], bool]
    documents: Callable[[Text], Iterator[Document]]  # of a text whose blocks are UTF-8, whatever it declares


def named(*names: str, namespace: str = "") -> Callable[[Root], bool]:
    """Recognises a root of one of these names, if given in a namespace that contains this."""
    return lambda root: root.name in names and namespace in root.namespace


def root_of(start: bytes) -> Root | None:
    """The root of an XML file by its beginning as UTF-8; None: there is none, or it comes later."""
    found: list[tuple[str, str, dict[str, str]]] = []
    types: list[str] = []
    seen = set[str]()
    texts: list[str] = []

    def typed(name: str, system: str | None, public: str | None, _: bool) -> None:
        types.append(f"{name} {public} {system}")

    def opened(name: str, attributes: dict[str, str]) -> None:
        prefix, _, local = name.rpartition(":")
        seen.add(local)
        if not found:
            found.append((local, attributes.get(f"xmlns:{prefix}" if prefix else "xmlns", ""), attributes))

    def said(text: str) -> None:
        if not texts and not text.isspace():
            texts.append(text)

    parser = expat.ParserCreate("utf-8")
    parser.CharacterDataHandler = said
    parser.StartDoctypeDeclHandler = typed
    parser.StartElementHandler = opened
    parser.UseForeignDTD(True)
    parser.ExternalEntityRefHandler = lambda *_: 1
    damaged = False
    try:
        parser.Parse(start, False)
    except expat.ExpatError:
        damaged = True  # what comes behind may be text
    return Root(*found[0], "".join(types), frozenset(seen), damaged or bool(texts)) if found else None
