"""Generate the README of the Helm chart, with a table of values.yaml and its comments."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from exporter import __version__

ROOT = Path(__file__).parent.parent
CHART = ROOT / "deploy" / "helm" / "mms-exporter"
DASHBOARDS = ROOT / "grafana" / "dashboards"

HEAD = """# Helm chart

This chart installs the exporter as a Deployment, or as a StatefulSet of shards. The pods run as a non-root user with a
read-only root file system, without capabilities and without a service account token. No image is published: build the
[Dockerfile](../../../Dockerfile) with the `appVersion` of the chart as tag, push it to your registry, and set the
repository in your values:

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

`helm template` does not ask a cluster for its version. An old Helm assumes an old Kubernetes and fails, for example
with `incompatible with Kubernetes v1.20.0`. Name the version of your cluster:

```sh
helm template mms-exporter deploy/helm/mms-exporter --values=values.yaml --kube-version=1.28
```

More than 1 shard (`shards`) requires Kubernetes 1.28 or later, which sets the index of each pod.

The number of shards can change with any upgrade. During the upgrade from 1 shard to several or back, Helm replaces the
Deployment by a StatefulSet or the reverse. The Service keeps its address. The shards share `rate_limit` of an account:
with 4 shards, each calls MMS at a quarter of it. In your own Secret (`configSecretName`), divide it yourself.

## An account

With credentials from the default chain (RRSA or the role of the node), set only the name and the region. For RRSA with
ack-pod-identity-webhook, set `rrsa.roleName`; without the webhook, set `rrsa.roleArn` and `rrsa.oidcProviderArn`. For
an access key:

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

A change of `config` restarts the pods. A change in your Secret (`secretName` or `configSecretName`) does not: when
Kubernetes has updated the mounted files, the exporter reloads its configuration (`--config.auto-reload`).

## Prometheus and Grafana

```yaml
monitor: {kind: ServiceMonitor, labels: {release: prometheus}}
prometheusRule: {enabled: true, labels: {release: prometheus}}
dashboards: {enabled: true}
```

Without the Prometheus Operator, use [deploy/prometheus/kubernetes.yml](../../prometheus/kubernetes.yml). It selects the
pods by a label that `nameOverride` changes.

## Network policy

`networkPolicy.enabled` allows egress only to DNS, to HTTPS on port 443 and to the metadata service. For a proxy on
another port, set `networkPolicy.egress`, which replaces these rules:

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

## TLS and basic auth

`web.config` is the content of the [web configuration file](../../../docs/web-config.md). If it has a certificate and a
key, probes and scrapes use HTTPS. If it has users, the chart exempts `/-/healthy` and `/-/ready` from authentication,
unless `auth_excluded_paths` is set. If the web configuration would reject a probe (it requires client certificates,
`auth_excluded_paths` lacks the path of the probe, or it has a `rate_limit`), the probe only opens a TCP connection: a
pod is then ready when the exporter listens. Set `tlsConfig` and `basicAuth` for a monitor.

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

Replace `BCRYPT-HASH` with the [hash of your password](../../../docs/web-config.md#users).

When the certificate in the Secret is renewed, the exporter serves the new one without a restart.

## Compared with other charts

| this chart | prometheus-blackbox-exporter | kube-state-metrics |
|---|---|---|
| `commonLabels` | the same | `customLabels` |
| `podLabels`, `podAnnotations` | `pod.labels`, `podAnnotations` | the same |
| `annotations` (of the workload) | `deploymentAnnotations` | `annotations` |
| `namespaceOverride`, `revisionHistoryLimit` | the same | the same |
| `image.registry`, `imagePullSecrets` | `image.registry`, `image.pullSecrets` | the same |
| `serviceAccount.labels` | none | none |
| `extraEnv`, `extraEnvFrom` | the same | `env`, none |
| `extraVolumes`, `extraVolumeMounts`, `extraContainers` | the same | `volumes`, `volumeMounts`, `containers` |
| `extraManifests` | the same | the same |
| `hostAliases`, `dnsPolicy`, `dnsConfig` | the same | none, `dnsPolicy`, `dnsConfig` |
| `service.ipFamilyPolicy`, `service.ipFamilies` | `service.ipDualStack` | `service.ipDualStack` |
| `topologySpreadConstraints` with the selector of the chart | without | without |
| `monitor.kind`: ServiceMonitor or PodMonitor | `serviceMonitor.selfMonitor.enabled` | `prometheus.monitor.enabled` |
| `monitor.relabelings` | `additionalRelabeling` | `relabelings` |
| `monitor.metricRelabelings` | `additionalMetricsRelabels` | `metricRelabelings` |
| `monitor.sampleLimit`, `monitor.honorLabels`, `monitor.annotations` | none | the same |
| `prometheusRule` | the same | none |
| `dashboards` | none | none |
| `networkPolicy`, `podDisruptionBudget` | the same | the same |
| `shards` | none | `autosharding` |
| none; use `extraManifests` | `ingress`, `route`, `verticalPodAutoscaler` | `verticalPodAutoscaler` |

As a dependency of a parent chart, the chart accepts `condition: mms-exporter.enabled` and `global`, which it ignores.

## Values

| value | default | meaning |
|---|---|---|
"""


def values_readme() -> str:
    """Return the README."""
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    comments = dict(_comments(text))
    lines = [
        f"| `{path}` | {_cell(f'`{json.dumps(value)}`')} | {_cell(comments.get(path, ''))} |"
        for path, value in _leaves(yaml.safe_load(text), "", set(comments))
    ]
    return HEAD.replace("VERSION", __version__) + "\n".join(lines) + "\n"


def chart_files() -> dict[str, str]:
    """Return the rules and dashboards that the chart carries, by path in the chart."""
    sources = {"rules": (ROOT / "deploy" / "prometheus" / "rules", "*.yaml"), "dashboards": (DASHBOARDS, "*.json")}
    return {
        f"files/{folder}/{file.name}": file.read_text(encoding="utf-8")
        for folder, (source, pattern) in sources.items()
        for file in sorted(source.glob(pattern))
    }


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _leaves(values: dict[str, Any], prefix: str, documented: set[str]) -> Iterator[tuple[str, Any]]:
    # A mapping with its own comment counts as one value.
    for key, value in values.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict) and value and path not in documented:
            yield from _leaves(value, f"{path}.", documented)
        else:
            yield path, value


def _comments(text: str) -> Iterator[tuple[str, str]]:
    # Yields path and comment of every key with a comment directly above.
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
