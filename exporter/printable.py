"""Texts of others, as they can be put before a person: nothing that a terminal or a reader of lines would act on."""


def printable(text: str) -> str:
    """Return `text` with control characters, line breaks, bidirectional overrides and the like as escapes."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
