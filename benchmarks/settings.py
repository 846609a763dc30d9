"""Options of the simulated worlds, and the configuration of an exporter on them."""

from typing import Any, Final

from exporter.config.loading import Config, config_from
from exporter.simulator import Identity

IDENTITY: Final = Identity("LTAI-EXAMPLE", "not-a-secret")

PLAIN: Final[dict[str, Any]] = {
    "idle_share": 0,
    "stopped_share": 0,
    "special_sources": False,
    "incidents": False,
    "tables": 40,
    "partitions": 3,
}
"""A world of uniform sources."""

HUNDRED_THOUSAND: Final[dict[str, Any]] = {
    **PLAIN,
    "sources": 1000,
    "running_jobs_per_source": 7,
    "finished_jobs_per_source": 3,
}
"""Slightly more than 100,000 series."""


def config(url: str, interval: str = "1h", stale_after: str = "2h") -> Config:
    """Return a configuration without rate limit, with concurrency 8."""
    return config_from(
        {
            "accounts": [
                {
                    "name": "bench",
                    "region": "cn-shanghai",
                    "endpoint": url,
                    "rate_limit": 0,
                    "concurrency": 8,
                    "timeout": "30s",
                    "credentials": {
                        "type": "access_key",
                        "access_key_id": IDENTITY.access_key_id,
                        "access_key_secret": IDENTITY.access_key_secret,
                    },
                }
            ],
            "refresh": {"interval": interval, "stale_after": stale_after},
        }
    )
