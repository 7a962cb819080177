-- Read a run's fields. The first read after its deadline moves it to cancelling; where Redis takes no
-- writes now (a replica, a full one) it is told so all the same.
-- KEYS: run. Answers {field, value, ...}.
local state = redis.call('HGET', KEYS[1], 'state')
local deadline = tonumber(redis.call('HGET', KEYS[1], 'deadline') or '')
local late = deadline and RUN_CANCELLABLE[state] and tonumber(redis.call('TIME')[1]) >= deadline
if late then redis.pcall('HSET', KEYS[1], 'state', RUN.CANCELLING, 'stopped_by', 'deadline') end
local answer = redis.call('HGETALL', KEYS[1])
for i = 1, #answer, 2 do
  if late and answer[i] == 'state' then answer[i + 1] = RUN.CANCELLING end
end
return answer
