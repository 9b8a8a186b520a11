"""Rows: records with the text in one of their columns, from JSON, tables and columnar files; one document a row."""
