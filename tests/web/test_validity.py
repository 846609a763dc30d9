"""When a certificate ends is read as the library that made it tells it."""

from datetime import UTC, datetime

import pytest
import trustme
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from exporter.web.validity import ends_at

AUTHORITY = trustme.CA()


@pytest.mark.parametrize("year", [2029, 2049, 2050, 2068, 2069, 9999])
def test_the_end_of_a_certificate_is_read_in_both_forms_of_a_time(year: int) -> None:
    end = datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC)
    issued = AUTHORITY.issue_cert("localhost", not_after=end).cert_chain_pems[0].bytes()
    assert x509.load_pem_x509_certificate(issued).not_valid_after_utc == end
    assert ends_at(issued.decode()) == end.timestamp()


@given(st.binary(max_size=60))
def test_what_is_no_certificate_has_no_end_that_is_known(der: bytes) -> None:
    assert ends_at(der.decode("latin-1")) is None


@given(st.data())
def test_no_damage_makes_it_fail(data: st.DataObject) -> None:
    text = AUTHORITY.cert_pem.bytes().decode()
    at = data.draw(st.integers(0, len(text) - 1))
    damaged = f"{text[:at]}{data.draw(st.sampled_from('Aa0/+=-'))}{text[at + 1 :]}"
    assert isinstance(ends_at(damaged), float | None)
