"""Publications under kill -9 at every step, with readers: what these see is whole, and never goes back."""

import itertools
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import neo4j
import pytest

from tests.faults.faulty_stack import FaultyStack, wait_until
from tests.integration.small_release import SLATE_LENGTH, write_artifact
from workers.graph import open_driver
from workers.release_writer import USERS_PER_WRITE

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NUM_USERS = 4 * USERS_PER_WRITE
PRODUCTS = [f"pub-p{number}" for number in range(30)]
USERS = [f"pub-u{number}" for number in range(NUM_USERS)]
WATCHED = [USERS[0], USERS[NUM_USERS // 2], USERS[-1]]
NUM_READERS = 4
LONG_AGO = "2025-12-01T00:00:00Z"
STATE = """
OPTIONAL MATCH (r:Release {id: $id})
OPTIONAL MATCH (a:ActivePointer {name: 'active'})-[:ACTIVE]->(shown:Release)
OPTIONAL MATCH (old:Release) WHERE old.collected_from_at IS NOT NULL
RETURN r.num_users_written AS users, r.num_products_written AS products, r.num_streamers_written AS streamers,
  coalesce(r.is_complete, false) AS is_complete, shown.id = $id AS is_active, count(old) > 0 AS is_collecting
"""
HOLD = ("MATCH (a:ActivePointer) SET a.held = true", "MATCH (r:Release) SET r.held = true")
"""Write-locks all that a publication moves: it waits where it is, to be looked at and killed there."""

State = dict[str, Any]
STEPS: dict[str, Callable[[State], bool]] = {
    "the release is recorded": lambda at: at["users"] is not None,
    "amid the slates": lambda at: (at["users"] or 0) >= 2 * USERS_PER_WRITE,
    "the slates are written": lambda at: at["users"] == NUM_USERS,
    "amid the vectors": lambda at: at["products"] == len(PRODUCTS),
    "before the flip": lambda at: at["is_complete"],
    "after the flip": lambda at: bool(at["is_active"]),
    "amid the collecting": lambda at: at["is_collecting"],
}
"""What is so at each step, and stays so."""


def slate(release: int, user: int) -> list[str]:
    """Of the users of two releases that follow each other no product is the same."""
    half = PRODUCTS[(release % 2) * 15 :][:15]
    return [half[(user * 7 + release + n * 2) % 15] for n in range(SLATE_LENGTH)]


@dataclass(slots=True)
class Readers:
    """Front ends that poll, each over one connection; what they were shown, and what was wrong with it."""

    shown: list[list[str]] = field(default_factory=lambda: [[] for _ in range(NUM_READERS)])
    num_answers: int = 0
    num_refused: int = 0
    """Turned away as the API has too much to do, which a busy machine may come to."""
    faults: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def read(self, place: int, url: str, secret: str) -> None:
        headers = {"Authorization": f"Bearer {secret}"}
        users = itertools.cycle(WATCHED)
        with httpx2.Client(base_url=url, headers=headers, timeout=30) as client:
            while not self.stop.is_set():
                user_id = next(users)
                answer = client.get(f"/v1/users/{user_id}/recommendations", params={"k": SLATE_LENGTH})
                self.look_at(place, user_id, answer)
                time.sleep(0.02)

    def look_at(self, place: int, user_id: str, answer: httpx2.Response) -> None:
        if answer.status_code == 503:
            self.num_refused += 1
            return
        self.num_answers += 1
        found = answer.json()
        release_id = found.get("release_id") or ""
        products = [product["product_id"] for product in found.get("products", ())]
        number = int(release_id.rpartition("_")[2] or -1)
        if answer.status_code != 200 or products != slate(number, USERS.index(user_id)):
            self.faults.append(f"{user_id}: {answer.status_code} {release_id} {products}")
        if self.shown[place][-1:] != [release_id]:
            self.shown[place].append(release_id)

    @contextmanager
    def reading(self, url: str, secret: str) -> Iterator[None]:
        threads = [threading.Thread(target=self.read, args=(n, url, secret)) for n in range(NUM_READERS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stop.set()
            for thread in threads:
                thread.join()

    def have_seen(self, release_id: str) -> bool:
        return all(shown[-1:] == [release_id] for shown in self.shown)


@dataclass(slots=True)
class Publisher:
    """Publications in processes of their own, and the kills of these."""

    faulty: FaultyStack
    driver: neo4j.Driver
    kills: Counter[str] = field(default_factory=Counter)

    def start(self, release_id: str) -> subprocess.Popen[bytes]:
        environment = self.faulty.stack.supervisor.environment
        command = [sys.executable, "-m", "tests.faults.publishing", release_id]
        return subprocess.Popen(command, cwd=ROOT, env=environment)

    def finish(self, release_id: str) -> None:
        assert self.start(release_id).wait(timeout=120) == 0

    def state(self, release_id: str) -> State:
        return self.driver.execute_query(STATE, id=release_id).records[0].data()

    def kill_at(self, step: str, release_id: str) -> None:
        """Kill a publication at a step, or where it had come to by then."""
        process = self.start(release_id)
        try:
            while process.poll() is None:
                with self.driver.session() as session, session.begin_transaction() as held:
                    for statement in HOLD:
                        held.run(statement).consume()
                    at = held.run(STATE, id=release_id).single(strict=True).data()
                    if STEPS[step](at):
                        self._kill(process, step)
                    held.rollback()
                time.sleep(0.003)
        finally:
            process.kill()
            process.wait()

    def kill_after(self, seconds: float, release_id: str) -> None:
        """Kill a publication at whatever it is at by then."""
        process = self.start(release_id)
        time.sleep(seconds)
        if process.poll() is None:
            self._kill(process, "at some time")
        process.wait()

    def _kill(self, process: subprocess.Popen[bytes], step: str) -> None:
        process.kill()
        process.wait()
        self.kills[step] += 1


@pytest.fixture
def publisher(faulty: FaultyStack) -> Iterator[Publisher]:
    """The first release, served; what the test has made is gone after it."""
    headers = {"Authorization": f"Bearer {faulty.secret}", "Content-Type": "application/x-ndjson"}
    event = '{"type": "product.upserted", "event_id": "%s", "at": "' + LONG_AGO + '", "product_id": "%s"}'
    lines = "\n".join(event % (each, each) for each in PRODUCTS)
    answer = httpx2.post(
        f"{faulty.url}/v1/events", content=lines, headers=headers, params={"wait": True}, timeout=60
    )
    assert answer.status_code == 200, answer.text
    with open_driver(faulty.settings) as driver:
        driver.execute_query("UNWIND $ids AS id CREATE (:User {id: id})", ids=USERS)
        yield Publisher(faulty, driver)
        with driver.session() as session:
            session.run(
                "MATCH (n) WHERE n:Slate OR n:Vector OR n:Release OR n:ActivePointer OR "
                "(n:User OR n:Product) AND n.id STARTS WITH 'pub-' CALL (n) { DETACH DELETE n } "
                "IN TRANSACTIONS OF 5000 ROWS"
            ).consume()


def make(faulty: FaultyStack, number: int) -> str:
    """The release of that number, on disk."""
    release_id = f"rel_pub_{number}"
    slates = {user_id: slate(number, place) for place, user_id in enumerate(USERS)}
    folder = faulty.settings.artifacts_path / release_id
    write_artifact(folder, slates, products=PRODUCTS, popular=PRODUCTS)
    return release_id


def assert_whole(publisher: Publisher, release_id: str) -> None:
    """The graph holds each slate and vector of the release once."""
    [found] = publisher.driver.execute_query(
        "RETURN COUNT { MATCH (:User)-[:HAS_SLATE]->(s:Slate {release_id: $id}) } AS linked, "
        "COUNT { MATCH (s:Slate) WHERE s.release_id = $id } AS slates, "
        "COUNT { MATCH (v:Vector) WHERE v.release_id = $id } AS vectors",
        id=release_id,
    ).records
    assert found.data() == {"linked": NUM_USERS, "slates": NUM_USERS, "vectors": len(PRODUCTS) + 1}


def test_readers_are_shown_one_release_or_the_next_however_often_a_publication_is_killed(
    faulty: FaultyStack, publisher: Publisher, record_property: Callable[[str, object], None]
) -> None:
    # The one before the first is what later publications collect.
    made = [make(faulty, 0), make(faulty, 1)]
    for release_id in made:
        publisher.finish(release_id)
    first = made[-1]
    readers = Readers()
    url = f"{faulty.url}/v1/users/{USERS[0]}/recommendations"
    headers = {"Authorization": f"Bearer {faulty.secret}"}
    wait_until(lambda: _serves(url, headers, first))
    num_wanted = int(os.environ.get("LSEC_KILLS", len(STEPS)))
    with readers.reading(faulty.url, faulty.secret):
        wait_until(lambda: readers.have_seen(first))
        while publisher.kills.total() < num_wanted:
            made.append(make(faulty, len(made)))
            publish_under_kills(publisher, made[-1], at_random=len(made) % 2 == 0)
            wait_until(lambda: readers.have_seen(made[-1]))
            assert_whole(publisher, made[-1])
    assert readers.faults == []
    assert readers.num_refused <= readers.num_answers // 50
    # Each connection is of one of the API's processes, and saw every release in its turn, or passed it over.
    for shown in readers.shown:
        assert shown == [release_id for release_id in made if release_id in shown]
    told = f"{publisher.kills.total()} kills of publications, {readers.num_answers:,} answers"
    print(f"{told}, {readers.num_refused} refused; {dict(publisher.kills)}")
    record_property("kills", publisher.kills.total())
    if len(made) == 3:
        assert publisher.kills == dict.fromkeys(STEPS, 1)


def _serves(url: str, headers: dict[str, str], release_id: str) -> bool:
    answers = [httpx2.get(url, headers=headers, timeout=30).json() for _ in range(8)]
    return all(a.get("release_id") == release_id and a["source"] == "slate" for a in answers)


def publish_under_kills(publisher: Publisher, release_id: str, *, at_random: bool) -> None:
    """A publication that is killed at each step, or at random times, and then left to its end."""
    if at_random:
        draw = random.Random(release_id)
        for _ in STEPS:
            publisher.kill_after(draw.uniform(0.3, 3.0), release_id)
    else:
        for step in STEPS:
            publisher.kill_at(step, release_id)
    publisher.finish(release_id)
