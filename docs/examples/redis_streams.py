"""Handles the events of Aval's streams in Redis, each exactly once and in the order of its subject.

Any number of processes can run this program. One of them, the owner, handles events; another one takes over when it ends.
The effects and the identifiers of handled events are in one database, SQLite here, so a repeated event has no effect.
"""

import json
import os
import sqlite3
import time
from typing import Any

import redis

STREAM = os.environ.get("EVENTS_STREAM", "domain-events")
GROUP = os.environ.get("GROUP", "warehouse")
NAME = os.environ.get("NAME", "member-1")
KEYS = [f"{STREAM}:{{{partition:02}}}" for partition in range(16)]
OWNER = f"{STREAM}:owner:{GROUP}"
OWNERSHIP_MS = 5000

# Acquires or renews the ownership. It ends OWNERSHIP_MS after the last call.
OWN = """
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""


def handle(database: sqlite3.Connection, event: dict[str, Any]) -> None:
    """The effect of one event. Replace it with your own."""
    database.execute("INSERT INTO effects (event_id, subject) VALUES (?, ?)", (event["id"], event["subject"]))


def process(client: Any, database: sqlite3.Connection, key: str, entry_id: str, fields: dict[str, str]) -> None:
    event = json.loads(fields["event"])
    with database:
        recorded = database.execute("INSERT OR IGNORE INTO handled (event_id) VALUES (?)", (event["id"],))
        if recorded.rowcount == 1:
            handle(database, event)
    client.xack(key, GROUP, entry_id)


def create_groups(client: Any) -> None:
    """Creates the group where it is missing. It starts with the oldest entry, so events may be repeated."""
    for key in KEYS:
        try:
            client.xgroup_create(key, GROUP, id="0", mkstream=True)
        except redis.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise


def take_over(client: Any, database: sqlite3.Connection) -> None:
    """Handles what the previous owner left pending, before any newer event."""
    for key in KEYS:
        cursor = "0-0"
        while True:
            cursor, entries, _deleted = client.xautoclaim(key, GROUP, NAME, 0, cursor, count=100)
            for entry_id, fields in entries:
                process(client, database, key, entry_id, fields)
            if cursor == "0-0":
                break


def read(client: Any, database: sqlite3.Connection) -> None:
    streams = client.xreadgroup(GROUP, NAME, dict.fromkeys(KEYS, ">"), count=100, block=1000)
    for key, entries in streams or []:
        for entry_id, fields in entries:
            process(client, database, key, entry_id, fields)


def main() -> None:
    database = sqlite3.connect(os.environ.get("DATABASE", "warehouse.sqlite"))
    database.execute("CREATE TABLE IF NOT EXISTS handled (event_id TEXT PRIMARY KEY)")
    database.execute("CREATE TABLE IF NOT EXISTS effects (number INTEGER PRIMARY KEY, event_id TEXT, subject TEXT)")
    client = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)
    is_owner = False
    while True:
        try:
            was_owner, is_owner = is_owner, client.eval(OWN, 1, OWNER, NAME, OWNERSHIP_MS) == 1
            if not is_owner:
                time.sleep(0.5)
                continue
            if not was_owner:
                create_groups(client)
                take_over(client, database)
            read(client, database)
        except redis.ResponseError as error:
            # Redis has lost its data. Aval fills the streams again.
            if not str(error).startswith(("NOGROUP", "UNBLOCKED")):
                raise
            create_groups(client)
        except redis.ConnectionError:
            is_owner = False
            time.sleep(1)


if __name__ == "__main__":
    main()
