"""A Kubernetes for what Helm asks one before it does anything."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.deploy.helm import KUBERNETES


def kinds(version: str, *names: str) -> dict[str, Any]:
    """Return how Kubernetes says what kinds of objects a version of its API has."""
    resources = [{"name": f"{name.lower()}s", "kind": name, "namespaced": True, "verbs": ["get"]} for name in names]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}


def group(name: str) -> dict[str, Any]:
    """Return how Kubernetes says which versions a group of its API has: the first."""
    version = {"groupVersion": f"{name}/v1", "version": "v1"}
    return {"name": name, "versions": [version], "preferredVersion": version}


GROUPS = {"apps": ("Deployment",), "networking.k8s.io": ("NetworkPolicy",)}
ANSWERS: dict[str, Any] = {
    "/version": {"major": "1", "minor": "33", "gitVersion": f"v{KUBERNETES}"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/api/v1": kinds("v1", "Secret", "Service", "ServiceAccount", "Pod"),
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group(name) for name in GROUPS]},
    **{f"/apis/{name}/v1": kinds(f"{name}/v1", *each) for name, each in GROUPS.items()},
    "/api/v1/namespaces/mms/secrets": {"kind": "SecretList", "apiVersion": "v1", "items": []},
}


@pytest.fixture
async def cluster() -> AsyncIterator[str]:
    """Provide the URL of a Kubernetes that says what kinds of objects it has, and has none."""

    async def answer(request: web.Request) -> web.Response:
        missing = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
        return web.json_response(ANSWERS.get(request.path, missing), status=200 if request.path in ANSWERS else 404)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")
