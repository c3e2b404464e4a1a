"""What the embedded stack tells its caller while it works; nothing here is needed to run it."""

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

Kind = Literal["download", "note", "starting", "ready", "crashed", "stopping", "stopped"]
STYLES: dict[Kind, str] = {"ready": "green", "crashed": "bold red", "note": "yellow"}


@dataclass(frozen=True, slots=True)
class StackEvent:
    """One step of the stack; `done` of `total` bytes for a download."""

    kind: Kind
    message: str
    service: str = ""
    done: int = 0
    total: int = 0


OnEvent = Callable[[StackEvent], None]


def ignore_events(event: StackEvent) -> None:
    """For callers that want to hear nothing."""


class ConsoleReporter:
    """Prints events on a rich console, a download as a progress bar; pass the object as `on_event`."""

    def __init__(self, console: Console) -> None:
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self.task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def __call__(self, event: StackEvent) -> None:
        """Show one event."""
        if event.kind != "download":
            # Text, not markup: a log line may hold square brackets.
            self.progress.console.print(Text(event.message, style=STYLES.get(event.kind, "dim")))
            return
        if self.task is None:
            self.task = self.progress.add_task(event.message, total=event.total)
            self.progress.start()
        self.progress.update(self.task, description=event.message, completed=event.done)
        if event.done >= event.total:
            self.progress.stop()
            self.task = None
