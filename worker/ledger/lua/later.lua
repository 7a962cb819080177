-- Delay a message, by Redis' clock. One that comes first wakes a worker that waits for the next.
-- A step that waits for something else is registered there, unless that has ended meanwhile: then
-- its message is due now. The more steps wait for the same, the more rarely each comes by unwoken:
-- one of them a second.
-- KEYS: the set of its queue's delayed messages, its queue, the list of wake-ups; of one that waits
--   for something the key of that and the set of its waiters.
-- ARGV: the message, seconds from now; then the waiting step (the key of its run's delayed messages
--   and its id), the field that has a value meanwhile or '', how many holders there are meanwhile,
--   that value.
local LIFE = 30 * 86400
local t = redis.call('TIME')
local now, seconds = tonumber(t[1]) + tonumber(t[2]) / 1e6, tonumber(ARGV[2])
if KEYS[4] then
  local step, field = ARGV[3], ARGV[4]
  local waits
  if field ~= '' then
    waits = redis.call('HGET', KEYS[4], field) == ARGV[6]
  else
    waits = redis.call('ZCARD', KEYS[4]) >= tonumber(ARGV[5])
  end
  if waits then
    local delayed, id = string.match(step, '^(.-)\n(.*)$')
    redis.call('ZADD', KEYS[5], 'NX', now, step)
    redis.call('HSET', delayed, id, KEYS[1] .. '\n' .. KEYS[2] .. '\n' .. ARGV[1])
    redis.call('EXPIRE', KEYS[5], LIFE)
    redis.call('EXPIRE', delayed, LIFE)
    seconds = math.max(seconds, redis.call('ZCARD', KEYS[5]))
  else
    seconds = 0
  end
end
redis.call('ZADD', KEYS[1], now + seconds, ARGV[1])
if redis.call('ZRANGE', KEYS[1], 0, 0)[1] == ARGV[1] then
  redis.call('LPUSH', KEYS[3], 1)
  redis.call('LTRIM', KEYS[3], 0, 0)
end
return 1
