-- A message is to come later, by Redis's clock. KEYS: the set it waits in.
-- ARGV: the message, seconds from now.
local t = redis.call('TIME')
return redis.call('ZADD', KEYS[1], tonumber(t[1]) + tonumber(t[2]) / 1e6 + ARGV[2], ARGV[1])
