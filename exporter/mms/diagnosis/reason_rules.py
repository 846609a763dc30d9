"""Map the message of a failed task to a reason. Pure.

Error codes are compared first, then phrases in text without names. The first rule that matches applies, so a phrase
that names the cause stands before one that wraps any cause.
"""

import re
from enum import StrEnum
from typing import Final, NamedTuple

from exporter.mms.diagnosis.message_text import excerpt
from exporter.mms.diagnosis.name_removal import CODE, without_names


class Reason(StrEnum):
    """Why a task failed; the value of the label `reason`."""

    PERMISSION = "permission"
    QUOTA = "quota"
    NETWORK = "network"
    TIMEOUT = "timeout"
    SOURCE_MISSING = "source_missing"
    DESTINATION_CONFLICT = "destination_conflict"
    SCHEMA_UNSUPPORTED = "schema_unsupported"
    DATA_FORMAT = "data_format"
    VERIFICATION_MISMATCH = "verification_mismatch"
    RESOURCE = "resource"
    THROTTLED = "throttled"
    INTERNAL = "internal"
    UNKNOWN = "unknown"


class Rule(NamedTuple):
    """Phrases with the same cause."""

    reason: Reason
    phrases: tuple[str, ...]
    """In lower case: each is contained in a message, or is one of its error codes."""
    patterns: tuple[re.Pattern[str], ...]
    """Regular expressions on lower case; gaps are bounded and within one line."""
    evidence: str
    """Where the phrases come from.

    A vendor page is one below https://www.alibabacloud.com/help/en/maxcompute/user-guide/.
    """
    hint: str
    """What to do, in one sentence."""

    def matches(self, text: str) -> bool:
        """Return whether lower-case text has one of the phrases."""
        return any(phrase in text for phrase in self.phrases) or any(each.search(text) for each in self.patterns)


def _rule(reason: Reason, phrases: str, *, evidence: str, hint: str, patterns: tuple[str, ...] = ()) -> Rule:
    separated = tuple(" ".join(phrase.split()) for phrase in phrases.split("|"))
    return Rule(reason, separated, tuple(re.compile(each) for each in patterns), evidence, hint)


_VENDOR: Final = "vendor page "
_ANCESTOR: Final = "the source of aliyun/alibabacloud-maxcompute-tool-migrate"

