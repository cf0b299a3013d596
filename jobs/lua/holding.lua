-- KEYS: the prefix of the ledger's keys. ARGV: a host. Returns {worker, job, part …} of all claims that its workers hold.
local L, found = KEYS[1], {}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, job in ipairs(redis.call('ZRANGE', L .. 'jobs', 0, -1)) do
  local key = L .. 'job:' .. job
  for _, part in ipairs(redis.call('ZRANGEBYSCORE', key .. ':claims', now, '+inf')) do
    local worker = string.match(redis.call('HGET', key .. ':holders', part) or '', ' (.*)$')
    if worker and string.match(worker, '@(.*)$') == ARGV[1] then
      for _, word in ipairs({worker, job, part}) do found[#found + 1] = word end
    end
  end
end
return found
