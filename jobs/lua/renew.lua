-- ARGV: part, attempt, time to live in ms, frames rendered so far. Returns 'held', 'lost' or 'cancelled'.
local part, attempt = ARGV[1], ARGV[2]
local state = get('state')
if state == 'cancelled' then return 'cancelled' end
local holder = redis.call('HGET', HOLDERS, part)
if not state or not holder or string.match(holder, '^%d+') ~= attempt then return 'lost' end
redis.call('ZADD', CLAIMS, now + tonumber(ARGV[3]), part)
redis.call('HSET', PROGRESS, part, ARGV[4])
under_way(state)
return 'held'
