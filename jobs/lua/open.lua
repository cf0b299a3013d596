-- ARGV: id, keep in ms, idempotency key of the ledger ('' for none), then field, value … of the job;
-- after a field named 'done' come part, record … of parts that are finished already.
local known = ARGV[3] ~= '' and redis.call('GET', ARGV[3])
if known then return known end
if redis.call('EXISTS', JOB) == 1 then return ARGV[1] end
if ARGV[3] ~= '' then redis.call('SET', ARGV[3], ARGV[1], 'PX', ARGV[2]) end
redis.call('HSET', JOB, 'id', ARGV[1], 'keep', ARGV[2], 'created', now, 'swept', now, 'next', 0, 'frames_done', 0)
local index = 4
while ARGV[index] and ARGV[index] ~= 'done' do
  redis.call('HSET', JOB, ARGV[index], ARGV[index + 1])
  index = index + 2
end
index = index + 1
while ARGV[index] do
  redis.call('HSET', RECORDS, ARGV[index], ARGV[index + 1])
  redis.call('HINCRBY', JOB, 'frames_done', tonumber(string.match(ARGV[index + 1], '%d+$')))
  index = index + 2
end
if redis.call('HEXISTS', RECORDS, 'audio') == 0 then redis.call('ZADD', AGAIN, 0, 'audio') end
for _, old in ipairs(redis.call('ZRANGE', L .. 'jobs', 0, 9)) do  -- forget the names of jobs that were forgotten
  if redis.call('EXISTS', L .. 'job:' .. old) == 0 then redis.call('ZREM', L .. 'jobs', old) end
end
redis.call('ZADD', L .. 'jobs', now, ARGV[1])
tally('jobs_submitted')
set_state('queued')
return ARGV[1]
