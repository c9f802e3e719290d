"""Settings that every test shares."""

from hypothesis import settings

# Compiling takes seconds in the first example, and machines differ: only the examples' number bounds the time.
settings.register_profile("alsim", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("alsim")
