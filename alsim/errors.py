"""Exceptions for invalid input."""


class AlsimError(ValueError):
    """Invalid input: the message names the value, the expected value, and the place."""


class InputTypeError(AlsimError, TypeError):
    """Input of an invalid type."""
