-- Count one more wait of a step, and write down for what, and since when it is that.
-- KEYS: step. ARGV: what it waits for. Answers how many waits in a row by now.
local t = redis.call('TIME')
if redis.call('HGET', KEYS[1], 'waiting') ~= ARGV[1] then
  redis.call('HSET', KEYS[1], 'waiting', ARGV[1], 'since', t[1])
end
return redis.call('HINCRBY', KEYS[1], 'waits', 1)
