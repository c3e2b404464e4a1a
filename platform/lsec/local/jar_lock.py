"""The jars of the pinned Neo4j: the lock file beside this module."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

NEO4J_VERSION = "2026.09.0"
LOCK_FILE = Path(__file__).with_name("neo4j-jars.lock.json")


@dataclass(frozen=True, slots=True)
class Jar:
    """One jar: `coordinate` is group:artifact:version, and :classifier where there is one."""

    coordinate: str
    file: str
    size: int
    sha256: str

    @property
    def path(self) -> str:
        """Where a Maven repository keeps it."""
        group, artifact, version = self.coordinate.split(":")[:3]
        return f"{group.replace('.', '/')}/{artifact}/{version}/{self.file}"


@dataclass(frozen=True, slots=True)
class JarLock:
    """All jars of one version of Neo4j, in the order of their coordinates."""

    neo4j: str
    jars: tuple[Jar, ...]

    @property
    def num_bytes(self) -> int:
        """Size of all jars together."""
        return sum(jar.size for jar in self.jars)

    @property
    def digest(self) -> str:
        """A hash over all checksums: a folder that was verified against it is good."""
        return hashlib.sha256("\n".join(jar.sha256 for jar in self.jars).encode()).hexdigest()


def load_lock(path: Path = LOCK_FILE) -> JarLock:
    """The lock that belongs to this version of the package."""
    content = json.loads(path.read_text())
    return JarLock(content["neo4j"], tuple(Jar(**jar) for jar in content["jars"]))


def write_lock(lock: JarLock, path: Path = LOCK_FILE) -> None:
    """Write it so that a change of one jar is a change of one line."""
    jars = ",\n".join(f"    {json.dumps(asdict(jar))}" for jar in lock.jars)
    path.write_text(f'{{\n  "neo4j": "{lock.neo4j}",\n  "jars": [\n{jars}\n  ]\n}}\n')


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
