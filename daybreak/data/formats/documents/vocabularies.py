"""Vocabularies: the kinds of XML that are read, in the order in which they are tried; the last takes every root."""

from daybreak.data.formats.documents import (
    attribute_rows,
    docx,
    feeds,
    general,
    mediawiki,
    opendocument,
    publishing,
    sitemaps,
)
from daybreak.data.formats.documents.vocabulary import Vocabulary

VOCABULARIES: tuple[Vocabulary, ...] = (
    mediawiki.MEDIAWIKI,
    sitemaps.SITEMAP,
    feeds.FEED,
    docx.WORD_XML,
    opendocument.FLAT_ODT,
    publishing.FB2,
    publishing.JATS_SET,
    publishing.JATS,
    publishing.PUBMED,
    publishing.ALTO,
    publishing.SMS,
    publishing.TEI,
    publishing.TEI_CORPUS,
    publishing.DOCBOOK,
    *attribute_rows.STACK_EXCHANGE,
    attribute_rows.ATTRIBUTES,
    general.GENERAL,
)
