"""Formats: from the bytes of a file to documents, whatever it is and however it is packed; one file a family."""
