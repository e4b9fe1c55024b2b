"""Runs an example of docs/examples against a server: it must handle every event once and in the order of its subject, although
its first process is killed in the middle. The arguments are the group and the command of the example."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import httpx

GROUP, COMMAND = sys.argv[1], sys.argv[2:]
OUTPUT = Path(f"{GROUP}.out")
DATABASE = Path(f"{GROUP}.sqlite")
API = httpx.Client(
    base_url=os.environ["AVAL_URL"] + "/api/v1",
    headers={"Authorization": f"Bearer {os.environ['AVAL_TOKEN']}"},
    timeout=30,
)


def published() -> list[tuple[str, str]]:
    """The identifiers and subjects of all events, in order."""
    events: list[tuple[str, str]] = []
    after = ""
    while True:
        page = API.get("/events", params={"limit": 1000, **({"after": after} if after else {})}).raise_for_status().json()
        events += [(event["id"], event["subject"]) for event in page["events"]]
        after = page["next"]
        if not page["more"]:
            return events


def create_events(numbers: range) -> None:
    """Creates and revokes API keys, which writes two events for each, and waits until they are published."""
    before = len(published())
    for number in numbers:
        key = {"name": f"{GROUP}-{number}", "role": "user", "scopes": ["applications:read"]}
        created = API.post("/api-keys", json=key).raise_for_status().json()
        API.delete(f"/api-keys/{created['id']}").raise_for_status()
    while len(published()) < before + 2 * len(numbers):
        time.sleep(0.01)


def handled() -> list[tuple[str, str]]:
    """The effects, in the order in which they happened."""
    if DATABASE.exists():
        try:
            with sqlite3.connect(DATABASE) as database:
                return database.execute("SELECT event_id, subject FROM effects ORDER BY number").fetchall()
        except sqlite3.OperationalError:
            return []
    lines = OUTPUT.read_text().splitlines() if OUTPUT.exists() else []
    return [(line.split()[0], line.split()[1]) for line in lines]


def start(name: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "GROUP": GROUP, "NAME": name, "DATABASE": str(DATABASE)}
    with OUTPUT.open("ab") as output:
        return subprocess.Popen(COMMAND, stdout=output, env=environment)


def wait_for(count: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while len(set(handled())) < count:
        assert process.poll() is None, "the example ended"
        assert time.monotonic() < deadline, f"{len(handled())} of {count} events were handled"
        time.sleep(0.01)


def by_subject(events: list[tuple[str, str]]) -> dict[str, list[str]]:
    subjects: dict[str, list[str]] = {}
    for event_id, subject in events:
        subjects.setdefault(subject, []).append(event_id)
    return subjects


create_events(range(30))
first, sibling = start("first"), start("sibling")
try:
    wait_for(20, first)
    first.send_signal(signal.SIGKILL)
    first.wait()
    create_events(range(30, 40))
    expected = published()
    wait_for(len(expected), sibling)
finally:
    first.kill()
    sibling.kill()
seen = handled()
if DATABASE.exists():
    assert len(seen) == len(set(seen)), "an event was handled twice"
seen = list(dict.fromkeys(seen))
assert by_subject(seen) == by_subject(expected), "the order of a subject is wrong"
print(f"{len(seen)} events handled once, with a takeover")
