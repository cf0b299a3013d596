-- Shared head of all ledger scripts. KEYS[1] is the prefix of one job's keys, KEYS[2] that of the ledger as a whole.
-- (One prefix instead of a list of keys: the ledger lives on one Redis, and the ACL covers the prefix.)
local J, L = KEYS[1], KEYS[2]
local JOB, OFFERED, CLAIMS, AGAIN = J, J .. ':offered', J .. ':claims', J .. ':again'
local HOLDERS, ATTEMPTS, FAILURES = J .. ':holders', J .. ':attempts', J .. ':failures'
local QUARANTINE, RECORDS, PROGRESS = J .. ':quarantine', J .. ':records', J .. ':progress'
local ACTIVE = L .. 'active'

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function get(field) return redis.call('HGET', JOB, field) end
local function number(field) return tonumber(get(field) or '0') end
local function touch() redis.call('HSET', JOB, 'updated', now) end

local function set_state(state)
  redis.call('HSET', JOB, 'state', state, 'updated', now)
  if state == 'done' or state == 'cancelled' or state == 'failed' then
    redis.call('ZREM', ACTIVE, get('id'))
  else
    redis.call('ZADD', ACTIVE, number('created'), get('id'))
  end
  if state == 'done' or state == 'cancelled' then
    local keep = number('keep')
    for _, key in ipairs({JOB, OFFERED, CLAIMS, AGAIN, HOLDERS, ATTEMPTS, FAILURES, QUARANTINE, RECORDS, PROGRESS}) do
      redis.call('PEXPIRE', key, keep)
    end
  end
end

local function release(part)
  redis.call('ZREM', CLAIMS, part)
  redis.call('HDEL', HOLDERS, part)
  redis.call('HDEL', PROGRESS, part)
end

-- Count a failed execution; at the limit the part is quarantined and the job fails. True when it may be tried again.
local function count_failure(part, weight, limit, reason)
  local total = redis.call('HINCRBY', FAILURES, part, weight)
  if weight == 0 or total < limit then return true end
  redis.call('HSET', QUARANTINE, part, reason)
  redis.call('ZREM', OFFERED, part)
  redis.call('ZREM', AGAIN, part)
  local state = get('state')
  if state == 'queued' or state == 'running' or state == 'assembling' then
    redis.call('HSET', JOB, 'error', reason)
    set_state('failed')
  end
  return false
end

local function all_done() return redis.call('HLEN', RECORDS) >= number('chunks_total') + 1 end
