"""Any text is shown as it is, and never as markup, in Markdown and HTML."""

from html.parser import HTMLParser

from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from exporter.console.report.blocks import Block, Facts, Grid, Heading, Items, Paragraph, html, markdown
from exporter.masking import printable

TEXTS = st.text(max_size=40) | st.text("\\`*_{}[]()<>#+-.!|~&;:/@$=\"' ahw1", max_size=20)
TOKENS = {"text", "text_special", "strong_open", "strong_close", "em_open", "em_close"}


class Texts(HTMLParser):
    """Collects the texts of a document."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)
        self.close()

    def handle_data(self, data: str) -> None:
        """Collect a text."""
        self.found.append(data)


def shown_in_markdown(block: Block) -> list[str]:
    """Return the texts of a block, which has no other markup than its own."""
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown([block]))
    inlines = [token.children or [] for token in tokens if token.type == "inline"]
    assert {child.type for children in inlines for child in children} <= TOKENS
    return ["".join(child.content for child in children) for children in inlines]


@given(TEXTS)
@example("a\\|b")
@example("www.e.example http://e.example &amp; <b> ![x](y) #")
def test_a_text_in_a_table_is_shown_as_it_is(text: str) -> None:
    shown = printable(text)
    block = Grid("caption", ("=Name", "#Value"), [(text, text)])
    assert shown_in_markdown(block) == ["caption", "Name", "Value", *[shown.strip()] * 2]
    assert Texts(html("", [block])).found.count(shown) >= (2 if shown else 0)


@given(TEXTS)
def test_a_text_after_a_word_is_shown_as_it_is(text: str) -> None:
    shown = f"Name {printable(text)}".rstrip()
    for block in (Heading(2, f"Name {text}"), Items([f"Name {text}"]), Paragraph(f"Name {text}")):
        assert shown_in_markdown(block) == [shown]
    assert shown_in_markdown(Facts([("Label", f"Name {text}")])) == [f"Label: {shown}"]
