"""Documents: texts that are kept with their layout: vocabularies of XML, office files, books, RTF and PDF."""
