"""Fused: a layer whose forward and backward passes call the machine's matrix products and our own kernels between."""
