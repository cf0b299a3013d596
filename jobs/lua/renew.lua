-- ARGV: part, attempt, time to live in ms, frames rendered so far. Returns 'held', 'lost', or 'cancelled', which ends
-- the claim.
local part, attempt = ARGV[1], ARGV[2]
local state = get('state')
if tell_cancelled(part, attempt) then return 'cancelled' end
if not state or not is_held(part, attempt) then return 'lost' end
redis.call('ZADD', CLAIMS, now + tonumber(ARGV[3]), part)
redis.call('HSET', PROGRESS, part, ARGV[4])
under_way(state)
return 'held'
