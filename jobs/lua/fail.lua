-- ARGV: part, attempt, error, weight, first delay in ms, longest delay in ms. Returns 'again', 'quarantined' or 'lost'.
local part, weight = ARGV[1], tonumber(ARGV[4])
local state = get('state')
if not state or not is_held(part, ARGV[2]) then return 'lost' end
local worker = holder_of(part)
release(part)
if state == 'cancelled' or state == 'done' then return 'lost' end
touch()
if not count_failure(part, worker, weight, ARGV[3]) then return 'quarantined' end
local delay = 0
if weight > 0 then  -- doubled with every failure of the same kind
  local failures = tonumber(redis.call('HGET', FAILURES, part)) / weight
  delay = math.min(tonumber(ARGV[5]) * 2 ^ (failures - 1), tonumber(ARGV[6]))
end
redis.call('ZADD', AGAIN, now + delay, part)
return 'again'
