-- KEYS: the prefix of the ledger's keys. ARGV: a host that takes no more work. Its workers count for nobody any more.
local L = KEYS[1]
redis.call('SADD', L .. 'drained', ARGV[1])
for _, worker in ipairs(redis.call('ZRANGE', L .. 'workers', 0, -1)) do
  if string.match(worker, '@(.*)$') == ARGV[1] then redis.call('ZREM', L .. 'workers', worker) end
end
