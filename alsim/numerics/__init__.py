"""Numbers: counter-based random words, and elementary functions and distributions over float32."""

from alsim.numerics import elementary

__all__ = ["elementary"]
