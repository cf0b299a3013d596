-- KEYS: the prefix of the ledger's keys. ARGV: how many jobs to look at, newest first; how many to name; for how long in
-- ms a failed job is named. Returns {time in ms, {state, count …}, the named jobs oldest first, how many did not fit}.
local L = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local counts, named, left = {}, {}, 0
local newest = tonumber(ARGV[1])
for _, job in ipairs(redis.call('ZRANGE', L .. 'jobs', -newest, -1)) do
  local state, updated = unpack(redis.call('HMGET', L .. 'job:' .. job, 'state', 'updated'))
  if state then
    counts[state] = (counts[state] or 0) + 1
    local recent = now - tonumber(updated or '0') < tonumber(ARGV[3])
    if state ~= 'done' and state ~= 'cancelled' and (state ~= 'failed' or recent) then
      if #named < tonumber(ARGV[2]) then  -- what has waited longest matters most
        named[#named + 1] = job
      else
        left = left + 1
      end
    end
  end
end
local flat = {}
for state, count in pairs(counts) do
  flat[#flat + 1] = state
  flat[#flat + 1] = count
end
return {now, flat, named, left}
