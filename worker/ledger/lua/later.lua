-- Delay a message, by Redis' clock. KEYS: the set of its queue's delayed messages.
-- ARGV: the message, seconds from now.
local t = redis.call('TIME')
return redis.call('ZADD', KEYS[1], tonumber(t[1]) + tonumber(t[2]) / 1e6 + ARGV[2], ARGV[1])
