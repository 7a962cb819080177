-- Read a run's fields. The first read after its deadline moves it to cancelling.
-- KEYS: run. Answers {field, value, ...}.
local state = redis.call('HGET', KEYS[1], 'state')
local deadline = tonumber(redis.call('HGET', KEYS[1], 'deadline') or '')
if deadline and RUN_CANCELLABLE[state] then
  if tonumber(redis.call('TIME')[1]) >= deadline then
    redis.call('HSET', KEYS[1], 'state', RUN.CANCELLING, 'stopped_by', 'deadline')
  end
end
return redis.call('HGETALL', KEYS[1])
