-- ARGV: part, worker, time to live in ms, failure weight. Returns {verdict, attempt}.
local part, ttl = ARGV[1], tonumber(ARGV[3])
local state = get('state')
if not state then return {'unknown', 0} end
if state == 'cancelled' or state == 'done' then return {state, 0} end
if redis.call('HEXISTS', RECORDS, part) == 1 then return {'done', 0} end
if redis.call('HEXISTS', QUARANTINE, part) == 1 then return {'quarantined', 0} end
if state == 'paused' or state == 'failed' then
  -- The message is used up: offer the part again as soon as the job goes on.
  if redis.call('ZREM', OFFERED, part) == 1 then redis.call('ZADD', AGAIN, now, part) end
  return {state, 0}
end
if part == 'assemble' then
  if state ~= 'assembling' then return {'early', 0} end
elseif part ~= 'audio' and tonumber(part) >= number('chunks_total') then
  return {'unknown', 0}
end

local deadline = redis.call('ZSCORE', CLAIMS, part)
if deadline then
  if tonumber(deadline) > now then return {'taken', 0} end
  local holder = redis.call('HGET', HOLDERS, part) or '?'
  release(part)
  if not count_failure(part, tonumber(ARGV[4]), number('limit'), 'its worker vanished (attempt ' .. holder .. ')') then
    return {'quarantined', 0}
  end
end

local attempt = redis.call('HINCRBY', ATTEMPTS, part, 1)
redis.call('ZADD', CLAIMS, now + ttl, part)
redis.call('HSET', HOLDERS, part, attempt .. ' on ' .. ARGV[2])
redis.call('ZREM', OFFERED, part)
redis.call('ZREM', AGAIN, part)
redis.call('HSETNX', JOB, 'started', now)
if state == 'queued' then set_state('running') else touch() end
return {'claimed', attempt}
