"""Log lines of every process: a JSON object each, or text for a person, with the request they belong to."""

import logging
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import msgspec
from pythonjsonlogger.core import RESERVED_ATTRS, LogData, merge_record_extra
from pythonjsonlogger.msgspec import MsgspecFormatter, msgspec_default

from lsec.core.settings import Settings

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request that is being answered; '' outside one."""
_NOTES: ContextVar[dict[str, object] | None] = ContextVar("notes", default=None)
_RESERVED = frozenset([*RESERVED_ATTRS, "taskName", "color_message"])
"""What a log record has of its own, and uvicorn's second copy of its message."""
_QUIET = {
    "uvicorn.access": logging.CRITICAL,
    "neo4j": logging.ERROR,
    "sse_starlette": logging.INFO,
    "aiosqlite": logging.INFO,
}
"""Loggers of libraries that say too much: the API writes its own line a request.

At DEBUG the last two write events of the live feed, and statements with their parameters.
"""
_LIBRARIES = ("uvicorn", "uvicorn.error", "uvicorn.access", "celery", "celery.task")
"""Loggers that may have brought handlers of their own."""


def configure_logging(settings: Settings, *, process: str) -> None:
    """Write all lines of this process to the error stream, as the settings say; `process` is its name."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines(process) if settings.log_format == "json" else TextLines())
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    # What no line of ours says need not be found out for each of them.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.captureWarnings(capture=True)
    for name in _LIBRARIES:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        # uvicorn writes access lines as long as a handler would get them.
        logger.propagate = name != "uvicorn.access"
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(level)


def begin_request(request_id: str) -> dict[str, object]:
    """Make it the current task's request; the notes that its line will have."""
    REQUEST_ID.set(request_id)
    notes: dict[str, object] = {}
    _NOTES.set(notes)
    return notes


def note(**fields: object) -> None:
    """Have the line of the current request say this too; never what people did or who they are."""
    notes = _NOTES.get()
    if notes is not None:
        notes.update(fields)


class JsonLines(MsgspecFormatter):
    """A record as one JSON object: time, level, logger, message, process, and what else it has."""

    def __init__(self, process: str) -> None:
        super().__init__(
            ["levelname", "name", "message"],
            rename_fields={"levelname": "level", "name": "logger", "exc_info": "exception"},
            static_fields={"process": process},
            reserved_attrs=sorted(_RESERVED),
            timestamp="time",
        )
        self._process = process
        self._encode = msgspec.json.Encoder(enc_hook=msgspec_default).encode

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record; of one without an exception in a quarter of the library's time.

        The API writes one a request.
        """
        if record.exc_info or record.exc_text or record.stack_info or not isinstance(record.msg, str):
            return super().format(record)
        line: LogData = {
            "time": datetime.fromtimestamp(record.created, tz=UTC),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "process": self._process,
        }
        for name, value in vars(record).items():
            if name not in _RESERVED and name[0] != "_":
                line[name] = value
        if request_id := REQUEST_ID.get():
            line.setdefault("request_id", request_id)
        return self._encode(line).decode()

    def process_log_record(self, log_data: LogData) -> LogData:
        """The fields, the time first, and the request's id where there is one."""
        line = {"time": log_data.pop("time"), **log_data}
        if request_id := REQUEST_ID.get():
            line.setdefault("request_id", request_id)
        return line


class TextLines(logging.Formatter):
    """A record as text for a person; its further fields follow as name=value."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, and below it the exception."""
        fields = merge_record_extra(record, {}, reserved=_RESERVED)
        if request_id := REQUEST_ID.get():
            fields.setdefault("request_id", request_id)
        exception = self.formatException(record.exc_info) if record.exc_info else ""
        moment = datetime.fromtimestamp(record.created, tz=UTC)
        return _text(moment, f"{record.levelname} {record.name} {record.getMessage()}", fields, exception)


def as_text(line: str) -> str:
    """A line of a log for a person: what was JSON as TextLines has it, anything else as it is."""
    try:
        fields = msgspec.json.decode(line, type=dict[str, Any])
        moment = datetime.fromisoformat(fields.pop("time"))
        said = " ".join(str(fields.pop(name)) for name in ("level", "logger", "message"))
    except (msgspec.DecodeError, KeyError, TypeError, ValueError):
        return line
    fields.pop("process", None)
    return _text(moment, said, fields, str(fields.pop("exception", "")))


def _text(moment: datetime, said: str, fields: Mapping[str, object], exception: str) -> str:
    time = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    shown = "".join(f" {name}={value}" for name, value in fields.items())
    return f"{time} {said}{shown}" + (f"\n{exception}" if exception else "")
