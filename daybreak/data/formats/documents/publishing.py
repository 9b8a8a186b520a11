"""Publishing: the vocabularies of XML that books, articles and manuals are kept in, by what their elements are."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from daybreak.data.cleaning import Document
from daybreak.data.formats.documents import parts
from daybreak.data.formats.documents.elements import Elements, element_documents, names
from daybreak.data.formats.documents.vocabulary import Root, Vocabulary, named
from daybreak.data.formats.format import Text


def _read(elements: Elements) -> Callable[[Text], Iterator[Document]]:
    return lambda text: element_documents(elements, text)


# FictionBook 2 (http://www.fictionbook.org/index.php/Eng:XML_Schema_Fictionbook_2.1)
FB2 = Vocabulary(
    name="fb2",
    recognize=named("FictionBook"),
    documents=_read(
        Elements(
            blocks=names("p v subtitle text-author date title section epigraph poem stanza cite annotation body"),
            inline=names("strong emphasis style a strikethrough sub sup code image"),
            rows=names("tr"),
            cells=names("td th"),
            left_out={"binary": parts.PICTURES, "description": parts.METADATA, "stylesheet": parts.METADATA},
        )
    ),
)


# Journal Article Tag Suite (ANSI/NISO Z39.96, https://jats.nlm.nih.gov) and its parent, the NLM DTD; books in BITS
_JATS = Elements(
    blocks=names(
        "abstract ack alt-title app app-group article article-title attrib back body boxed-text caption def def-item"
        " def-list disp-formula disp-quote fig fig-group fn-group front front-stub glossary list list-item notes p"
        " response sec sig-block speech statement sub-article subtitle supplementary-material table table-wrap"
        " table-wrap-foot tbody tfoot thead title title-group trans-abstract trans-title verse-group verse-line"
    ),
    inline=names(
        "abbrev alternatives bold email ext-link inline-formula inline-graphic institution italic kwd math mfrac mi"
        " milestone-end milestone-start mn mo monospace mrow msqrt msub msubsup msup mtext named-content overline"
        " private-char roman sans-serif sc source speaker strike styled-content sub sup term toggle underline uri"
        " x xref"
    ),
    separated=names("label mixed-citation element-citation surname given-names year"),
    apart=names("fn"),
    rows=names("tr"),
    cells=names("td th"),
    preserved=names("preformat code"),
    skipped=names("object-id graphic media"),
    left_out={
        **dict.fromkeys(
            names(
                "journal-meta journal-title issn publisher article-id article-categories contrib-group aff author-notes"
                " pub-date volume issue elocation-id fpage lpage history permissions self-uri related-article kwd-group"
                " funding-group counts custom-meta-group processing-meta"
            ),
            parts.METADATA,
        ),
        "tex-math": parts.FORMULAS,
        "ref-list": parts.REFERENCES,
    },
)


def _is_jats(root: Root) -> bool:
    if root.name in ("pmc-articleset", "articles", "book-part-wrapper"):
        return True
    told = any(mark in root.doctype for mark in ("NLM", "JATS")) or "article-type" in root.attributes
    return root.name == "article" and (told or not root.seen.isdisjoint(("journal-meta", "article-meta", "sec")))


JATS = Vocabulary(name="jats", recognize=_is_jats, documents=_read(_JATS))
JATS_SET = Vocabulary(
    name="jats set",
    recognize=lambda root: root.name != "article" and _is_jats(root),
    documents=_read(replace(_JATS, each=names("article"))),
)

# Records of PubMed (https://www.nlm.nih.gov/bsd/licensee/elements_descriptions.html): a title and an abstract
PUBMED = Vocabulary(
    name="pubmed",
    recognize=named("PubmedArticleSet", "MedlineCitationSet", "PubmedArticle"),
    documents=_read(
        Elements(
            blocks=names("ArticleTitle AbstractText VernacularTitle"),
            text_in=names("ArticleTitle AbstractText VernacularTitle"),
            left_out={"ReferenceList": parts.REFERENCES, "AuthorList": parts.METADATA, "Journal": parts.METADATA},
            each=names("PubmedArticle MedlineCitation"),
            guessed=False,
        )
    ),
)

# Text that was recognised in pictures, in ALTO (https://www.loc.gov/standards/alto/), which has words as attributes
ALTO = Vocabulary(
    name="alto",
    recognize=named("alto"),
    documents=_read(
        Elements(
            guessed=False,
            blocks=names("TextLine TextBlock ComposedBlock"),
            separated=names("SP"),
            left_out={"Description": parts.METADATA, "Styles": parts.METADATA},
            stands_for={"String": lambda attributes: attributes.get("CONTENT", ""), "HYP": lambda _: ""},
        )
    ),
)

# Messages of telephones as "SMS Backup & Restore" writes them (https://www.synctech.com.au/sms-backup-restore/fields-in-xml-backup-files/)
SMS = Vocabulary(
    name="sms",
    recognize=named("smses"),
    documents=_read(
        Elements(
            guessed=False,
            blocks=names("sms mms"),
            stands_for={
                "sms": lambda attributes: attributes.get("body", ""),
                "part": lambda attributes: attributes.get("text", "") if attributes.get("ct") == "text/plain" else "",
            },
        )
    ),
)

# DocBook 4 and 5 (https://docbook.org/specs/)
_DOCBOOK_ROOTS = names(
    "book article chapter section sect1 set part preface appendix refentry reference glossary topic refsect1"
)
_INFO = names(
    "appendixinfo articleinfo blockinfo bookinfo chapterinfo glossaryinfo info partinfo prefaceinfo refentryinfo"
    " referenceinfo refsect1info refsectioninfo sect1info sect2info sect3info sectioninfo setinfo refmeta"
)
_DOCBOOK = Elements(
    blocks=names(
        "abstract ackno acknowledgements answer appendix article attribution blockquote book bridgehead callout"
        " calloutlist caption caution chapter cmdsynopsis colophon dedication epigraph equation example figure"
        " formalpara funcprototype funcsynopsis glossary glossdef glossdiv glossentry glosslist important"
        " informalequation informalexample informalfigure informaltable itemizedlist legalnotice listitem member msg"
        " msgset note orderedlist para part partintro preface procedure qandadiv qandaentry qandaset question refentry"
        " reference refname refnamediv refpurpose refsect1 refsect2 refsect3 refsection refsynopsisdiv sect1 sect2"
        " sect3 sect4 sect5 section segmentedlist seglistitem set sidebar simpara simplelist simplesect step substeps"
        " subtitle synopfragment table task tbody tfoot tgroup thead tip title topic variablelist varlistentry warning"
    ),
    inline=names(
        "abbrev accel acronym action anchor application author citation citerefentry citetitle classname code command"
        " computeroutput constant database date email emphasis envar errorcode errorname errortype exceptionname"
        " filename firstterm foreignphrase function group guibutton guiicon guilabel guimenu guimenuitem guisubmenu"
        " hardware inlineequation inlinemediaobject interface interfacename jobtitle keycap keycode keycombo keysym"
        " lineannotation link literal manvolnum markup mathphrase menuchoice methodname modifier mousebutton namespace"
        " olink ooclass option optional orgname package paramdef parameter person personname phrase prompt property"
        " productname quote refentrytitle replaceable returnvalue sgmltag shortcut structfield structname subscript"
        " superscript symbol systemitem tag trademark type uri ulink userinput varname wordasword xref funcdef"
    ),
    separated=names("arg seg term glossterm"),
    rows=names("row tr"),
    cells=names("entry td th"),
    apart=names("footnote"),
    preserved=names("programlisting screen literallayout synopsis address"),
    skipped=names("imageobject videoobject audioobject colspec indexterm alt titleabbrev"),
    left_out={
        **dict.fromkeys(_INFO, parts.METADATA),
        "toc": parts.CONTENTS,
        "index": parts.CONTENTS,
        "bibliography": parts.REFERENCES,
        "remark": parts.COMMENTS,
    },
)
DOCBOOK = Vocabulary(
    name="docbook",
    recognize=lambda root: (
        "docbook.org" in root.namespace
        or "docbook" in root.doctype.lower()
        or (root.name in _DOCBOOK_ROOTS and "para" in root.seen)
    ),
    documents=_read(_DOCBOOK),
)

# Text Encoding Initiative, P5 (https://tei-c.org/guidelines/p5/) and P4
_TEI = Elements(
    blocks=names(
        "ab argument back body byline castGroup castItem castList closer dateline div div1 div2 div3 div4 div5 div6"
        " div7 docAuthor docDate docEdition docImprint docTitle epigraph epilogue figure floatingText front group head"
        " imprimatur item l lg list opener p performance postscript prologue salute set sp speaker stage text titlePage"
        " titlePart trailer"
    ),
    inline=names(
        "abbr add am anchor app bibl c choice code corr damage date del distinct emph ex expan foreign forename formula"
        " g gap gi gloss hi ident lem m measure mentioned milestone name num orgName orig persName pc phr placeName ptr"
        " rdg ref reg restore roleName rs s seg sic soCalled subst supplied surname term time title unclear w"
    ),
    separated=names("label addrLine"),
    rows=names("row"),
    cells=names("cell"),
    apart=names("note"),
    preserved=names("eg egXML"),
    skipped=names("fw graphic"),
    left_out={
        "teiHeader": parts.METADATA,
        "facsimile": parts.METADATA,
        "standOff": parts.METADATA,
        "listBibl": parts.REFERENCES,
        "del": parts.DELETED,
    },
    first_of=names("choice app"),
    stands_for={"lb": lambda attributes: "" if attributes.get("break") == "no" else " ", "pb": lambda _: " "},
)
TEI = Vocabulary(name="tei", recognize=named("TEI", "TEI.2"), documents=_read(_TEI))
TEI_CORPUS = Vocabulary(
    name="tei corpus",
    recognize=named("teiCorpus", "teiCorpus.2"),
    documents=_read(replace(_TEI, each=names("TEI TEI.2"))),
)
