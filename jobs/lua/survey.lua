-- KEYS: the prefix of the ledger's keys. ARGV: how many jobs to look at, the newest; how many to name; for how long in ms a
-- failed job is named, and one that is done. Returns {time in ms, {state, count …}, the named jobs oldest first, how many
-- did not fit, and of those that are offered: parts that wait, frames that are left}.
local L = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local newest, room = tonumber(ARGV[1]), tonumber(ARGV[2])
local shown_for = {failed = tonumber(ARGV[3]), done = tonumber(ARGV[4]), cancelled = 0}
local offered = {queued = true, running = true, assembling = true}
local counts, named, left, parts, frames = {}, {}, 0, 0, 0
for _, job in ipairs(redis.call('ZRANGE', L .. 'jobs', -newest, -1)) do
  local key = L .. 'job:' .. job
  local state, updated = unpack(redis.call('HMGET', key, 'state', 'updated'))
  if state then
    counts[state] = (counts[state] or 0) + 1
    local limit = shown_for[state]
    if not limit or now - tonumber(updated or '0') < limit then
      if #named < room then  -- what has waited longest matters most
        named[#named + 1] = job
      else
        left = left + 1
        if offered[state] then
          local chunks, total, done = unpack(redis.call('HMGET', key, 'chunks_total', 'frames_total', 'frames_done'))
          parts = parts + chunks + 2 - redis.call('HLEN', key .. ':records') - redis.call('ZCARD', key .. ':claims')
          frames = frames + total - done
        end
      end
    end
  end
end
local flat = {}
for state, count in pairs(counts) do
  flat[#flat + 1] = state
  flat[#flat + 1] = count
end
return {now, flat, named, left, parts, frames}
