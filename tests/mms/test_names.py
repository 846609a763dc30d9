"""How a name that a user gives matches objects of MMS."""

import pytest

from exporter.mms.models.names import matches, near_names, table_id, table_names


@pytest.mark.parametrize(
    ("text", "meanings"),
    [
        ("orders", [(None, "orders")]),
        ("sales.orders", [(None, "sales.orders"), ("sales", "orders")]),
        ("a.b.c", [(None, "a.b.c"), ("a", "b.c"), ("a.b", "c")]),
        (".orders", [(None, ".orders")]),
        ("orders.", [(None, "orders.")]),
    ],
)
def test_a_table_is_named_alone_or_with_its_database(text: str, meanings: list[tuple[str | None, str]]) -> None:
    assert list(table_names(text)) == meanings


@pytest.mark.parametrize(
    ("text", "number"), [("22", 22), ("0022", 22), ("a22", None), ("2.2", None), ("٣", None), ("9" * 5000, None)]
)
def test_digits_are_an_id(text: str, number: int | None) -> None:
    assert table_id(text) == number


@pytest.mark.parametrize(
    ("pattern", "is_match"),
    [
        ("hive-sales-001", True),
        ("hive-*", True),
        ("*-00?", True),
        ("hive-[a-s]*", True),
        ("hive", False),
        ("HIVE-*", False),
        ("", False),
    ],
)
def test_a_name_matches_exactly_or_as_a_glob(pattern: str, *, is_match: bool) -> None:
    assert matches(pattern, ("hive-sales-001", None)) == is_match


def test_a_name_with_brackets_matches_itself() -> None:
    assert matches("a[1]", ("a[1]",))


def test_near_names_are_the_most_similar_first() -> None:
    known = ["hive-sales-001", "hive-sales-002", "bigquery-finance"]
    assert near_names("hive-sale-001", known)[0] == "hive-sales-001"
    assert near_names("FINANCE", known) == ["bigquery-finance"]
    assert near_names("zzz", known) == []


def test_after_a_close_match_only_names_as_close_are_suggested() -> None:
    known = ["hive-sales-001", "hive-sales-002", "hive-finance-004", "old-hive-sale-001-copy"]
    assert near_names("hive-sale-001", known) == ["hive-sales-001"]
    assert near_names("hive-salez-001", known) == ["hive-sales-001"]
    assert near_names("hive-zalez-001", known) == ["hive-sales-001"]


def test_names_that_are_much_less_like_than_the_best_are_not_suggested() -> None:
    known = ["sales.orders", "logs.orders", "sales.customers", "sales.returns_20", "sales.order"]
    assert near_names("sales.ordrs", known) == ["sales.orders", "sales.order"]
