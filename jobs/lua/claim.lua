-- ARGV: part, worker, time to live in ms, failure weight, how long to leave the part to others in ms.
-- Returns {verdict, attempt}.
local part, ttl = ARGV[1], tonumber(ARGV[3])
local state = get('state')
if not state then return {'unknown', 0} end
if state == 'cancelled' or state == 'done' then return {state, 0} end
if redis.call('HEXISTS', RECORDS, part) == 1 then return {'done', 0} end
if redis.call('HEXISTS', QUARANTINE, part) == 1 then return {'quarantined', 0} end
local worker = ARGV[2]
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
  if not void_claim(part, tonumber(ARGV[4])) then return {'quarantined', 0} end
end

-- A drained host takes nothing. And who failed a part last leaves it to others, if there are any: one sick worker must
-- not fail a healthy fleet's jobs.
local drained = redis.call('SISMEMBER', L .. 'drained', string.match(worker, '@(.*)$') or '') == 1
local culprit = redis.call('HGET', CULPRITS, part) == worker and redis.call('ZCARD', L .. 'workers') > 1
if drained or culprit then
  ring_later(part, tonumber(ARGV[5]))
  return {drained and 'drained' or 'others', 0}
end

-- Attempts name segments. Counted up, but never below the job's age in seconds: a Redis that lost its last second,
-- or everything, gives no number twice.
local age = math.floor((now - number('born')) / 1000) + 1
local attempt = math.max(tonumber(redis.call('HGET', ATTEMPTS, part) or '0') + 1, age)
redis.call('HSET', ATTEMPTS, part, attempt)
redis.call('ZADD', CLAIMS, now + ttl, part)
redis.call('HSET', HOLDERS, part, attempt .. ' ' .. worker)
withdraw(part)
tally('attempts')
redis.call('HSETNX', JOB, 'started', now)
if state == 'queued' then set_state('running') else touch() end
return {'claimed', attempt}
