-- Read a run's header. One whose deadline has passed is being cancelled from the first look on,
-- whoever looks. KEYS: run. Answers {field, value, ...}.
local state = redis.call('HGET', KEYS[1], 'state')
local deadline = redis.call('HGET', KEYS[1], 'deadline')
if deadline and (state == 'running' or state == 'paused' or state == 'incomplete') then
  if tonumber(redis.call('TIME')[1]) >= tonumber(deadline) then
    redis.call('HSET', KEYS[1], 'state', 'cancelling', 'stopped_by', 'deadline')
  end
end
return redis.call('HGETALL', KEYS[1])
