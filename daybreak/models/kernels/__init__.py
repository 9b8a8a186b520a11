"""Kernels: layers with gradients by hand, in our own C, and the compiler that makes it ready."""
