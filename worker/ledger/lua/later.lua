-- Delay a message, by Redis' clock. One that comes first wakes a worker that waits for the next.
-- KEYS: the set of its queue's delayed messages, the list of wake-ups.
-- ARGV: the message, seconds from now.
local t = redis.call('TIME')
redis.call('ZADD', KEYS[1], tonumber(t[1]) + tonumber(t[2]) / 1e6 + ARGV[2], ARGV[1])
if redis.call('ZRANGE', KEYS[1], 0, 0)[1] == ARGV[1] then
  redis.call('LPUSH', KEYS[2], 1)
  redis.call('LTRIM', KEYS[2], 0, 0)
end
return 1
