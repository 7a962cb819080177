-- Wake steps that wait for something that has ended: their delayed messages enter their queues, in
-- front, since what ended is free now. A step that has come by already is passed over.
-- KEYS: sets of waiters. ARGV: how many to wake of each.
-- Answers how many were woken.
if redis.call('EXISTS', unpack(KEYS)) == 0 then return 0 end
local found = {}
for _, waiters in ipairs(KEYS) do
  local left = tonumber(ARGV[1])
  while left > 0 do
    local step = redis.call('ZPOPMIN', waiters)[1]
    if not step then break end
    local delayed, id = string.match(step, '^(.-)\n(.*)$')
    local entry = redis.call('HGET', delayed, id)
    if entry then
      redis.call('HDEL', delayed, id)
      local set, queue, message = string.match(entry, '^(.-)\n(.-)\n(.*)$')
      if redis.call('ZREM', set, message) == 1 then
        found[#found + 1] = {queue, message}
        left = left - 1
      end
    end
  end
end
for i = #found, 1, -1 do redis.call('RPUSH', found[i][1], found[i][2]) end
return #found
