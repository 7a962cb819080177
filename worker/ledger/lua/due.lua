-- Move delayed messages that are due into their queues.
-- KEYS: a set of delayed messages, its queue, and so on in pairs. ARGV: how many of each, at most.
local t = redis.call('TIME')
local now = tonumber(t[1]) + tonumber(t[2]) / 1e6
for i = 1, #KEYS, 2 do
  local due = redis.call('ZRANGEBYSCORE', KEYS[i], '-inf', now, 'LIMIT', 0, ARGV[1])
  for _, message in ipairs(due) do
    redis.call('LPUSH', KEYS[i + 1], message)
    redis.call('ZREM', KEYS[i], message)
  end
end
return 1
