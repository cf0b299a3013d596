-- KEYS: the prefix of the ledger's keys. ARGV: how many jobs to look at, the newest; how many to name; for how long in ms a
-- failed job is named, and one that is done. Jobs that have not ended go before those that have, what has waited longest
-- first. Returns {time in ms, {state, count …}, the named jobs, how many did not fit, and of those that are offered: parts
-- that wait, parts in flight, frames that are left}.
local L = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local newest, room = tonumber(ARGV[1]), tonumber(ARGV[2])
local shown_for = {failed = tonumber(ARGV[3]), done = tonumber(ARGV[4]), cancelled = 0}
local offered = {queued = true, running = true, assembling = true}
local counts, named, left, parts, claims, frames, ended = {}, {}, 0, 0, 0, 0, {}

local function name(job)
  local fits = #named < room
  if fits then named[#named + 1] = job else left = left + 1 end
  return fits
end

for _, job in ipairs(redis.call('ZRANGE', L .. 'jobs', -newest, -1)) do
  local key = L .. 'job:' .. job
  local state, updated = unpack(redis.call('HMGET', key, 'state', 'updated'))
  if state then
    counts[state] = (counts[state] or 0) + 1
    local limit = shown_for[state]
    if limit then
      if now - tonumber(updated or '0') < limit then ended[#ended + 1] = job end
    elseif not name(job) and offered[state] then
      local chunks, total, done = unpack(redis.call('HMGET', key, 'chunks_total', 'frames_total', 'frames_done'))
      local claimed = redis.call('ZCOUNT', key .. ':claims', now, '+inf')
      parts = parts + chunks + 2 - redis.call('HLEN', key .. ':records') - claimed
      claims = claims + claimed
      frames = frames + total - done
    end
  end
end
for _, job in ipairs(ended) do name(job) end
local flat = {}
for state, count in pairs(counts) do
  flat[#flat + 1] = state
  flat[#flat + 1] = count
end
return {now, flat, named, left, parts, claims, frames}
