-- Count writes to some tables before they are made: to all of them, or to none.
-- KEYS: one hash per table: number of a bucket of time -> writes counted in it.
-- ARGV: seconds of the window, seconds of a bucket, then per table: writes to count, and how many
--       a window may hold.
-- Answers {} when they are counted, else {number of a table that is short, seconds until its
-- window has room}: of those that are short, the one that takes longest.
local window, size = tonumber(ARGV[1]), tonumber(ARGV[2])
local now = tonumber(redis.call('TIME')[1])
local wait, short = 0, 0
for i, key in ipairs(KEYS) do
  local excess = tonumber(ARGV[2 * i + 1]) - tonumber(ARGV[2 * i + 2])
  local buckets, counts = {}, {}
  local found = redis.call('HGETALL', key)
  for j = 1, #found, 2 do
    local bucket = tonumber(found[j])
    -- A bucket leaves the window when its last second does.
    if (bucket + 1) * size + window <= now then
      redis.call('HDEL', key, found[j])
    else
      buckets[#buckets + 1] = bucket
      counts[bucket] = tonumber(found[j + 1])
      excess = excess + counts[bucket]
    end
  end
  table.sort(buckets)
  for _, bucket in ipairs(buckets) do
    if excess <= 0 then break end
    excess = excess - counts[bucket]
    local seconds = (bucket + 1) * size + window - now
    if seconds > wait then wait, short = seconds, i end
  end
end
if short > 0 then return {short, wait} end
local bucket = math.floor(now / size)
for i, key in ipairs(KEYS) do
  redis.call('HINCRBY', key, bucket, ARGV[2 * i + 1])
  redis.call('EXPIRE', key, window + 2 * size)
end
return {}
