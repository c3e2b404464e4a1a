"""The embedded stack: Neo4j, Valkey and the processes of `lsec up`.

The names are loaded when they are asked for: the process of Neo4j imports this package too, and would
otherwise spend two seconds on the clients of everything else.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lsec.local.progress import ConsoleReporter, OnEvent, StackEvent, ignore_events
    from lsec.local.services import ALL_SERVICES, DATABASES
    from lsec.local.stack import ServiceStatus, Stack, running_stack, stack_status, stop_recorded

__all__ = [
    "ALL_SERVICES",
    "DATABASES",
    "ConsoleReporter",
    "OnEvent",
    "ServiceStatus",
    "Stack",
    "StackEvent",
    "ignore_events",
    "running_stack",
    "stack_status",
    "stop_recorded",
]

_MODULES = {
    "lsec.local.progress": ("ConsoleReporter", "OnEvent", "StackEvent", "ignore_events"),
    "lsec.local.services": ("ALL_SERVICES", "DATABASES"),
    "lsec.local.stack": ("ServiceStatus", "Stack", "running_stack", "stack_status", "stop_recorded"),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
