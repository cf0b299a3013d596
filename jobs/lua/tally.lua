-- KEYS: the prefix of the ledger's keys. ARGV: token, then field, number …; what came with a token is added once.
local L = KEYS[1]
if not redis.call('SET', L .. 'told:' .. ARGV[1], 1, 'NX', 'PX', 600000) then return end
for index = 2, #ARGV, 2 do redis.call('HINCRBYFLOAT', L .. 'tallies', ARGV[index], ARGV[index + 1]) end
