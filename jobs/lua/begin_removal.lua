-- Be the only one who removes an avatar. KEYS: the removal's key; ARGV: token, ms. 1 when it is the caller's now.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
