"""Fuzzes one target for some seconds: `python -m tests.fuzz.run answer 60`. Ends with an error on a finding.

What it finds worth keeping goes to a folder of its own; the corpus beside this file is read, not written.
"""

import sys
import tempfile
from pathlib import Path

import atheris

CORPUS = Path(__file__).parent / "corpus"

with atheris.instrument_imports(include=["exporter"]):
    from exporter import logs
    from tests.fuzz.targets import TARGETS


def main(name: str, seconds: str) -> None:
    """Fuzz the target of this name."""
    logs.configure("error", "logfmt")
    with tempfile.TemporaryDirectory() as found:
        bounds = [f"-max_total_time={seconds}", "-max_len=4096", "-timeout=10", "-rss_limit_mb=1024"]
        places = [found, str(CORPUS / name), f"-artifact_prefix={found}/"]
        atheris.Setup([sys.argv[0], *bounds, *places], TARGETS[name])
        atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
