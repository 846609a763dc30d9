"""Invalid response headers never break a response."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.errors import MmsError, NotFound
from exporter.mms.protocol import decode, get_mms_table
from tests.mms.conftest import MakeClient, RecordingObserver, Serve, sample, speaking

SOURCE = 2_000_001
CALL = get_mms_table(SOURCE, 22)
TABLE = sample("GetMmsTable")
NAMES = ("retry-after", "x-acs-retry-after", "x-acs-request-id", "content-type", "date")
TEXTS = st.text() | st.from_regex(r"[ +-]?[0-9\u0660-\u0669_.e]{0,40} ?", fullmatch=True)
ODD_HEADERS = {
    "no date": b"Date: soon",
    "an impossible date": b"Date: Tue, 31 Feb 99999 25:61:61 +9999",
    "an empty date": b"Date:",
    "bytes for a date": b"Date: \xff\xfe",
    "an endless wait": b"Retry-After: " + b"9" * 5000,
    "a wait that was over": b"Retry-After: -1\r\nX-Acs-Retry-After: 1e9",
    "a wait until a date": b"Retry-After: Tue, 17 Dec 2024 15:44:17 GMT",
    "a request id of any length": b"X-Acs-Request-Id: " + b"a" * 5000,
    "no type": b"Content-Type: \xff/;;charset==",
    "another type": b"Content-Type: text/html; charset=utf-16",
    "each twice": b"Date: a\r\nDate: b\r\nRetry-After: 1\r\nRetry-After: 2\r\nContent-Type: a\r\nContent-Type: b",
}


@settings(deadline=None, max_examples=300)
@given(st.dictionaries(st.sampled_from(NAMES), TEXTS), st.sampled_from([200, 302, 400, 429, 503]))
def test_no_response_header_breaks_an_error(headers: dict[str, str], status: int) -> None:
    with pytest.raises(MmsError) as caught:
        decode(CALL, status, headers, b"{}")
    assert caught.value.wait_seconds is None or 0 <= caught.value.wait_seconds < 1e12
    assert re.fullmatch(r"[A-Za-z0-9._-]{0,64}", caught.value.request_id)
    assert str(caught.value).isprintable()


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.sampled_from(NAMES), TEXTS))
def test_no_response_header_breaks_a_valid_response(headers: dict[str, str]) -> None:
    assert decode(CALL, 200, headers, TABLE).value.id == 22


@pytest.mark.parametrize("head", ODD_HEADERS.values(), ids=ODD_HEADERS)
async def test_an_invalid_header_is_ignored(
    serve_raw: Serve, client_on: MakeClient, observer: RecordingObserver, head: bytes
) -> None:
    answer = b"HTTP/1.1 200 OK\r\n%b\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (head, len(TABLE), TABLE)
    refusal = answer.replace(b" 200 OK", b" 404 Not Found")
    assert (await client_on(f"http://{await serve_raw(speaking(answer))}").get_table(SOURCE, 22)).id == 22
    with pytest.raises(NotFound):
        await client_on(f"http://{await serve_raw(speaking(refusal))}").get_table(SOURCE, 22)
    assert observer.reasons == [None, "not_found"]
