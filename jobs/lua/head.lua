-- Shared head of all ledger scripts. KEYS[1] is the prefix of one job's keys, KEYS[2] that of the ledger as a whole.
-- (One prefix instead of a list of keys: the ledger lives on one Redis, and the ACL covers the prefix.)
local J, L = KEYS[1], KEYS[2]
local JOB, OFFERED, CLAIMS, AGAIN = J, J .. ':offered', J .. ':claims', J .. ':again'
local HOLDERS, ATTEMPTS, FAILURES = J .. ':holders', J .. ':attempts', J .. ':failures'
local QUARANTINE, RECORDS, PROGRESS = J .. ':quarantine', J .. ':records', J .. ':progress'
local CULPRITS, WAITING = J .. ':culprits', J .. ':waiting'
local ACTIVE = L .. 'active'

local UNWATCHED_MS = 30000

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function get(field) return redis.call('HGET', JOB, field) end
local function number(field) return tonumber(get(field) or '0') end
local function touch() redis.call('HSET', JOB, 'updated', now) end

local BOOKS = {
  JOB, OFFERED, WAITING, CLAIMS, AGAIN, HOLDERS, ATTEMPTS, FAILURES, QUARANTINE, RECORDS, PROGRESS, CULPRITS,
}

-- Count what happens over the life of the fleet; see jobs/tallies.py.
local function tally(field, number) redis.call('HINCRBYFLOAT', L .. 'tallies', field, number or 1) end

-- A part is offered to nobody any more, for now or for good.
local function withdraw(part)
  redis.call('ZREM', OFFERED, part)
  redis.call('ZREM', WAITING, part)
  redis.call('ZREM', AGAIN, part)
end

-- The message for a part is used up: ring again after a while.
local function ring_later(part, delay)
  redis.call('ZREM', OFFERED, part)
  redis.call('ZADD', AGAIN, now + delay, part)
end

-- Only jobs that are offered are active. What has ended is forgotten after a while: the store remembers it.
local function set_state(state)
  redis.call('HSET', JOB, 'state', state, 'updated', now)
  if state == 'queued' or state == 'running' or state == 'assembling' then
    redis.call('ZADD', ACTIVE, number('created'), get('id'))
  else
    redis.call('ZREM', ACTIVE, get('id'))
    redis.call('DEL', WAITING)  -- a pause is no waiting
  end
  local ended = state == 'done' or state == 'cancelled' or state == 'failed'
  if ended then tally('jobs_ended|' .. state) end
  for _, key in ipairs(BOOKS) do
    if ended then redis.call('PEXPIRE', key, number('keep')) else redis.call('PERSIST', key) end
  end
end

-- A claim is the attempt and its worker.
local function is_held(part, attempt)
  return string.match(redis.call('HGET', HOLDERS, part) or '', '^%d+') == attempt
end

local function holder_of(part)
  return string.match(redis.call('HGET', HOLDERS, part) or ' nobody', ' (.*)$')
end

local function release(part)
  redis.call('ZREM', CLAIMS, part)
  redis.call('HDEL', HOLDERS, part)
  redis.call('HDEL', PROGRESS, part)
end

-- Whether the job was cancelled. Who is told so holds the part no more.
local function tell_cancelled(part, attempt)
  if get('state') ~= 'cancelled' then return false end
  if is_held(part, attempt) then release(part) end
  return true
end

-- What an unfailed job waited for, it waits for no more.
local function under_way(state)
  if state ~= 'failed' then redis.call('HDEL', JOB, 'error') end
end

local function fail_job(reason)
  local state = get('state')
  if state == 'queued' or state == 'running' or state == 'assembling' then
    redis.call('HSET', JOB, 'error', reason)
    set_state('failed')
  end
end

-- Count a failed execution; at the limit the part is quarantined and the job fails. True when it may be tried again.
local function count_failure(part, worker, weight, reason)
  if weight == 0 then return true end
  redis.call('HSET', CULPRITS, part, worker)
  if redis.call('HINCRBY', FAILURES, part, weight) < number('limit') then return true end
  redis.call('HSET', QUARANTINE, part, reason)
  withdraw(part)
  tally('quarantines')
  fail_job(reason)
  return false
end

-- A claim ran out. When nobody has looked after the job for longer than that (Redis was away, or its clock jumped),
-- nothing says that the worker is at fault. True when the part may be tried again.
local function void_claim(part, weight)
  local worker = holder_of(part)
  release(part)
  tally('claims_expired')
  if now - number('swept') > UNWATCHED_MS then weight = 0 end
  return count_failure(part, worker, weight, 'part ' .. part .. ': its worker ' .. worker .. ' vanished')
end

local function all_done() return redis.call('HLEN', RECORDS) >= number('chunks_total') + 1 end
