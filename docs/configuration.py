"""Generate docs/configuration.md from the schema, the flags and the examples."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from exporter.cli.commands import COMMANDS, FLAGS
from exporter.config.json_schema import json_schema

EXAMPLES = Path(__file__).parent / "examples"

HEAD = """# Configuration

`--config.file` names a YAML file. Its JSON Schema is [configuration.schema.json](configuration.schema.json);
`mms-exporter config schema` prints it too. The exporter reports all unknown keys, wrong types and invalid values at
once, each with file, line and key: `mms-exporter --config.file=FILE --config.check`.

- Durations use the Prometheus notation: `90s`, `5m`, `1h30m`.
- Each secret can be in a separate file: use `access_key_secret_file` instead of `access_key_secret`, and so on.
- Relative file names, here and in `ca_file`, start at the working directory of the exporter. In the
  [web configuration](web-config.md), they start at the directory of that file. Use absolute paths.

`mms-exporter config show --config.file=FILE` prints the effective configuration with all defaults and without secrets,
for example for a bug report. Secrets are printed as `<hidden>`; the exporter rejects `<hidden>` as a secret.
`mms-exporter check --config.file=FILE` tests the configuration against MMS, see [commands](commands.md#check).

## Reload

`SIGHUP`, `POST /-/reload` (with `--web.enable-lifecycle`) and `--config.auto-reload` reload the file and all files that
it names. `--config.auto-reload` compares inode, size and times of the files every `--config.auto-reload-interval`, so
it detects a changed symbolic link of a Kubernetes volume and a rotated secret.

Accounts with unchanged settings keep their data, connections and schedule. A changed account keeps its last values
until the next refresh. If its region or endpoint changed, its old values are removed.

If only the credentials changed, the exporter assumes the same Alibaba Cloud account: the old values stay until the
first refresh with the new credentials, or, if that refresh fails, for at most `refresh.stale_after`. If the new
credentials belong to another Alibaba Cloud account, change the `name` too; otherwise the values of the new account
continue the series of the old one.

An invalid file changes nothing: the exporter logs its problems once per change, and
`mms_exporter_config_last_reload_successful` is 0 until a reload succeeds. `--config.auto-reload` treats a missing file
as an error only if it is still missing at the next check. `SIGHUP` and `/-/reload` also reload the file of
`--web.config.file`, and apply both files or neither; `--config.auto-reload` does not, because the web configuration
[reloads by itself](web-config.md#changes).

## Proxies and certificates

An account without `proxy` uses the proxy from the environment, with the rules of Prometheus: `HTTPS_PROXY`, or
`HTTP_PROXY` for a plain http endpoint, in upper case or lower case. `NO_PROXY` lists hosts, domains, addresses and
networks without proxy; loopback never uses a proxy. A proxy can require a username and a password; no message contains
them. `ca_file` lists the CA certificates that replace those of the system, for MMS and for a proxy with TLS.

```yaml
{proxy}```

The credential types `access_key` and `sts` need no other service. For the other types, the Alibaba Cloud library
fetches the credentials, with its own network settings:

- For `ram_role_arn` and `oidc_role_arn`, it uses the proxy of the account.
- For other types, it uses `HTTPS_PROXY` and `HTTP_PROXY` and ignores `NO_PROXY`. With `HTTP_PROXY`, it even
  requests the role of an ECS instance through the proxy: set only `HTTPS_PROXY`, or use the key `proxy`.
- It trusts its own CA certificates, and without a proxy those in `SSL_CERT_FILE`, but never `ca_file`. Behind a proxy
  that intercepts TLS, use an access key.
"""

KINDS = {
    "string": "text",
    "object": "section",
    "array": "list",
    "integer": "whole number",
    "number": "number",
    "boolean": "`true`, `false`",
}


def configuration() -> str:
    """Return the document."""
    lines = [HEAD.format(proxy=(EXAMPLES / "proxy.yaml").read_text(encoding="utf-8"))]
    for path, schema in sections(json_schema(), ""):
        lines += [*_heading(path, schema), "", *_table(schema)]
    lines += ["", "## The command line", "", "A flag overrides its environment variable.", "", *_flags(), ""]
    return "\n".join(lines)


def sections(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every section with its path, parents first."""
    yield path, schema
    for name, each in schema["properties"].items():
        for inner, suffix in _within(each):
            yield from sections(inner, f"{path}.{name}{suffix}" if path else f"{name}{suffix}")


def _within(schema: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    if schema.get("type") == "array":
        yield from ((inner, "[]") for inner, _ in _within(schema["items"]))
    elif "properties" in schema:
        yield schema, ""
    else:
        yield from (each for variant in schema.get("anyOf", ()) for each in _within(variant))


def _heading(path: str, schema: dict[str, Any]) -> Iterator[str]:
    kind = schema["properties"].get("type", {}).get("const")
    yield "## The file" if not path else f"### `{path}`" + (f", `type: {kind}`" if kind else "")
    yield f"\n{schema['description']}"
    if kind:
        yield f"\n```yaml\n{(EXAMPLES / 'credentials' / f'{kind}.yaml').read_text(encoding='utf-8')}```"


def _table(schema: dict[str, Any]) -> Iterator[str]:
    required = schema.get("required", ())
    either = {name for each in schema.get("allOf", ()) for way in each.get("oneOf", ()) for name in way["required"]}
    shown = {name: each for name, each in schema["properties"].items() if "const" not in each}
    if shown:
        yield "| key | type | default | meaning |\n|---|---|---|---|"
    for name, each in shown.items():
        default = f"`{json.dumps(each['default'])}`" if "default" in each else ""
        default = "required" if name in required else "one is required" if name in either else default
        meaning = each.get("description", "").replace("\n", " ")
        yield f"| `{name}` | {_kind(each)} | {default} | {meaning} |"
    if shown:
        yield ""


def _kind(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        kinds = {_kind(each) for each in schema["anyOf"] if each.get("type") != "null"}
        return kinds.pop() if len(kinds) == 1 else "one of these"
    if schema.get("pattern", "").startswith("^(?=.)"):
        return "duration"
    return KINDS[str(schema["type"])]


def _flags() -> Iterator[str]:
    yield "| flag | environment variable | commands | default | meaning |\n|---|---|---|---|---|"
    for flag in FLAGS:
        default = "" if flag.default is None or flag.is_switch else f"`{flag.default}`"
        commands = ", ".join(name for name, command in COMMANDS.items() if flag in command.flags)
        variable = f"`{flag.variable}`" if flag.variable else ""
        yield f"| `--{flag.name}` | {variable} | {commands} | {default} | {flag.help} |"
