-- Register a run of which every part is staged, and hold its dates, unless another run holds one.
-- KEYS: runs, held, held by runs of earlier versions, run, then the staged key and the run's own of
--   its dates and of every other part.
-- ARGV: run id, header (JSON object), seconds from now to its deadline, or '', then how many fields
--   each part has.
-- Answers {} when registered, {'expired'} when a part is not staged (any more), else
--   {date, run, date, run, ...} of those held.
local AT_ONCE = 3000 -- dates per call: its stack holds 8000 values
local id, header = ARGV[1], cjson.decode(ARGV[2])
for i = 5, #KEYS, 2 do
  local is_text = redis.call('TYPE', KEYS[i]).ok == 'string'
  local size = is_text and 1 or redis.call('HLEN', KEYS[i])
  if size ~= tonumber(ARGV[3 + (i - 3) / 2]) then
    -- Registered by this very call, whose answer was lost?
    local is_done = redis.call('HGET', KEYS[4], 'plan_id') == header.plan_id
    return is_done and {} or {'expired'}
  end
end

local conflicts, dates = {}, redis.call('HKEYS', KEYS[5])
for n = 2, 3 do
  for first = 1, redis.call('EXISTS', KEYS[n]) * #dates, AT_ONCE do
    local last = math.min(first + AT_ONCE - 1, #dates)
    for i, holder in ipairs(redis.call('HMGET', KEYS[n], unpack(dates, first, last))) do
      if holder and holder ~= id then
        conflicts[#conflicts + 1] = dates[first + i - 1]
        conflicts[#conflicts + 1] = holder
      end
    end
  end
end
if #conflicts > 0 then return conflicts end

local t = redis.call('TIME')
redis.call('ZADD', KEYS[1], tonumber(t[1]) + tonumber(t[2]) / 1e6, id)
for field, value in pairs(header) do redis.call('HSET', KEYS[4], field, value) end
redis.call('HSET', KEYS[4], 'created', t[1] .. '.' .. string.format('%06d', t[2]))
if ARGV[3] ~= '' then redis.call('HSET', KEYS[4], 'deadline', t[1] + ARGV[3]) end
for i = 5, #KEYS, 2 do
  if redis.call('EXISTS', KEYS[i]) == 1 then -- a plan may have no steps
    redis.call('RENAME', KEYS[i], KEYS[i + 1])
    redis.call('PERSIST', KEYS[i + 1])
  end
end
for first = 1, #dates, AT_ONCE do
  local held = {}
  for i = first, math.min(first + AT_ONCE - 1, #dates) do
    held[#held + 1] = dates[i]
    held[#held + 1] = id
  end
  redis.call('HSET', KEYS[2], unpack(held))
end
return {}
