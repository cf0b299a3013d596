-- ARGV: target state, error ('' for none), then the states from which the move is legal. Returns the state afterwards.
local state = get('state')
if not state then return false end
for index = 3, #ARGV do
  if ARGV[index] == state then
    under_way(state)
    if ARGV[2] ~= '' then redis.call('HSET', JOB, 'error', ARGV[2]) end
    set_state(ARGV[1])
    return ARGV[1]
  end
end
return state
