-- Register a run, and hold its dates, unless another run holds one of them.
-- KEYS: runs, held, run, plan, steps, dates, chunks, held by runs of earlier versions.
-- ARGV: run id, header (JSON object), plan (JSON), step ids (JSON list), dates (JSON list),
--   seconds from now to its deadline, or '', then each chunk's id and JSON.
-- Answers {} when registered, else {date, run, date, run, ...} of those held.
local conflicts, dates = {}, cjson.decode(ARGV[5])
for _, date in ipairs(dates) do
  local holder = redis.call('HGET', KEYS[2], date) or redis.call('HGET', KEYS[8], date)
  if holder and holder ~= ARGV[1] then
    conflicts[#conflicts + 1] = date
    conflicts[#conflicts + 1] = holder
  end
end
if #conflicts > 0 then return conflicts end
local t = redis.call('TIME')
redis.call('ZADD', KEYS[1], tonumber(t[1]) + tonumber(t[2]) / 1e6, ARGV[1])
for field, value in pairs(cjson.decode(ARGV[2])) do redis.call('HSET', KEYS[3], field, value) end
redis.call('HSET', KEYS[3], 'created', t[1] .. '.' .. string.format('%06d', t[2]))
if ARGV[6] ~= '' then redis.call('HSET', KEYS[3], 'deadline', t[1] + ARGV[6]) end
redis.call('SET', KEYS[4], ARGV[3])
for i = 7, #ARGV, 2 do redis.call('HSET', KEYS[7], ARGV[i], ARGV[i + 1]) end
for _, step in ipairs(cjson.decode(ARGV[4])) do redis.call('HSET', KEYS[5], step, STEP.PENDING) end
for _, date in ipairs(dates) do
  redis.call('HSET', KEYS[6], date, DATE.PENDING)
  redis.call('HSET', KEYS[2], date, ARGV[1])
end
return {}
