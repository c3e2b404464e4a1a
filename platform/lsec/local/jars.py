"""Neo4j's jars in the user's cache: downloaded once, checked against the lock, shared by all stacks.

`python -m lsec.local.jars lock` makes the lock file anew; `python -m lsec.local.jars fetch` fills the cache.
"""

import argparse
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

import httpx2
import platformdirs
from filelock import FileLock, Timeout
from rich.console import Console

from lsec.core.errors import StackError
from lsec.local.jar_lock import Jar, JarLock, load_lock, sha256_of, write_lock
from lsec.local.progress import ConsoleReporter, OnEvent, StackEvent, ignore_events

NUM_DOWNLOADS = 8
CHUNK_BYTES = 256 * 1024
TRIES = 3
TIMEOUT_S = 60.0


def default_cache() -> Path:
    """The user's cache folder of this platform."""
    return Path(platformdirs.user_cache_dir("lsec"))


def ensure_jars(
    *,
    cache: Path | None = None,
    maven_url: str | None = None,
    lock: JarLock | None = None,
    on_event: OnEvent = ignore_events,
) -> Path:
    """The folder that holds exactly the jars of the lock; what is missing is downloaded.

    StackError if a jar cannot be had or is not what the lock says.
    """
    lock = lock or load_lock()
    folder = (cache or default_cache()) / f"neo4j-{lock.neo4j}"
    if is_complete(folder, lock):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder.parent / f"{folder.name}.lock", on_event):
        missing = [jar for jar in lock.jars if not is_good(folder / jar.file, jar)]
        if missing:
            download_all(missing, folder, url=maven_url or default_maven_url(), on_event=on_event)
        for stray in set(folder.glob("*.jar")) - {folder / jar.file for jar in lock.jars}:
            stray.unlink()
        mark_complete(folder, lock)
    return folder


def default_maven_url() -> str:
    """Maven Central, by the address that jgo knows."""
    # Only here, when something must be fetched: jgo takes most of a second to load.
    from lsec.local.jar_resolver import DEFAULT_MAVEN_URL

    return DEFAULT_MAVEN_URL


def is_good(path: Path, jar: Jar) -> bool:
    """Whether the file is the jar of the lock."""
    return path.is_file() and path.stat().st_size == jar.size and sha256_of(path) == jar.sha256


def is_complete(folder: Path, lock: JarLock) -> bool:
    """Whether the folder was verified against this lock and no file has changed its size since."""
    mark = folder / "verified"
    if not mark.is_file() or mark.read_text() != lock.digest:
        return False
    sizes = {entry.name: entry.stat().st_size for entry in os.scandir(folder) if entry.name.endswith(".jar")}
    return sizes == {jar.file: jar.size for jar in lock.jars}


def mark_complete(folder: Path, lock: JarLock) -> None:
    """Note that all jars were verified."""
    part = folder / "verified.part"
    part.write_text(lock.digest)
    part.replace(folder / "verified")


@contextmanager
def alone(path: Path, on_event: OnEvent) -> Iterator[None]:
    """Hold the cache; a second stack waits until the first has filled it."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        on_event(StackEvent("note", "Waiting for another stack that downloads Neo4j"))
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def download_all(jars: list[Jar], folder: Path, *, url: str, on_event: OnEvent) -> None:
    """Download several jars at once; the first that fails ends it, finished ones stay."""
    total = sum(jar.size for jar in jars)
    done = 0
    on_event(StackEvent("download", "Downloading Neo4j", done=0, total=total))
    with (
        httpx2.Client(follow_redirects=True, timeout=TIMEOUT_S) as client,
        ThreadPoolExecutor(NUM_DOWNLOADS) as pool,
    ):
        futures = {pool.submit(download, client, jar, folder, url=url): jar for jar in jars}
        try:
            for future in as_completed(futures):
                future.result()
                done += futures[future].size
                on_event(StackEvent("download", "Downloading Neo4j", done=done, total=total))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def download(client: httpx2.Client, jar: Jar, folder: Path, *, url: str) -> None:
    """Put one jar into the folder, or StackError; an interrupted download goes on where it stopped.

    Only a verified file gets the jar's name, by a rename.
    """
    part = folder / f"{jar.file}.part"
    address = f"{url.rstrip('/')}/{jar.path}"
    remedy = "Check the network, or name a mirror of Maven Central in LSEC_MAVEN_URL; then start again."
    for attempt in range(1, TRIES + 1):
        try:
            receive(client, address, part, jar.size)
        except (httpx2.HTTPError, OSError) as error:
            if attempt == TRIES:
                raise StackError(
                    f"Cannot download {jar.file} from {address}: {error}.", remedy=remedy
                ) from error
            continue
        if is_good(part, jar):
            part.replace(folder / jar.file)
            return
        part.unlink()
    raise StackError(
        f"The checksum of {jar.file} ({jar.coordinate}) from {address} is not the one in the lock.",
        remedy="The file was damaged or changed on its way: check the proxy or mirror (LSEC_MAVEN_URL).",
    )


def receive(client: httpx2.Client, address: str, part: Path, size: int) -> None:
    """Append to `part` what is missing of the file at the address."""
    have = part.stat().st_size if part.exists() else 0
    if have >= size:
        return
    headers = {"Range": f"bytes={have}-"} if have else {}
    with client.stream("GET", address, headers=headers) as response:
        response.raise_for_status()
        # 206: the server goes on where we stopped; 200: it sends all of it again.
        with part.open("ab" if response.status_code == 206 else "wb") as file:
            for chunk in response.iter_bytes(CHUNK_BYTES):
                file.write(chunk)


def main() -> None:
    """Make the lock anew, or fill the cache."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["lock", "fetch"])
    parser.add_argument("--maven-url", help="a mirror of Maven Central")
    arguments = parser.parse_args()
    console = Console()
    if arguments.action == "lock":
        from lsec.local.jar_resolver import resolve_lock  # slow to load, see default_maven_url

        lock = resolve_lock(maven_url=arguments.maven_url)
        write_lock(lock)
        console.print(f"{len(lock.jars)} jars, {lock.num_bytes / 1e6:.0f} MB")
        return
    with ConsoleReporter(console) as reporter:
        console.print(str(ensure_jars(maven_url=arguments.maven_url, on_event=reporter)))


if __name__ == "__main__":
    main()
