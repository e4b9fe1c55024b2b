// Handles the events of Aval's streams in Redis, each once and in the order of its subject. Any number of processes can run this
// program. One of them, the owner, handles events; another one takes over when it ends.

import { createClient, ErrorReply } from "redis";

const stream = process.env.EVENTS_STREAM ?? "domain-events";
const group = process.env.GROUP ?? "mailer";
const name = process.env.NAME ?? "member-1";
const keys = Array.from({ length: 16 }, (_, partition) => `${stream}:{${String(partition).padStart(2, "0")}}`);
const owner = `${stream}:owner:${group}`;
const ownershipMs = 5000;

// Acquires or renews the ownership. It ends ownershipMs after the last call.
const own = `
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`;

interface CloudEvent {
  id: string;
  type: string;
  subject: string;
  data: Record<string, unknown>;
}

interface Entry {
  id: string;
  message: Record<string, string>;
}

// In production, record the identifiers in the database of the effects, in the same transaction.
const handled = new Set<string>();

/** The effect of one event. Replace it with your own. */
function handle(event: CloudEvent): void {
  console.log(`${event.id} ${event.subject} ${event.type}`);
}

const client = createClient({ url: process.env.REDIS_URL ?? "redis://localhost:6379" });
// Without a listener, a lost connection ends the process. The client connects again.
client.on("error", (error: Error) => console.error(error.message));

async function processEntry(key: string, { id, message }: Entry): Promise<void> {
  const event = JSON.parse(message.event ?? "{}") as CloudEvent;
  if (!handled.has(event.id)) {
    handle(event);
    handled.add(event.id);
  }
  await client.xAck(key, group, id);
}

/** Creates the group where it is missing. It starts with the oldest entry, so events may be repeated. */
async function createGroups(): Promise<void> {
  for (const key of keys) {
    try {
      await client.xGroupCreate(key, group, "0", { MKSTREAM: true });
    } catch (error) {
      if (!(error instanceof ErrorReply && error.message.startsWith("BUSYGROUP"))) throw error;
    }
  }
}

/** Handles what the previous owner left pending, before any newer event. */
async function takeOver(): Promise<void> {
  for (const key of keys) {
    let cursor = "0-0";
    do {
      const claimed = await client.xAutoClaim(key, group, name, 0, cursor, { COUNT: 100 });
      cursor = claimed.nextId;
      for (const entry of claimed.messages) {
        if (entry) await processEntry(key, entry);
      }
    } while (cursor !== "0-0");
  }
}

async function read(): Promise<void> {
  const wanted = keys.map((key) => ({ key, id: ">" }));
  const streams = (await client.xReadGroup(group, name, wanted, { COUNT: 100, BLOCK: 1000 })) as
    | { name: string; messages: Entry[] }[]
    | null;
  for (const found of streams ?? []) {
    for (const entry of found.messages) await processEntry(found.name, entry);
  }
}

await client.connect();
let wasOwner = false;
for (;;) {
  try {
    const isOwner = (await client.eval(own, { keys: [owner], arguments: [name, String(ownershipMs)] })) === 1;
    if (!isOwner) {
      await new Promise((resolve) => setTimeout(resolve, 500));
    } else {
      if (!wasOwner) {
        await createGroups();
        await takeOver();
      }
      await read();
    }
    wasOwner = isOwner;
  } catch (error) {
    // Redis has lost its data. Aval fills the streams again.
    const isLost = error instanceof ErrorReply && /^(NOGROUP|UNBLOCKED)/.test(error.message);
    if (!isLost) throw error;
    await createGroups();
  }
}
