-- Begin an attempt at a step, or resume one that was parked. The lease's token is written down:
-- it is the fencing token, which every later transition has to bring along.
-- KEYS: run, steps, step, dates, and the owners of leases where the token has to be one of them.
-- ARGV: step id, token, worker, token it was parked under or '', then the step's dates.
-- Answers {'go', state of a date, ..., field of the step, value, ...}, or {state} of the run or step
-- that forbids it.
if KEYS[5] and redis.call('HEXISTS', KEYS[5], ARGV[2]) == 0 then return {'unheld'} end
local run = redis.call('HGET', KEYS[1], 'state')
local parked = redis.call('HGET', KEYS[3], 'parked') or ''
-- A paused run starts no step; parked ones go on to their end.
if run ~= RUN.RUNNING and not (run == RUN.PAUSED and parked ~= '') then
  return {run or 'forgotten'}
end
local state = redis.call('HGET', KEYS[2], ARGV[1])
if not STEP_ACTIVE[state] then return {state or 'forgotten'} end
if parked ~= ARGV[4] then return {'taken'} end
local t = redis.call('TIME')
local now = t[1] .. '.' .. string.format('%06d', t[2])
if parked == '' then
  redis.call('HINCRBY', KEYS[3], 'attempt', 1)
  -- Takeover: the last attempt was never settled, since its worker died or its lease expired.
  if state == STEP.RUNNING then redis.call('HINCRBY', KEYS[3], 'crashes', 1) end
  redis.call('HSET', KEYS[3], 'began', now)
end
redis.call('HDEL', KEYS[3], 'parked', 'hangs')
redis.call('HSETNX', KEYS[3], 'started', now)
redis.call('HSETNX', KEYS[1], 'started', now)
redis.call('HSET', KEYS[3], 'token', ARGV[2], 'worker', ARGV[3], 'waits', 0, 'waiting', '')
redis.call('HSET', KEYS[2], ARGV[1], STEP.RUNNING)
local answer = {'go'}
for i = 5, #ARGV do answer[#answer + 1] = redis.call('HGET', KEYS[4], ARGV[i]) or '' end
for _, each in ipairs(redis.call('HGETALL', KEYS[3])) do answer[#answer + 1] = each end
return answer
