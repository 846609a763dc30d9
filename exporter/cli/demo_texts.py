"""What `demo` and `simulate` print and write: configuration files, the story, and commands that work as printed."""

import shlex
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from exporter.cli.program import installed_folder, program
from exporter.simulator import Identity

STORY_SOURCES: Final = 4
"""Data sources of which the story tells."""
STORY: Final = (
    (0, "Four data sources start to migrate; progress rises from 0 %."),
    (
        3,
        "Many partitions of hive-finance-004 fail; a retry at minute 8 migrates them. Some of hive-sales-001 fail too.",
    ),
    (4, "The agent of bigquery-sales-002 is offline until minute 11; maxcompute-sales-003 stalls from 10 to 13."),
    (
        13,
        "The second wave starts. At minute 20 all is migrated, except what failed in hive-sales-001, if not retried.",
    ),
)
"""What happens in which minute."""
_RETRY: Final = "retry it: `mms-exporter retry --source=hive-sales-001 --failed`"


class Act(NamedTuple):
    """An act of the story."""

    minute: int
    text: str
    view: str
    """What to look at."""
    alert: str = ""
    """What the alerts do. Rules count real time, so this holds only at speed 1."""

    def line(self, speed: float) -> str:
        """Return what is printed when the act begins."""
        alert = f" {self.alert}" if self.alert and speed == 1 else ""
        return f"Minute {self.minute}: {self.text} Look at {self.view}.{alert}"


ACTS: Final = (
    Act(0, "each data source gets a job, the first wave.", "the progress on the status page"),
    Act(
        3,
        "most of what hive-finance-004 migrates now fails, and some of hive-sales-001.",
        "`mms-exporter failed --source=hive-finance-004`",
        "MmsFailureBurst fires from about minute 5.",
    ),
    Act(
        4,
        "the agent of bigquery-sales-002 goes offline.",
        "`mms-exporter sources`",
        "MmsAgentOffline fires from about minute 9.",
    ),
    Act(
        8,
        "the failures of hive-finance-004 are retried.",
        "`mms-exporter jobs --source=hive-finance-004`",
        "Its MmsJobFailed resolves at about minute 9.",
    ),
    Act(
        10,
        "maxcompute-sales-003 stalls: its tables stay DOING.",
        "`mms-exporter jobs --source=maxcompute-sales-003`",
        "An alert would fire after 2 hours.",
    ),
    Act(
        11,
        "the agent of bigquery-sales-002 is online again, and its jobs continue.",
        "`mms-exporter jobs --source=bigquery-sales-002`",
    ),
    Act(13, "maxcompute-sales-003 continues, and the second wave starts.", "the progress on the status page"),
    Act(
        20,
        "all jobs have ended.",
        f"`mms-exporter failed --source=hive-sales-001` and, unless you have done so already, {_RETRY}",
    ),
)
_REPOSITORY: Final = Path(__file__).parents[2]
_LOOPBACK: Final = "--web.listen-address=127.0.0.1:9090"
_RULES: Final = _REPOSITORY / "deploy" / "prometheus" / "rules"


class Addresses(NamedTuple):
    """Where the demo listens."""

    url: str
    telemetry_path: str
    simulator_url: str
    prometheus: str = ""
    """Empty if this demo starts none."""
    alertmanager: str = ""


class DemoFiles(NamedTuple):
    """The files that the demo writes for other programs."""

    config: Path
    """For the commands of this program."""
    prometheus: Path | None
    """None if a Prometheus runs already."""


def configuration(url: str, identity: Identity) -> dict[str, Any]:
    """Return the exporter's configuration for the simulated MMS."""
    credentials = {
        "type": "access_key",
        "access_key_id": identity.access_key_id,
        "access_key_secret": identity.access_key_secret,
    }
    account = {"name": "demo", "region": "cn-shanghai", "endpoint": url, "rate_limit": 0, "credentials": credentials}
    return {
        "accounts": [account],
        "refresh": {"interval": "5s", "stale_after": "1m"},
        "jobs": {"linger": "2m", "idle_interval": "1m"},
        "failures": {"max_per_source": 100},  # more than fail in the story
        "timers": {"interval": "1m"},
    }


def prometheus(metrics_url: str) -> str:
    """Return a configuration of Prometheus that scrapes the demo; in a checkout, with all rules."""
    parts = urlsplit(metrics_url)
    rules = f'rule_files: ["{_RULES}/mms-*.yaml"]\n' if _RULES.is_dir() else ""
    return f"""\
global: {{scrape_interval: 5s, evaluation_interval: 15s}}
{rules}scrape_configs:
  - job_name: mms-exporter
    metrics_path: {parts.path}
    static_configs: [{{targets: ["{parts.netloc}"]}}]
"""


def introduction(scenario: str, sources: int, speed: float) -> str:
    """Return what is simulated."""
    if scenario != "story":
        return f"\nA simulated migration of {sources} data sources runs without an end."
    if sources != STORY_SOURCES:
        return f"\nA simulated migration with {sources} data sources starts now and takes 20 minutes."
    pace = "" if speed == 1 else f", {speed:g} times as fast"
    lines = (f"  minute {minute:2}  {text}" for minute, text in STORY)
    return "\n".join((f"\nA simulated migration starts now and takes 20 minutes{pace}:\n", *lines))


def hint(addresses: Addresses, files: DemoFiles | None) -> str:
    """Return the addresses of the demo and commands to try."""
    servers = f"""
  Prometheus     {addresses.prometheus}
  Alertmanager   {addresses.alertmanager}"""
    return f"""
  Metrics        {addresses.url}{addresses.telemetry_path}
  Status page    {addresses.url}/
  Simulated MMS  {addresses.simulator_url}{servers if addresses.prometheus else ""}
{_commands(files) if files else ""}
Press Ctrl-C to stop the demo{" and to remove these files" if files else ""}.
"""


def _commands(files: DemoFiles) -> str:
    folder = installed_folder()
    command = program(_REPOSITORY) if folder is None else "mms-exporter"
    setup = f"cd {shlex.quote(str(_REPOSITORY))}" if folder is None else f"export PATH={shlex.quote(str(folder))}:$PATH"
    others = "" if folder is None else "; those of alerts and runbooks work likewise"
    return f"""
Commands to try in another terminal while the demo runs{others}:

  {setup}
  export MMS_EXPORTER_CONFIG_FILE={files.config}
  export XDG_STATE_HOME={files.config.parent}
  {command} sources
  {command} jobs
  {command} failed --source=hive-sales-001
  {command} retry --source=hive-sales-001 --failed
{_prometheus_command(files.prometheus) if files.prometheus else ""}"""


def _prometheus_command(file: Path) -> str:
    rules = " with the recording rules and alerts" if _RULES.is_dir() else ""
    return f"""
To start a Prometheus{rules}:

  prometheus --config.file={file} --storage.tsdb.path={file.parent / "prometheus"} {_LOOPBACK}
"""


def simulating(url: str) -> str:
    """Return what `simulate` prints beside the configuration."""
    return f"""\
The simulated MMS listens on {url}. Standard output has its configuration.
Before `retry`, give it a new folder for its journals: `export XDG_STATE_HOME=$(mktemp -d)`"""


def free_ports_command() -> str:
    """Return a command that starts the demo on free ports."""
    return f"{program(_REPOSITORY)} demo --web.listen-address=127.0.0.1:0 --simulator.listen-address=127.0.0.1:0"
