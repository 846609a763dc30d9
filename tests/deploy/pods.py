"""Pods of the chart as processes of this machine: their Secrets laid out in a folder, their arguments as they stand."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from tests.deploy.helm import Manifest, container, secret_files
from tests.processes import Running, serving

FOLDER = "/etc/mms-exporter"
"""Below it, the chart mounts everything."""


def pod(found: Sequence[Manifest], folder: Path, index: int = 0) -> AbstractAsyncContextManager[Running]:
    """Provide the pod with an index, in whose place of `FOLDER` stands `folder`; its port is a free one of loopback."""
    workload = next(each for each in found if each["kind"] in ("Deployment", "StatefulSet"))
    secrets = {each["metadata"]["name"]: secret_files(each) for each in found if each["kind"] == "Secret"}
    mounted_at = {each["name"]: each["mountPath"] for each in container(list(found))["volumeMounts"]}
    for volume in workload["spec"]["template"]["spec"]["volumes"]:
        for name, text in secrets.get(volume["secret"]["secretName"], {}).items():
            file = Path(_moved(f"{mounted_at[volume['name']]}/{name}", folder))
            file.parent.mkdir(exist_ok=True)
            file.write_text(_moved(text, folder), encoding="utf-8")
    words = (_moved(word, folder) for word in container(list(found))["args"])
    return serving(*(word.replace("$(SHARD_INDEX)", str(index)) for word in words))


def _moved(text: str, folder: Path) -> str:
    return text.replace(FOLDER, str(folder))
