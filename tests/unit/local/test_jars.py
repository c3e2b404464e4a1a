"""The jar cache against a small Maven repository on loopback."""

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lsec.core.errors import StackError
from lsec.local.jar_lock import NEO4J_VERSION, Jar, JarLock, load_lock
from lsec.local.jars import ensure_jars
from lsec.local.progress import StackEvent


class Repository(ThreadingHTTPServer):
    """Serves `files` by path, in part where a part is asked for, and remembers what it sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.sent: list[tuple[str, int]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """Answers GET with a Range of the form `bytes=N-`."""

    server: Repository

    def do_GET(self) -> None:
        content = self.server.files.get(self.path.lstrip("/"))
        if content is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        self.server.sent.append((self.path, len(content) - start))
        self.send_response(HTTPStatus.PARTIAL_CONTENT if start else HTTPStatus.OK)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:])

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def repository() -> Iterator[Repository]:
    with Repository() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def lock(repository: Repository) -> JarLock:
    """Three jars that the repository serves."""
    jars = []
    for number in range(3):
        content = bytes([number]) * 100_000
        digest = hashlib.sha256(content).hexdigest()
        jar = Jar(f"org.example:part-{number}:1.0:linux", f"part-{number}-1.0-linux.jar", 100_000, digest)
        repository.files[jar.path] = content
        jars.append(jar)
    return JarLock("1.0", tuple(jars))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_lock_names_each_jar_of_neo4j_once_with_its_checksum() -> None:
    lock = load_lock()
    assert lock.neo4j == NEO4J_VERSION
    assert (
        len({jar.file for jar in lock.jars}) == len({jar.coordinate for jar in lock.jars}) == len(lock.jars)
    )
    assert f"org.neo4j:neo4j:{NEO4J_VERSION}" in {jar.coordinate for jar in lock.jars}
    for jar in lock.jars:
        _group, artifact, version, *classifier = jar.coordinate.split(":")
        assert jar.file == "-".join([artifact, version, *classifier]) + ".jar"
        assert jar.size > 0
        assert len(bytes.fromhex(jar.sha256)) == 32


def test_jars_are_fetched_once_and_reported(repository: Repository, lock: JarLock, tmp_path: Path) -> None:
    events: list[StackEvent] = []
    folder = ensure_jars(cache=tmp_path, maven_url=repository.url, lock=lock, on_event=events.append)
    assert names(folder) == {jar.file for jar in lock.jars} | {"verified"}
    assert [event.done for event in events] == [0, 100_000, 200_000, 300_000]
    assert ensure_jars(cache=tmp_path, maven_url=repository.url, lock=lock) == folder
    assert len(repository.sent) == 3


def test_an_interrupted_download_goes_on_where_it_stopped(
    repository: Repository, lock: JarLock, tmp_path: Path
) -> None:
    folder = tmp_path / "neo4j-1.0"
    folder.mkdir()
    first = lock.jars[0]
    (folder / f"{first.file}.part").write_bytes(repository.files[first.path][:60_000])
    ensure_jars(cache=tmp_path, maven_url=repository.url, lock=lock)
    assert (f"/{first.path}", 40_000) in repository.sent
    assert names(folder) == {jar.file for jar in lock.jars} | {"verified"}


def test_a_changed_jar_is_refused_by_name_and_never_gets_into_the_cache(
    repository: Repository, lock: JarLock, tmp_path: Path
) -> None:
    bad = lock.jars[1]
    repository.files[bad.path] = b"x" * 100_000
    with pytest.raises(StackError, match=r"checksum of part-1-1\.0-linux\.jar") as caught:
        ensure_jars(cache=tmp_path, maven_url=repository.url, lock=lock)
    assert "LSEC_MAVEN_URL" in caught.value.remedy
    assert bad.file not in names(tmp_path / "neo4j-1.0")


def test_a_damaged_jar_in_the_cache_is_fetched_again(
    repository: Repository, lock: JarLock, tmp_path: Path
) -> None:
    folder = ensure_jars(cache=tmp_path, maven_url=repository.url, lock=lock)
    (folder / lock.jars[2].file).write_bytes(b"short")
    ensure_jars(cache=tmp_path, maven_url=repository.url, lock=lock)
    assert (folder / lock.jars[2].file).read_bytes() == repository.files[lock.jars[2].path]
    assert len(repository.sent) == 4


def test_a_missing_repository_is_an_error_with_a_remedy(lock: JarLock, tmp_path: Path) -> None:
    with pytest.raises(StackError, match="Cannot download part-") as caught:
        ensure_jars(cache=tmp_path, maven_url="http://127.0.0.1:1", lock=lock)
    assert "mirror" in caught.value.remedy


def test_stacks_that_start_together_share_one_download(
    repository: Repository, lock: JarLock, tmp_path: Path
) -> None:
    def fetch(_: int) -> Path:
        return ensure_jars(cache=tmp_path, maven_url=repository.url, lock=lock)

    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(fetch, range(4)))
    assert folders == {tmp_path / "neo4j-1.0"}
    assert len(repository.sent) == 3
