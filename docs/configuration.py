"""docs/configuration.md, from the schema, the flags and the examples beside this file."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from exporter.flags import FLAGS
from exporter.schema import json_schema

EXAMPLES = Path(__file__).parent / "examples"

HEAD = """# Configuration

The file named by `--config.file` is YAML; [configuration.schema.json](configuration.schema.json) is its JSON Schema,
which `mms-exporter config schema` prints too. Unknown keys, wrong types and impossible values are all reported at
once, each with its path: `mms-exporter --config.file=FILE --config.check`. Durations are written as in Prometheus:
`90s`, `5m`, `1h30m`. Each secret can stand in a file of its own: `access_key_secret_file` in place of
`access_key_secret`, likewise for the others. A relative name of a file, here as in `ca_file`, counts from the working
directory of the exporter, not from this file's folder as in the [web configuration](web-config.md): give whole paths.

`mms-exporter config show --config.file=FILE` prints what takes effect, with every default and without any secret, fit
for a bug report: `<hidden>` stands in a secret's place, and is not taken for one when it is read. `mms-exporter check
--config.file=FILE` tries it on MMS, see [commands](commands.md#check).

## Reload

`SIGHUP`, `POST /-/reload` with `--web.enable-lifecycle`, and `--config.auto-reload` load the file and all that it
names anew. `--config.auto-reload` compares inode, size and times of the files every `--config.auto-reload-interval`, so
that it sees a link that Kubernetes turns and a secret that is rotated. Accounts whose settings did not change go on
undisturbed, with their figures, connections and pace. One that changes shows what was read of it until it is read anew;
in another region, or at another endpoint, only what is read there.

A change of credentials alone counts as a new key of the same account of Alibaba Cloud: until the first refresh with it,
and where that fails for at most `refresh.stale_after`, what the old key read is shown. Where the new key belongs to
another account of Alibaba Cloud, so do the figures from that refresh on; give it another `name`, so that its series are
not continued.

A file that cannot be used changes nothing: its problems are logged once for each change, and
`mms_exporter_config_last_reload_successful` is 0 until one can. A file that is gone may be about to be replaced: that
counts if it is still gone at the next look. `SIGHUP` and `/-/reload` load the file of `--web.config.file` too, and
apply both or neither; `--config.auto-reload` leaves it alone, since it is [followed anyway](web-config.md#changes).

## Proxies and certificates

An account without a `proxy` of its own has that of the environment, read as Prometheus reads it: `HTTPS_PROXY`, or
`HTTP_PROXY` for an endpoint with plain http, in upper case or lower case; `NO_PROXY` has hosts, domains, addresses
and networks that are asked directly, and loopback always is. A proxy may ask for a username and a password, which no
message shows. `ca_file` names the authorities whose certificates are trusted in place of the system's, for MMS and
for a proxy that is asked over TLS.

```yaml
{proxy}```

Credentials of the types `access_key` and `sts` need nobody but MMS. The others are had by Alibaba Cloud's library,
which goes its own ways: for `ram_role_arn` and `oidc_role_arn` it is given the account's proxy; for anything else it
takes `HTTPS_PROXY` and `HTTP_PROXY` by itself and does not know `NO_PROXY`, so that with `HTTP_PROXY` it asks the
proxy for the role of an ECS instance too: set `HTTPS_PROXY` alone there, or `proxy`. It trusts the authorities that
it brings with it, and without a proxy those of `SSL_CERT_FILE`, but never `ca_file`: behind a proxy that signs for
others, use a key.
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
    lines += ["", "## The command line", "", "A flag outweighs its environment variable.", "", *_flags(), ""]
    return "\n".join(lines)


def sections(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every section with its path, each before those within it."""
    yield path, schema
    for name, each in schema["properties"].items():
        for inner, suffix in _within(each):
            yield from sections(inner, f"{path}.{name}{suffix}" if path else f"{name}{suffix}")


def _within(schema: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the sections that a key may hold."""
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
        commands = ", ".join(flag.commands)
        variable = f"`{flag.variable}`" if flag.variable else ""
        yield f"| `--{flag.name}` | {variable} | {commands} | {default} | {flag.help} |"
