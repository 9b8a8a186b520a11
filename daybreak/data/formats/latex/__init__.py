"""LaTeX: the text of a document without its commands; formulas stay as they are written."""
