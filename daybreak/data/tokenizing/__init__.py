"""The kinds of tokenizer behind daybreak/data/tokenizers.py, one file each."""
