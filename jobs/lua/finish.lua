-- ARGV: part, record ('attempt sha256 size frames'), output ('' for none), then the bounds in seconds of the buckets in
-- which the time to the first segment is counted.
-- Returns 'recorded', 'duplicate', 'cancelled' or 'unknown'.
local part = ARGV[1]
local state = get('state')
if not state then return 'unknown' end
if tell_cancelled(part, string.match(ARGV[2], '^%d+')) then return 'cancelled' end
if redis.call('HSETNX', RECORDS, part, ARGV[2]) == 0 then return 'duplicate' end
release(part)
withdraw(part)
redis.call('HDEL', ATTEMPTS, part)
redis.call('HDEL', FAILURES, part)
redis.call('HDEL', CULPRITS, part)
local mended = redis.call('HDEL', QUARANTINE, part) == 1 and redis.call('HLEN', QUARANTINE) == 0
if tonumber(part) and redis.call('HSETNX', JOB, 'first_segment', now) == 1 then
  local waited, bucket = (now - number('created')) / 1000, '+Inf'
  for index = #ARGV, 4, -1 do
    if waited <= tonumber(ARGV[index]) then bucket = ARGV[index] end
  end
  tally('first_segment_seconds_bucket|' .. bucket)
  tally('first_segment_seconds_sum', waited)
end
redis.call('HINCRBY', JOB, 'frames_done', tonumber(string.match(ARGV[2], '%d+$')))
touch()
under_way(state)
if part == 'assemble' then
  redis.call('HSET', JOB, 'output', ARGV[3])
  redis.call('HDEL', JOB, 'error')
  set_state('done')
elseif state == 'failed' and mended then  -- a worker that was thought lost finished the part that failed the job
  redis.call('HDEL', JOB, 'error')
  set_state('queued')
elseif state == 'running' and all_done() then
  set_state('assembling')
  redis.call('ZADD', AGAIN, now, 'assemble')
end
return 'recorded'
