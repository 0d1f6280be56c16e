"""The plain-Python meaning of every kernel: slow, obvious, and the truth that the tests hold kernels to."""
