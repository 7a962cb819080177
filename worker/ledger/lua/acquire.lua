-- Take every resource, or none. A resource is a sorted set: holder's token -> last heartbeat.
-- KEYS: owners, suspects, then one key per resource.
-- ARGV: token, seconds of silence that make a holder suspect, owner, number of resources,
--       one capacity per resource, then tokens whose holders the caller knows to be dead.
-- Answers {1} or {0, token, owner, token, owner, ...} of the holders in the way.
local token, silence, count = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[4])
local t = redis.call('TIME')
local now = tonumber(t[1]) + tonumber(t[2]) / 1e6
local gone = {}
for i = 5 + count, #ARGV do gone[ARGV[i]] = true end

-- An owner is told with the keys of its resources, so that a holder is evicted from all of them at
-- once. Evicted from one alone, it would stand in the way of the others without an owner.
local function told(holder)
  local text = redis.call('HGET', KEYS[1], holder) or ''
  local at = string.find(text, '\n', 1, true)
  if at then return string.sub(text, 1, at - 1), string.sub(text, at + 1) end
  return text, ''
end

local in_the_way = {}
for i = 1, count do
  local key, live = KEYS[2 + i], {}
  local holders = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  for j = 1, #holders, 2 do
    local holder, beat = holders[j], tonumber(holders[j + 1])
    local dead = gone[holder]
    if not dead and holder ~= token and now - beat > silence then
      -- Lease expiry in two steps: an outage of Redis makes every holder look silent. So it is
      -- suspected at first, and evicted when it stays silent for as long once more.
      local since = redis.call('HGET', KEYS[2], holder)
      if not since then
        redis.call('HSET', KEYS[2], holder, now)
      elseif now - tonumber(since) > silence then
        dead = true
      end
    end
    if dead then
      redis.call('ZREM', key, holder)
      local _, keys = told(holder)
      for each in string.gmatch(keys, '[^\n]+') do redis.call('ZREM', each, holder) end
      redis.call('HDEL', KEYS[1], holder)
      redis.call('HDEL', KEYS[2], holder)
    elseif holder ~= token then
      live[#live + 1] = holder
    end
  end
  if #live >= tonumber(ARGV[4 + i]) then
    for _, holder in ipairs(live) do in_the_way[#in_the_way + 1] = holder end
  end
end

if #in_the_way > 0 then
  local answer = {0}
  for _, holder in ipairs(in_the_way) do
    answer[#answer + 1] = holder
    answer[#answer + 1] = (told(holder))
  end
  return answer
end
for i = 1, count do redis.call('ZADD', KEYS[2 + i], now, token) end
redis.call('HSET', KEYS[1], token, ARGV[3] .. '\n' .. table.concat(KEYS, '\n', 3))
return {1}
