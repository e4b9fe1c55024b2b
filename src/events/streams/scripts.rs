//! The scripts that run in Redis. Each is atomic. Their keys are the streams in the order of the partitions, then the state.
//!
//! The state is a hash: `epoch`; `start` and `end`, between which the streams contain all events; and for each partition, under
//! its number from 1, the offset of the last entry. If a stream does not end with that entry, data was lost.

/// Appends events after the offset `from`, and returns 1; 0 if the state differs from the one that the caller knows, which
/// happens if data was lost or another relay has appended. Numbers of 15 digits are exact in Lua.
///
/// ARGV: epoch, `from`, the new end, the new start; then for each entry its partition, offset, previous offset, event and seal.
pub(super) const APPEND: &str = "\
local state = KEYS[#KEYS]
local known = redis.call('HMGET', state, 'epoch', 'end')
if known[1] ~= ARGV[1] or known[2] ~= ARGV[2] then return 0 end
local last = {}
for i = 5, #ARGV, 5 do
  local partition, offset = ARGV[i], ARGV[i + 1]
  if last[partition] == nil then last[partition] = redis.call('HGET', state, partition) end
  local add = {'XADD', KEYS[tonumber(partition)]}
  if last[partition] then add[3] = 'NOMKSTREAM' end
  for _, word in ipairs({offset .. '-1', 'event', ARGV[i + 3], 'previous', ARGV[i + 2], 'epoch', ARGV[1], 'seal', ARGV[i + 4]}) do
    add[#add + 1] = word
  end
  local added = redis.pcall(unpack(add))
  if type(added) ~= 'string' then
    redis.call('HDEL', state, 'epoch')
    return 0
  end
  last[partition] = offset
end
for partition, offset in pairs(last) do
  if offset then redis.call('HSET', state, partition, offset) end
end
redis.call('HSET', state, 'end', ARGV[3], 'start', ARGV[4])
return 1";

/// Functions that [`CHECK_BODY`] and [`RESET_BODY`] share.
const GROUPS: &str = "\
local function digits(id) return tonumber(string.match(id, '^%d+')) end
local function is_stream(key) return redis.call('TYPE', key).ok == 'stream' end
local function groups_of(key)
  local found = {}
  for _, flat in ipairs(redis.call('XINFO', 'GROUPS', key)) do
    local group = {}
    for i = 1, #flat, 2 do group[flat[i]] = flat[i + 1] end
    local delivered = group['last-delivered-id']
    local unread = redis.call('XRANGE', key, '(' .. delivered, '+', 'COUNT', 1)[1]
    group.needs = unread and digits(unread[1]) or nil
    group.resume = delivered
    if group.pending > 0 then
      local oldest = redis.call('XPENDING', key, group.name)[2]
      if oldest then
        local offset = digits(oldest)
        if not group.needs or offset < group.needs then group.needs = offset end
        group.resume = string.format('%.0f', offset) .. '-0'
      end
    end
    found[#found + 1] = group
  end
  return found
end
";

/// Deletes entries that no group needs, and returns the state, the last generated identifier of each stream, and for each
/// group of each stream its partition from 1, name, and the offset of its oldest unacknowledged entry (0 without one). The
/// newest entry of a stream is never deleted.
///
/// ARGV: the first offset that is kept for groups that have not read it; the first offset that is always kept.
const CHECK_BODY: &str = "\
local result = {redis.call('HGETALL', KEYS[#KEYS]), {}, {}}
for i = 1, #KEYS - 1 do
  local key = KEYS[i]
  local last = '0-0'
  if is_stream(key) then
    local info = redis.call('XINFO', 'STREAM', key)
    for n = 1, #info, 2 do if info[n] == 'last-generated-id' then last = info[n + 1] end end
    local needed = nil
    local groups = groups_of(key)
    for _, group in ipairs(groups) do
      local needs = group.needs or digits(last)
      if not needed or needs < needed then needed = needs end
      result[3][#result[3] + 1] = {i, group.name, group.needs or 0}
    end
    local first = tonumber(ARGV[1])
    if needed then first = math.max(first, math.min(needed, tonumber(ARGV[2]))) end
    first = math.min(first, digits(last))
    redis.call('XTRIM', key, 'MINID', '=', string.format('%.0f', first) .. '-0')
  elseif redis.call('EXISTS', key) == 1 then
    last = 'foreign'
  end
  result[2][i] = last
end
return result";

/// Deletes all entries and begins with an empty state at the offset `start`. The groups are kept. They continue where they
/// were, or at the beginning if the epoch has changed.
///
/// ARGV: epoch, `start`, 1 to continue the groups where they were; then for each group that is known to have existed its
/// partition, name and the identifier to continue after.
const RESET_BODY: &str = "\
for i = 1, #KEYS - 1 do
  local groups = {}
  for n = 4, #ARGV, 3 do
    if tonumber(ARGV[n]) == i then groups[ARGV[n + 1]] = ARGV[n + 2] end
  end
  if is_stream(KEYS[i]) then
    for _, group in ipairs(groups_of(KEYS[i])) do groups[group.name] = group.resume end
  end
  redis.call('DEL', KEYS[i])
  for name, id in pairs(groups) do
    redis.call('XGROUP', 'CREATE', KEYS[i], name, ARGV[3] == '1' and id or '0-0', 'MKSTREAM')
  end
end
redis.call('DEL', KEYS[#KEYS])
redis.call('HSET', KEYS[#KEYS], 'epoch', ARGV[1], 'start', ARGV[2], 'end', ARGV[2])
return 1";

/// Removes consumers of a group that have been idle for a time and have no pending entries, except one. Consumers with
/// pending entries must stay: their entries would be lost with them.
///
/// KEYS: a stream. ARGV: the group, the consumer to keep, milliseconds.
pub(super) const REMOVE_CONSUMERS: &str = "\
local removed = 0
for _, flat in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local consumer = {}
  for i = 1, #flat, 2 do consumer[flat[i]] = flat[i + 1] end
  if consumer.pending == 0 and consumer.idle >= tonumber(ARGV[3]) and consumer.name ~= ARGV[2] then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer.name)
    removed = removed + 1
  end
end
return removed";

/// [`CHECK_BODY`] with its functions.
pub(super) fn check() -> String {
    format!("{GROUPS}{CHECK_BODY}")
}

/// [`RESET_BODY`] with its functions.
pub(super) fn reset() -> String {
    format!("{GROUPS}{RESET_BODY}")
}
