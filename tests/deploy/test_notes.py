"""What Helm tells who installed the chart."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.deploy.helm import CHART, helm

POLICY = "--set=networkPolicy.enabled=true"
OWN_EGRESS = '--set-json=networkPolicy.egress=[{"ports": [{"port": 3128}]}]'
BY_ENVIRONMENT = "--set=extraEnv[0].name=https_proxy,extraEnv[0].value=http://p:3128"


def on(**keys: object) -> str:
    """Return the word that sets the only account."""
    return f"--set-json=config.accounts={json.dumps([{'name': 'a', 'region': 'cn-shanghai', **keys}])}"


@pytest.mark.parametrize(
    ("words", "who"),
    [
        ([POLICY], ""),
        ([on(proxy={"url": "http://p:3128"})], ""),
        ([POLICY, on(proxy={"url": "http://p:3128"})], "the proxy of account a"),
        ([POLICY, on(proxy={"url": "http://p"})], "the proxy of account a"),
        ([POLICY, on(proxy={"url": "https://p"})], ""),
        ([POLICY, on(proxy=None, endpoint="https://mms.example:8443/mms")], "the endpoint of account a"),
        ([POLICY, on(endpoint="https://mms.example")], ""),
        ([POLICY, on(proxy={"url": "http://p:3128"}), OWN_EGRESS], ""),
        ([POLICY, "--set=configSecretName=mine,config=null"], ""),
        ([POLICY, BY_ENVIRONMENT], "https_proxy"),
    ],
)
async def test_who_is_kept_in_by_the_network_policy_is_named(
    cluster: str, tmp_path: Path, words: list[str], who: str
) -> None:
    dry = ["--namespace=mms", "--dry-run=client", "--disable-openapi-validation", f"--kube-apiserver={cluster}"]
    cache = f"--repository-cache={tmp_path}"
    notes = (await asyncio.to_thread(helm, "install", "release", CHART, *dry, cache, *words)).partition("NOTES:")[2]
    assert "mms_up is 1" in notes
    _, kept, named = notes.partition("only to port 443, but these use another port: ")
    assert named.partition(".")[0] == who
    assert bool(kept) is bool(who)
