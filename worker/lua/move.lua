-- A run goes from one of some states to another. KEYS: run. ARGV: new state, old states...
-- Answers the state it is in afterwards.
local state = redis.call('HGET', KEYS[1], 'state')
for i = 2, #ARGV do
  if ARGV[i] == state then
    redis.call('HSET', KEYS[1], 'state', ARGV[1])
    return ARGV[1]
  end
end
return state or 'forgotten'
