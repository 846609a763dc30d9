"""The README of the Helm chart: a head, and a table of the values made from their file and its comments."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from exporter import __version__

CHART = Path(__file__).parent.parent / "deploy" / "helm" / "mms-exporter"

HEAD = """# Helm chart

A Deployment of the exporter, or a StatefulSet of shards, hardened: not root, a read-only root, no privilege, no token
of the cluster. No image is published: build the [Dockerfile](../../../Dockerfile), under the chart's `appVersion`, push
it to a registry of yours, and name it in your values:

```sh
docker build --tag registry.example/mms-exporter:VERSION .
docker push registry.example/mms-exporter:VERSION
```

```yaml
image: {repository: registry.example/mms-exporter}
```

```sh
helm install mms-exporter deploy/helm/mms-exporter --namespace=mms --create-namespace --values=values.yaml
helm test mms-exporter --namespace=mms
```

Shards (`shards` above 1) need Kubernetes 1.28 or later, which numbers their pods; where Helm renders without a cluster,
`--kube-version` says which.

`helm package deploy/helm/mms-exporter` puts rules and dashboards into the package, which stand elsewhere in the
repository; that is what Helm says of symbolic links.

## An account

Where the default credential chain finds credentials (RRSA, the role of the node), a name and a region are enough. RRSA
with ack-pod-identity-webhook takes `rrsa.roleName`; without it, `rrsa.roleArn` and `rrsa.oidcProviderArn`. For an
access key:

```sh
kubectl create secret generic mms-access-key --namespace=mms --from-file=access_key_secret
helm upgrade mms-exporter deploy/helm/mms-exporter --namespace=mms --values=values.yaml
```

```yaml
secretName: mms-access-key
config:
  accounts:
    - name: prod-shanghai
      region: cn-shanghai
      credentials:
        type: access_key
        access_key_id: LTAI-EXAMPLE
        access_key_secret_file: /etc/mms-exporter/secrets/access_key_secret
```

A changed `config` makes new pods. Of a Secret of yours, `secretName` or `configSecretName`, Helm sees no change: the
exporter does, once Kubernetes has brought it to the pod, and reads the configuration anew (`--config.auto-reload`).

## Prometheus and Grafana

```yaml
monitor: {kind: ServiceMonitor, labels: {release: prometheus}}
prometheusRule: {enabled: true, labels: {release: prometheus}}
dashboards: {enabled: true}
```

Without the operator, [deploy/prometheus/kubernetes.yml](../../prometheus/kubernetes.yml) finds the pods, by a label
that `nameOverride` changes.

## A network policy

`networkPolicy.enabled` lets out DNS, HTTPS on port 443 and the metadata service, and nothing else. A proxy on another
port, which is most of them, has to be let out by `networkPolicy.egress`, which stands in place of all that:

```yaml
networkPolicy:
  enabled: true
  egress:
    - ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
    - to: [{ipBlock: {cidr: 192.0.2.10/32}}]
      ports: [{port: 3128, protocol: TCP}]
config:
  accounts:
    - name: prod-shanghai
      region: cn-shanghai
      proxy: {url: "http://192.0.2.10:3128"}
```

## TLS and users

`web.config` is the file of `--web.config.file` ([its keys](../../../docs/web-config.md)). With a certificate and its
key in it, probes and scrapes ask by HTTPS. With users, the chart excepts `/-/healthy` and `/-/ready` from passwords,
unless `auth_excluded_paths` is set. Where a probe would be turned away (client certificates are required,
`auth_excluded_paths` lacks its path, there is a `rate_limit`, which others can use up) it only opens a connection:
readiness is then that the exporter listens. A monitor has to be told whom to trust and who it is: `tlsConfig`,
`basicAuth`.

```yaml
monitor:
  kind: ServiceMonitor
  tlsConfig: {ca: {secret: {name: mms-exporter-tls, key: ca.crt}}, serverName: mms-exporter}
  basicAuth: {username: {name: mms-scrape, key: username}, password: {name: mms-scrape, key: password}}
web:
  tlsSecretName: mms-exporter-tls
  config:
    tls_server_config:
      cert_file: /etc/mms-exporter/tls/tls.crt
      key_file: /etc/mms-exporter/tls/tls.key
    basic_auth_users:
      prometheus: BCRYPT-HASH
```

`BCRYPT-HASH` stands for that of a password of your own: [how it is made](../../../docs/web-config.md#users).

A certificate that is renewed in its Secret is served without a restart.

## Values

| value | default | meaning |
|---|---|---|
"""


def values_readme() -> str:
    """Return the README."""
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    meanings = dict(_meanings(text))
    lines = [
        f"| `{path}` | {_cell(f'`{json.dumps(value)}`')} | {_cell(meanings.get(path, ''))} |"
        for path, value in _leaves(yaml.safe_load(text), "", set(meanings))
    ]
    return HEAD.replace("VERSION", __version__) + "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _leaves(values: dict[str, Any], prefix: str, explained: set[str]) -> Iterator[tuple[str, Any]]:
    """Yield path and default of every value; a mapping with a comment of its own is one, and is not taken apart."""
    for key, value in values.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict) and value and path not in explained:
            yield from _leaves(value, f"{path}.", explained)
        else:
            yield path, value


def _meanings(text: str) -> Iterator[tuple[str, str]]:
    """Yield path and comment of every key right above which a comment stands."""
    parents: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in text.splitlines():
        if found := re.match(r" *# ?(.*)", line):
            comment.append(found[1])
        elif found := re.match(r"( *)([\w.-]+):", line):
            indent, key = len(found[1]), found[2]
            parents = [each for each in parents if each[0] < indent] + [(indent, key)]
            if comment:
                yield ".".join(name for _, name in parents), " ".join(comment)
            comment = []
        else:
            comment = []
