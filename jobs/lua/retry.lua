-- ARGV: the parts to take out of quarantine; none means all. Returns the state afterwards.
local state = get('state')
if not state then return false end
if state ~= 'failed' then return state end
local parts = ARGV
if #parts == 0 then parts = redis.call('HKEYS', QUARANTINE) end
for _, part in ipairs(parts) do
  if redis.call('HDEL', QUARANTINE, part) == 1 then
    redis.call('HDEL', FAILURES, part)
    redis.call('ZADD', AGAIN, now, part)
  end
end
local left = redis.call('HLEN', QUARANTINE)
if left > 0 then return 'failed' end
redis.call('HDEL', JOB, 'error')
if all_done() then
  redis.call('ZADD', AGAIN, now, 'assemble')
  set_state('assembling')
else
  set_state('queued')
end
return get('state')
