"""Certificates for tests of the running exporter."""

from pathlib import Path

import pytest

from tests.web.http_fixture import Certificates, certificates_in


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """Provide certificates in the folder of the test."""
    return certificates_in(tmp_path)
