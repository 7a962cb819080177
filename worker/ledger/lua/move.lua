-- Move a run from one of some states to another, and add up how long it was paused.
-- KEYS: run. ARGV: new state, old states...
-- Answers the state it is in afterwards; 'forgotten' when there is no such run.
local state = redis.call('HGET', KEYS[1], 'state')
for i = 2, #ARGV do
  if ARGV[i] == state then
    local t = redis.call('TIME')
    local now = t[1] .. '.' .. string.format('%06d', t[2])
    local paused = redis.call('HGET', KEYS[1], 'paused')
    if state == RUN.PAUSED and paused then
      redis.call('HINCRBYFLOAT', KEYS[1], 'paused_seconds', string.format('%.6f', tonumber(now) - tonumber(paused)))
    end
    if ARGV[1] == RUN.PAUSED then redis.call('HSET', KEYS[1], 'paused', now) end
    redis.call('HSET', KEYS[1], 'state', ARGV[1])
    return ARGV[1]
  end
end
return state or 'forgotten'
