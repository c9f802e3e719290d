"""What this package raises for input that cannot be."""


class AlsimError(ValueError):
    """Input that cannot be: the message is a sentence that names the bad value, what was expected, and where."""


class InputTypeError(AlsimError, TypeError):
    """Input of a kind that cannot be."""
