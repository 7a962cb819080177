-- Move delayed messages that are due into their queues.
-- KEYS: a set of delayed messages, its queue, and so on in pairs.
-- ARGV: how many of each, at most; the mark in those that enter their queue in front.
-- Answers seconds until the next one is due, as text; '' when none is delayed.
local sets = {}
for i = 1, #KEYS, 2 do sets[#sets + 1] = KEYS[i] end
if redis.call('EXISTS', unpack(sets)) == 0 then return '' end
local t = redis.call('TIME')
local now = tonumber(t[1]) + tonumber(t[2]) / 1e6
local next
for i = 1, #KEYS, 2 do
  local due = redis.call('ZRANGEBYSCORE', KEYS[i], '-inf', now, 'LIMIT', 0, ARGV[1])
  for _, message in ipairs(due) do
    local is_first = string.find(message, ARGV[2], 1, true)
    redis.call(is_first and 'RPUSH' or 'LPUSH', KEYS[i + 1], message)
    redis.call('ZREM', KEYS[i], message)
  end
  local first = redis.call('ZRANGE', KEYS[i], 0, 0, 'WITHSCORES')
  if first[2] and (not next or tonumber(first[2]) < next) then next = tonumber(first[2]) end
end
return next and string.format('%.6f', next - now) or ''
