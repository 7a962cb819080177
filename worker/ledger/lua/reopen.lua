-- Reopen an ended run for some of its dates (a retry): compare-and-set on its state.
-- KEYS: run, held, steps, dates, held by runs of earlier versions, then one key per step to
--   reopen, then every key of the run.
-- ARGV: run id, dates (JSON list), step ids (JSON list, as KEYS from the sixth),
--   whether services may be forced (1 or 0), seconds from now to its new deadline, or '',
--   the realm of `held`.
-- Answers {} when reopened, {state} when the run has not ended, else {date, run, ...} of those held.
local state = redis.call('HGET', KEYS[1], 'state')
if not RUN_ENDED[state] then return {state} end
local dates, steps, conflicts = cjson.decode(ARGV[2]), cjson.decode(ARGV[3]), {}
for _, date in ipairs(dates) do
  local holder = redis.call('HGET', KEYS[2], date) or redis.call('HGET', KEYS[5], date)
  if holder and holder ~= ARGV[1] then
    conflicts[#conflicts + 1] = date
    conflicts[#conflicts + 1] = holder
  end
end
if #conflicts > 0 then return conflicts end
for _, date in ipairs(dates) do
  redis.call('HSET', KEYS[4], date, DATE.PENDING)
  redis.call('HSET', KEYS[2], date, ARGV[1])
end
for i, step in ipairs(steps) do
  redis.call('HSET', KEYS[3], step, STEP.PENDING)
  redis.call('HSET', KEYS[5 + i], 'failures', 0, 'crashes', 0, 'error', '', 'problems', '{}', 'tried', '{}', 'checkpoint', '{}')
  -- `misfits` counts config mismatches, here and in the run: `worker.ledger.record.MISMATCHES`.
  redis.call('HDEL', KEYS[5 + i], 'parked', 'misfits')
end
redis.call('HDEL', KEYS[1], 'ended', 'validation', 'deadline', 'stopped_by', 'paused_seconds',
  'note', 'misfits')
local t = redis.call('TIME')
redis.call('HSET', KEYS[1], 'resumed', t[1] .. '.' .. string.format('%06d', t[2]))
if ARGV[5] ~= '' then redis.call('HSET', KEYS[1], 'deadline', t[1] + ARGV[5]) end
redis.call('HSET', KEYS[1], 'force_service', ARGV[4], 'realm', ARGV[6], 'state', RUN.INCOMPLETE)
for _, key in ipairs(KEYS) do redis.call('PERSIST', key) end
return {}