RULES: Final = (
    _rule(
        Reason.VERIFICATION_MISMATCH,
        """
        verificationfailed | not equal! | 校验失败 | 校验不通过 | 行数不一致
        """,
        patterns=(
            r"\bcount: \d{1,20}, \w{1,64} count: \d",
            r"verification failed[^\n]{0,120}(?:count|rows|differ|mismatch)",
            r"row count[^\n]{0,120}(?:differ|mismatch|not match|not equal)",
        ),
        evidence=f"{_ANCESTOR}: VerificationAction",
        hint="Compare the row counts of both sides; migrate the partition again after its source stopped changing.",
    ),
    _rule(
        Reason.THROTTLED,
        """
        flowexceeded | throttling | throttled | flow control | toomanyrequests | too many requests | ratelimitexceeded
        | rate limit | rate exceeded | error code: slowdown | reduce your request rate | 限流 | 流控
        """,
        patterns=(r"quota metric '[^'\n]{0,80}(?:requests|queries)",),
        evidence=f"{_VENDOR}common-tunnel-errors; Throttling.* of Alibaba Cloud; errors of BigQuery and S3",
        hint="Lower the number of tasks that run at the same time, then retry.",
    ),
    _rule(
        Reason.QUOTA,
        """
        slotexceeded | slot quota | quota_plan_not_found | quotaexceeded | quota exceeded | exceeded quota |
        storage quota | maximum 60000 partitions | output data to more than | too many dynamic partitions |
        odps-0123031: too many | 配额
        """,
        patterns=(r"quota of [^\n]{0,300} is exceeded", r"number of [^\n]{0,80}exceeds the (?:limit|maximum)"),
        evidence=f"{_VENDOR}odps-0123031, {_VENDOR}common-errors; errors of HDFS and BigQuery",
        hint="Raise the limit that the message names, or move less at a time.",
    ),
    _rule(
        Reason.PERMISSION,
        """
        odps-0130013 | odps-0110011 | odps-0120011 | odps-0420095 | odps-0410001 | odps-0410011 | odps-0410021 |
        odps-0410042 | odps-0410051 | access denied | accessdenied | nopermission | no permission | permission denied
        | permission_denied | permissiondenied | insufficient_permissions | insufficient privileges | no privilege |
        no valid privileges | don't exist in project | not authorized to | unauthorized | unauthenticated | forbidden
        | accesscontrolexception | authorization exception | authentication is not enabled | gss initiate failed |
        no valid credentials | signaturedoesnotmatch | invalidaccesskeyid | invalidsecuritytoken | expiredtoken |
        token has expired | invalid credentials | username or password | belong to role |
        response code: 403 | status code: 403 | 没有权限 | 无权限 | 权限不足 | 未授权
        """,
        patterns=(
            r"do(?:es)? not have [^\n]{0,120}(?:privilege|permission|access)",
            r"\b(?:user|project|role|account)\b[^\n]{0,80} is not allowed to",
            r"\b(?:jwt|access|security|session|oauth|bearer|auth|authentication) token is invalid",
        ),
        evidence=f"{_VENDOR}odps-0130013, {_VENDOR}odps-0420095, {_VENDOR}api-errors; errors of Hive, HDFS, S3",
        hint="Grant the identity of the data source the privilege that the message names, then retry.",
    ),
    _rule(
        Reason.RESOURCE,
        """
        outofmemory | total size of serialized results | kryo serialization failed: buffer overflow | code 52, oom |
        small table exceeds | out of memory | java heap space | gc overhead limit | exceeding memory limits |
        memory limit | allotted memory | cannot allocate memory | alloc too large size |
        unable to create new native thread | exit status: 137 | exit code 137 | exit code 143 | exit status: 143 |
        has not accepted any resources | no space left on device | allornothingresourcewaittimeout | resource revoke |
        resources exceeded | 内存不足 | 资源不足 | 磁盘空间不足
        """,
        evidence=f"{_VENDOR}common-errors, {_VENDOR}odps-0010000-1; Java, Spark and YARN errors",
        hint="Give the tasks more memory or compute units, or migrate fewer partitions per task.",
    ),
    _rule(
        Reason.NETWORK,
        """
        connection refused | connection reset | connection timed out | connect timed out | connecttimeoutexception |
        connectexception | unknownhostexception | name or service not known | no route to host |
        network is unreachable | broken pipe | sslhandshakeexception | pkix path building failed | ttransportexception
        | could not connect | unable to establish connection | unable to execute http request | communication error |
        failed to connect | failed to create download session with tunnel endpoint | communications link failure |
        communication link failure | blockmissingexception | failed to respond | remote host terminated |
        remote host closed | failed on local exception | last packet successfully received |
        error writing request body to server | failed on connection exception | statusruntimeexception: unavailable |
        无法连接 | 连接失败 | 连接数据库失败 | 网络环境 | 连接被拒绝 | 网络不通
        """,
        evidence=f"{_VENDOR}common-tunnel-errors-1; Java, Thrift, HDFS and gRPC errors",
        hint="Test the address in the message from the network of the data source: network link, port, firewall, DNS.",
    ),
    _rule(
        Reason.TIMEOUT,
        """
        timed out | timeout | exceed live limit | session is expired | session expired | request expired |
        deadline_exceeded | deadline exceeded | time limit | greater than max wait | 超时
        """,
        evidence=f"{_VENDOR}odps-0123144, {_VENDOR}common-tunnel-errors-1; Java, Spark and gRPC errors",
        hint="Retry; if it repeats, migrate less per task or raise the timeout that the message names.",
    ),
    _rule(
        Reason.DESTINATION_CONFLICT,
        """
        odps-0110041 | odps-0110141 | alreadyexistsexception | already exists | dataversionconflict |
        dataunderreplication | under replication | tablemodified | been modified since | data changed while |
        statusconflict | blocks not match | lock conflict | concurrent update | concurrentmodification |
        simplelock conflict | running or ready to run | column count mismatch | 已存在
        """,
        evidence=f"{_VENDOR}sql-errors, {_VENDOR}common-tunnel-errors; {_ANCESTOR}: JobProxy",
        hint="Let no other job write to the destination table, compare its columns with the source, then retry.",
    ),
    _rule(
        Reason.SOURCE_MISSING,
        """
        odps-0130131 | odps-0420111 | nosuchpartition | nosuchtable | nosuchproject | nosuchobjectexception |
        nosuchkey | project_not_found | object_not_exist | table not found | partition not found |
        filenotfoundexception | does not exist | are not existed | path_does_not_exist | files have been updated |
        refresh table | table_or_view_not_found | 不存在
        """,
        patterns=(
            r"not found: (?:table|dataset|project|database)",
            r"(?:table|view|database|dataset|schema|project|partition)\b[^\n]{0,160}not found",
        ),
        evidence=f"{_VENDOR}error-code-overview, {_VENDOR}common-tunnel-errors-1; errors of Hive, HDFS, S3",
        hint="Scan the metadata of the source again; if the object is gone or renamed, drop it from the scope.",
    ),
    _rule(
        Reason.DATA_FORMAT,
        """
        odps-0121035 | odps-0121095 | odps-0130141 | odps-0020041 | stringoutofmaxlength | malformed |
        invalid literal for | error parsing json | corrupt | invalidpartitionspec | invalid dynamic partition value |
        not a parquet file | parquet column cannot be converted | invalid postscript | fileformatexception |
        numberformatexception | datetimeparseexception | could not be parsed | classcastexception | cannot be cast |
        out_of_range | out of range | exceeds max precision | jsonparseexception | plainvaluesdictionary |
        格式错误 | 脏数据 | 类型转换
        """,
        evidence=f"{_VENDOR}sql-errors, {_VENDOR}odps-0123031, {_VENDOR}common-tunnel-errors; errors of Parquet",
        hint="Look at the value or file that the message names; repair it at the source or map the column to STRING.",
    ),
    _rule(
        Reason.SCHEMA_UNSUPPORTED,
        """
        schemaadaptererror | odps-0130071 | odps-0130151 | odps-0130161 | not supported | doesn't support |
        does not support | is not enabled in current mode | invalidcolumnspec | methodnotallowed |
        unable to infer schema | invalid field name | non_support_data_type | odps-0422161 | 不支持
        """,
        patterns=(r"unsupported [^\n]{0,40}(?:type|format|feature|column|schema)",),
        evidence=f"{_VENDOR}odps-0130071, {_VENDOR}sql-errors; {_ANCESTOR}: the schema adapters",
        hint="Change the column or table at the source, map the column to a supported type, or leave the table out.",
    ),
    _rule(
        Reason.INTERNAL,
        """
        odps-0010000 | odps-0110999 | odps-0120005 | odps-0123131 | odps-0123144 | internalservererror |
        internal server error | internal error | internal_error | datastoreerror | nullpointerexception |
        illegalstateexception | unbalanced calls | class is not registered | noclassdeffounderror |
        classnotfoundexception | backenderror | unsupported task status | 内部错误 | 系统错误
        """,
        evidence=f"{_VENDOR}common-errors, {_VENDOR}common-tunnel-errors",
        hint="Retry once; if it repeats, open a ticket with the request ID or the LogView link of the message.",
    ),
)
"""All rules, in the order in which they are tried."""
UNKNOWN_RULE: Final = Rule(
    Reason.UNKNOWN, (), (), "no rule matches", "Read the whole log of one task: `mms-exporter show task ID`."
)
HINTS: Final = {rule.reason: rule.hint for rule in (*RULES, UNKNOWN_RULE)}
"""What to do by reason."""
_FRAME: Final = re.compile(r"^[ \t]*+(?:at [\w$.<>/]{1,300}+\(|\.\.\. \d{1,9} more).*$", re.MULTILINE)
"""A line of a Java stack trace: its class names say nothing about the cause."""
_CODE: Final = re.compile(rf"(odps-\d{{7}})|{CODE}([a-z]\w{{1,60}})")
_AMBIGUOUS: Final = frozenset({"statusconflict", "odps-0110041", "odps-0130071"})
"""Codes of several causes: a phrase of another rule may tell more."""


def rule_of(message: str) -> Rule:
    """Return the rule of a message; UNKNOWN_RULE if none matches."""
    text = without_names(_FRAME.sub("", excerpt(message))).lower()
    codes = {code or value for code, value in _CODE.findall(text)} - _AMBIGUOUS
    # A code of INTERNAL wraps any cause.
    decided = (rule for rule in RULES if rule.reason is not Reason.INTERNAL and codes.intersection(rule.phrases))
    return next(decided, None) or next((rule for rule in RULES if rule.matches(text)), UNKNOWN_RULE)
