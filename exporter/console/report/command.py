"""`report`: the state of a migration for its sign-off, as Markdown, HTML, JSON or CSV."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, tzinfo
from functools import partial
from operator import itemgetter
from typing import Any, Final

import msgspec

from exporter import __version__
from exporter.clock import Clock
from exporter.config.loading import Config
from exporter.console.output.command_report import CommandReport, Field
from exporter.console.output.terminal import OutputStyle
from exporter.console.report.blocks import html, markdown
from exporter.console.report.document import TITLE, document
from exporter.console.report.reading import DATABASE_FIELDS, SourceReader
from exporter.console.report.record import MigrationReport, SourceReport, Unread
from exporter.console.selection.queries import Options, QueryPart, QueryTarget, query_sources

CSV_FIELDS: Final[Sequence[Field[dict[str, Any]]]] = tuple(
    Field(name, meaning, itemgetter(name))
    for name, meaning in (
        ("account", "name of the account in the configuration"),
        ("source_id", "ID of the data source"),
        ("source", "name of the data source"),
        ("read_at", "when reading of the databases began"),
        *((each.name, each.meaning) for each in DATABASE_FIELDS),
    )
)


async def report(config: Config, options: Options, clock: Clock) -> CommandReport[dict[str, Any]]:
    """Return the report of the data sources that `options` select. Raises: ConfigError."""
    started_at = clock.wall()

    async def read(target: QueryTarget) -> QueryPart[SourceReport]:
        return await SourceReader(target, options, clock).report(started_at)

    result = await query_sources(config, options, read)
    record = MigrationReport(
        program=f"mms-exporter {__version__}",
        created_at=datetime.fromtimestamp(int(started_at), _zone(config)).isoformat(),
        is_complete=not result.errors
        and not result.is_nothing_selected
        and not any(found.record.read_in_part for found in result.found),
        sources=[found.record for found in result.found],
        not_read=[
            Unread(f"account {each.account}", each.error.reason, str(each.error), each.error.hint)
            for each in result.errors
            if not each.source
        ],
    )
    return CommandReport(
        fields=CSV_FIELDS,
        empty_text="no databases",
        omitted=result.omitted,
        errors=result.errors,
        warnings=result.warnings,
        has_failures=result.is_nothing_selected,
        rows=[row for each in record.sources for row in _database_rows(each)],
        document=partial(_document, record, options.limit),
    )


def _zone(config: Config) -> tzinfo:
    zones = {account.time_zone for account in config.accounts}
    return zones.pop() if len(zones) == 1 else UTC


def _database_rows(source: SourceReport) -> Iterator[dict[str, Any]]:
    if source.databases is not None:
        names = {"account": source.account, "source_id": source.source_id, "source": source.source}
        for row in source.databases.listed:
            yield {**names, "read_at": source.databases.read_at, **row}


def _document(record: MigrationReport, limit: int, output: str, style: OutputStyle) -> bytes:
    if output == "json":
        return _json(record, is_on_screen=style.width is not None).encode()
    blocks = document(record, limit)
    if output == "html":
        return html(TITLE, blocks).encode()
    return markdown(blocks).encode(style.encoding, "backslashreplace")


def _json(record: MigrationReport, *, is_on_screen: bool) -> str:
    text = json.dumps(msgspec.to_builtins(record), ensure_ascii=is_on_screen, indent=2)
    return text.replace("\x7f", "\\u007f") + "\n"
