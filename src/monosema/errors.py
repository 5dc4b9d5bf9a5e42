"""The one error that a user's input can cause."""

from typing import Any


class InputError(ValueError):
    """Something given from outside (an argument, a file, a model, a text) cannot be used.

    The message says what was given, what was expected and what to do about it. The command line prints it without a
    traceback and exits with status 2.
    """

    def __init__(self, given: str, *, expected: str | None = None, hint: str | None = None):
        self.given, self.expected, self.hint = given, expected, hint
        parts = [given]
        if expected:
            parts.append(f"expected {expected}")
        if hint:
            parts.append(hint)
        super().__init__("; ".join(parts))

    def within(self, where: object) -> "InputError":
        """The same, found in `where`: a file, say."""
        return InputError(f"{where}: {self.given}", expected=self.expected, hint=self.hint)

    def hinting(self, hint: str) -> "InputError":
        """The same, with something else to do about it."""
        return InputError(self.given, expected=self.expected, hint=hint)

    def __reduce__(self) -> Any:
        return _again, (self.given, self.expected, self.hint)


def _again(given: str, expected: str | None, hint: str | None) -> InputError:
    return InputError(given, expected=expected, hint=hint)
