-- End a run as failed that cannot be ended by its report, free its dates, and set its keys' life.
-- KEYS: run, held, report, then what is left of the run but keys of single steps.
-- ARGV: run id, note, seconds to keep it, report (JSON).
-- Answers 1, or 0 when it has ended.
if not RUN_ACTIVE[redis.call('HGET', KEYS[1], 'state')] then return 0 end
local t = redis.call('TIME')
redis.call('HSET', KEYS[1], 'state', RUN.FAILED, 'note', ARGV[2],
  'ended', t[1] .. '.' .. string.format('%06d', t[2]))
redis.call('SET', KEYS[3], ARGV[4])
local held = redis.call('HGETALL', KEYS[2])
for i = 1, #held, 2 do
  if held[i + 1] == ARGV[1] then redis.call('HDEL', KEYS[2], held[i]) end
end
for i = 1, #KEYS do
  if i ~= 2 then redis.call('EXPIRE', KEYS[i], ARGV[3]) end
end
return 1
