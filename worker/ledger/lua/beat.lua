-- Renew a lease: its holder is alive, or announces a silence (a parked step).
-- KEYS: suspects, then one key per resource. ARGV: token, seconds of announced silence.
-- Answers 1, or 0 when the holder was evicted from any resource.
local t = redis.call('TIME')
local now = tonumber(t[1]) + tonumber(t[2]) / 1e6 + tonumber(ARGV[2])
for i = 2, #KEYS do
  if not redis.call('ZSCORE', KEYS[i], ARGV[1]) then return 0 end
end
for i = 2, #KEYS do redis.call('ZADD', KEYS[i], 'XX', now, ARGV[1]) end
redis.call('HDEL', KEYS[1], ARGV[1])
return 1
