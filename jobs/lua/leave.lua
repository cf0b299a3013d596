-- ARGV: part, attempt, reason, how long to leave it to others in ms. Returns 'others' or 'lost'.
local part = ARGV[1]
local state = get('state')
if not state or not is_held(part, ARGV[2]) then return 'lost' end
release(part)
redis.call('HDEL', CULPRITS, part)  -- who failed it last may be the only one who can do it
if state == 'cancelled' or state == 'done' then return 'lost' end
redis.call('ZADD', AGAIN, now + tonumber(ARGV[4]), part)
local offering = state == 'queued' or state == 'running' or state == 'assembling'
if offering and redis.call('ZCARD', CLAIMS) == 0 then redis.call('HSET', JOB, 'error', ARGV[3]) end
return 'others'
