-- KEYS: the prefix of the ledger's keys. Returns job, parts that are not finished, job … of the active jobs, oldest first.
local found = {}
for _, job in ipairs(redis.call('ZRANGE', KEYS[1] .. 'active', 0, -1)) do
  local key = KEYS[1] .. 'job:' .. job
  local all = tonumber(redis.call('HGET', key, 'chunks_total') or '0') + 2  -- with the audio track and the assembly
  found[#found + 1] = job
  found[#found + 1] = all - redis.call('HLEN', key .. ':records')
end
return found
