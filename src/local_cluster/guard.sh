# Runs one server for as long as its owner lives, however the owner ends: kill -9 closes a pipe too.
#
# Arguments: the server's log, the directory to remove when the owner is gone (empty: none), the server, its
# arguments. Standard input is a pipe from the owner: two lines ask for an orderly end, the end of the pipe means
# that the owner is gone. Standard output gets one line, the server's exit code, when the server has ended.

log=$1
remove=$2
shift 2
trap '' INT HUP
exec 3<&0 </dev/null

"$@" >>"$log" 2>&1 3<&- &
server=$!
trap '' PIPE # nobody may be left to be told the exit code

# An orderly end takes seconds at most. Without an owner nobody waits for one, and storage survives a kill.
(
  read -r _ <&3 && kill -TERM "$server" && sleep 6
  kill -KILL "$server"
) >/dev/null 2>&1 &
watcher=$!

wait "$server"
code=$?
kill "$watcher" 2>/dev/null
echo "$code"

# The second line (or the first, to a server that had ended by itself) says that the owner goes on without it.
# No line: nobody is left. Of the guards that share a directory the last one finds it quiet.
if ! read -r _ <&3 && [ -n "$remove" ]; then
  cd / && rm -rf "$remove"
fi
