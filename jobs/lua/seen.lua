-- A worker is alive. KEYS: the prefix of the ledger's keys. ARGV: worker, host, facts, how long to remember those that
-- vanished in ms, and those that may take work in ms, then what is counted for each worker and forgotten with it.
-- Returns 1 when it may take work, 0 when its host is drained.
local L, worker = KEYS[1], ARGV[1]
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
redis.call('ZADD', L .. 'seen', now, worker)
redis.call(ARGV[3] == '{}' and 'HSETNX' or 'HSET', L .. 'facts', worker, ARGV[3])  -- nothing said takes nothing back
for _, lost in ipairs(redis.call('ZRANGEBYSCORE', L .. 'seen', '-inf', now - tonumber(ARGV[4]) / 1000)) do
  redis.call('ZREM', L .. 'seen', lost)
  redis.call('HDEL', L .. 'facts', lost)
  for index = 6, #ARGV do redis.call('HDEL', L .. 'tallies', ARGV[index] .. '|' .. lost) end
end
redis.call('ZREMRANGEBYSCORE', L .. 'workers', '-inf', now - tonumber(ARGV[5]) / 1000)
if redis.call('SISMEMBER', L .. 'drained', ARGV[2]) == 1 then
  redis.call('ZREM', L .. 'workers', worker)
  return 0
end
redis.call('ZADD', L .. 'workers', now, worker)
return 1
