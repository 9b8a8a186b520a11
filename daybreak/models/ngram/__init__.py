"""N-gram models: counted, never trained by steps."""
