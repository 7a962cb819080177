-- End a run, once: a compare-and-set on the number of its finalizations.
-- KEYS: run, held, dates, report, steps, then every key of the run but those of single steps.
-- ARGV: run id, final state, fields (JSON object), report (JSON), finalizations before this one,
--   seconds to keep it.
-- Answers 1, or 0 when it has ended, was retried meanwhile, or has steps to settle.
local AT_ONCE = 3000 -- dates per call: its stack holds 8000 values
local state = redis.call('HGET', KEYS[1], 'state')
if not RUN_ACTIVE[state] then return 0 end
if tonumber(redis.call('HGET', KEYS[1], 'endings') or 0) ~= tonumber(ARGV[5]) then return 0 end
for _, step in ipairs(redis.call('HVALS', KEYS[5])) do
  if STEP_ACTIVE[step] then return 0 end
end
local t = redis.call('TIME')
for field, value in pairs(cjson.decode(ARGV[3])) do redis.call('HSET', KEYS[1], field, value) end
redis.call('HSET', KEYS[1], 'state', ARGV[2], 'ended', t[1] .. '.' .. string.format('%06d', t[2]))
redis.call('HINCRBY', KEYS[1], 'endings', 1)
redis.call('SET', KEYS[4], ARGV[4])
local dates = redis.call('HKEYS', KEYS[3])
for first = 1, #dates, AT_ONCE do
  local last = math.min(first + AT_ONCE - 1, #dates)
  local own = {}
  for i, holder in ipairs(redis.call('HMGET', KEYS[2], unpack(dates, first, last))) do
    if holder == ARGV[1] then own[#own + 1] = dates[first + i - 1] end
  end
  if #own > 0 then redis.call('HDEL', KEYS[2], unpack(own)) end
end
-- In the same script: a run whose keys live on for different times is one that is lost. Those of its
-- steps follow in batches.
for i = 1, #KEYS do
  if i ~= 2 then redis.call('EXPIRE', KEYS[i], ARGV[6]) end
end
return 1
