-- ARGV: window, age in ms at which an offer is stale, failure weight. Returns the parts to ring for.
local state = get('state')
if state ~= 'queued' and state ~= 'running' and state ~= 'assembling' then return {} end
local window, stale, weight = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

for _, part in ipairs(redis.call('ZRANGEBYSCORE', CLAIMS, '-inf', now)) do
  if void_claim(part, weight) then redis.call('ZADD', AGAIN, now, part) end
end
redis.call('HSET', JOB, 'swept', now)
local bad = redis.call('HVALS', QUARANTINE)
if #bad > 0 then  -- by now, or while the job was paused
  fail_job(bad[1])
  return {}
end

if state ~= 'assembling' and all_done() then
  set_state('assembling')
  redis.call('ZADD', AGAIN, now, 'assemble')
end

local ring = {}
local function offer(part)
  redis.call('ZADD', OFFERED, now, part)
  redis.call('ZADD', WAITING, 'NX', now, part)  -- since when, however often it is rung for
  ring[#ring + 1] = part
end

for _, part in ipairs(redis.call('ZRANGEBYSCORE', OFFERED, '-inf', now - stale)) do offer(part) end

local room = window - redis.call('ZCARD', OFFERED) - redis.call('ZCARD', CLAIMS)
if room > 0 then
  for _, part in ipairs(redis.call('ZRANGEBYSCORE', AGAIN, '-inf', now, 'LIMIT', 0, room)) do
    redis.call('ZREM', AGAIN, part)
    offer(part)
    room = room - 1
  end
end
local next_chunk, total = number('next'), number('chunks_total')
while room > 0 and next_chunk < total do
  if redis.call('HEXISTS', RECORDS, next_chunk) == 0 and not redis.call('ZSCORE', CLAIMS, next_chunk) then
    offer(tostring(next_chunk))
    room = room - 1
  end
  next_chunk = next_chunk + 1
end
redis.call('HSET', JOB, 'next', next_chunk)
return ring
