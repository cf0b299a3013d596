-- ARGV: part, attempt, error, weight, delay in ms. Returns 'again', 'quarantined' or 'lost'.
local part = ARGV[1]
local holder = redis.call('HGET', HOLDERS, part)
if not holder or string.match(holder, '^%d+') ~= ARGV[2] then return 'lost' end
release(part)
touch()
if not count_failure(part, tonumber(ARGV[4]), number('limit'), ARGV[3]) then return 'quarantined' end
redis.call('ZADD', AGAIN, now + tonumber(ARGV[5]), part)
return 'again'
