-- Put a delivered message back into its queue, ahead of others, unless that was done or it was
-- acknowledged meanwhile.
-- KEYS: delivered messages, when each was delivered, the queue. ARGV: delivery tag, the message.
-- Answers 1 when it was put back.
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('RPUSH', KEYS[3], ARGV[2])
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
