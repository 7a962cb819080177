-- Move a step to a new state at the end of an attempt: settled, requeued, or parked while a
-- service works. Fenced: only the token of the attempt that is under way may.
-- KEYS: steps, dates, step. ARGV: step id, token ('' when the step never started), new state,
--   fields of the step (JSON object), dates to set (JSON object date -> state),
--   steps to settle with it (JSON object step -> state).
-- Answers 1, or 0 when another attempt has taken the step over, or it was settled.
local state = redis.call('HGET', KEYS[1], ARGV[1])
if ARGV[2] == '' then
  if state ~= STEP.PENDING then return 0 end
else
  if state ~= STEP.RUNNING or redis.call('HGET', KEYS[3], 'token') ~= ARGV[2] then return 0 end
end
local t = redis.call('TIME')
local now = t[1] .. '.' .. string.format('%06d', t[2])
local began = redis.call('HGET', KEYS[3], 'began')
-- A parked step is still at work, because its service is. An attempt whose worker died adds no
-- seconds.
if began and ARGV[2] ~= '' and ARGV[3] ~= STEP.RUNNING then
  redis.call('HINCRBYFLOAT', KEYS[3], 'worked', string.format('%.6f', tonumber(now) - tonumber(began)))
  redis.call('HDEL', KEYS[3], 'began')
end
for field, value in pairs(cjson.decode(ARGV[4])) do redis.call('HSET', KEYS[3], field, value) end
for date, to in pairs(cjson.decode(ARGV[5])) do redis.call('HSET', KEYS[2], date, to) end
for step, to in pairs(cjson.decode(ARGV[6])) do
  if redis.call('HGET', KEYS[1], step) == STEP.PENDING then redis.call('HSET', KEYS[1], step, to) end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('HSET', KEYS[3], 'ended', now)
return 1
