"""Neo4j's database service inside this process, with authentication; the Java machine must be up.

Loopback alone keeps nobody out: a web page in a browser of this machine reaches Bolt too, which takes web
sockets of any origin. Hence the password, and no reading of local files by `LOAD CSV`.
"""

from pathlib import Path
from typing import Any

import jpype

LOOPBACK = "127.0.0.1"
USER = "neo4j"
SET_PASSWORD = f"ALTER USER {USER} SET PASSWORD $password CHANGE NOT REQUIRED"


def database_settings(bolt_port: int, *, page_cache_mb: int, heap_mb: int) -> dict[str, str]:
    """Neo4j's own settings.

    Without the `internal.` one Bolt waits twice five seconds at shutdown, after the databases are
    already closed. Kept transaction logs are bounded: by default they grow to 2 GB. Failed logins never
    lock the user out: the password cannot be guessed, and a lock would let anyone stop the platform.

    No transaction may take more than a third of the heap: one statement of an analyst must leave the
    ingester what it needs.
    """
    address = f"{LOOPBACK}:{bolt_port}"
    return {
        "server.bolt.enabled": "true",
        "server.bolt.listen_address": address,
        "server.bolt.advertised_address": address,
        "server.memory.pagecache.size": f"{page_cache_mb}m",
        "db.memory.transaction.max": f"{heap_mb // 3}m",
        "dbms.security.auth_enabled": "true",
        "dbms.security.auth_max_failed_attempts": "0",
        "dbms.security.auth_minimum_password_length": "32",
        "dbms.security.allow_csv_import_from_file_urls": "false",
        "dbms.usage_report.enabled": "false",
        "db.tx_log.rotation.size": "32m",
        "db.tx_log.rotation.retention_policy": "128m size",
        "db.temporal.timezone": "UTC",
        "internal.server.bolt.thread_pool_shutdown_wait_time": "200ms",
    }


def start_database(home: Path, settings: dict[str, str], password: str) -> Any:
    """The running DatabaseManagementService, whose user `neo4j` has the password."""
    home.mkdir(parents=True, exist_ok=True)
    conf = home / "neo4j.conf"
    conf.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    if not (home / "data" / "dbms" / "auth.ini").exists():
        set_initial_password(home, password)
    builder = jpype.JClass("org.neo4j.dbms.api.DatabaseManagementServiceBuilder")
    service = builder(java_path(home)).loadPropertiesFromFile(java_path(conf)).build()
    system = service.database("system")
    # Only asked for, since a first Cypher statement would add seconds to every start.
    if not accepts(system, password):
        system.executeTransactionally(SET_PASSWORD, jpype.java.util.HashMap({"password": password}))
    return service


def set_initial_password(home: Path, password: str) -> None:
    """What `neo4j-admin dbms set-initial-password` does: it holds from the moment that Bolt listens.

    Neo4j takes it where there are no users yet, also in stores that were made without authentication.
    """
    context = jpype.JClass("org.neo4j.cli.ExecutionContext")(java_path(home), java_path(home))
    command = jpype.JClass("org.neo4j.commandline.admin.security.SetInitialPasswordCommand")(context)
    jpype.JClass("picocli.CommandLine")(command).parseArgs(password)
    command.execute()


def accepts(system: Any, password: str) -> bool:
    """Whether a login with the password succeeds; `system` is the system database."""
    manager = jpype.java.lang.Class.forName("org.neo4j.kernel.api.security.AuthManager")
    token = jpype.JClass("org.neo4j.kernel.api.security.AuthToken").newBasicAuthToken(USER, password)
    inside = jpype.JClass("org.neo4j.internal.kernel.api.connectioninfo.ClientConnectionInfo")
    login = system.getDependencyResolver().resolveDependency(manager).login(token, inside.EMBEDDED_CONNECTION)
    return str(login.subject().getAuthenticationResult()) == "SUCCESS"


def java_path(path: Path) -> Any:
    """The path as Java has it."""
    return jpype.JClass("java.nio.file.Path").of(str(path))
