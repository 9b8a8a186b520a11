"""Data: from files and addresses over documents and tokens to batches."""
