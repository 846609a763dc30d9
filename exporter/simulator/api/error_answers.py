"""Error answers with the vendor's codes, where those are known.

UNVERIFIED: the codes for missing objects and invalid parameter values; a live account would settle them.
"""


class Refusal(Exception):
    """A request answered with a status of 400 or above."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def bad_parameter(name: str, expected: str) -> Refusal:
    """Return the error for an invalid parameter value."""
    return Refusal(400, f"InvalidParameter.{name}", f"The parameter {name} is not valid: expected {expected}.")


def not_found(kind: str, number: int | str) -> Refusal:
    """Return the error for an object that does not exist."""
    return Refusal(404, f"{kind}NotFound", f"The specified {kind} {number} does not exist.")
