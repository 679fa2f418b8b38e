# SPDX-License-Identifier: LGPL-2.1-or-later
# fish completion for backplane-system-*. The program itself knows what there is.
function __backplane_complete
    set -l before (commandline -opc)
    set -l current (commandline -ct)
    set -l program $before[1]
    set -l reply ($program -complete (count $before) -- $before "$current" 2>/dev/null)
    set -l mode (string split -m 1 ' ' -- $reply[1])
    if test "$mode[1]" = files
        set -l prefix (string sub -s 7 -- $reply[1])
        set -l typed (string sub -s (math (string length -- "$prefix") + 1) -- "$current")
        for path in (__fish_complete_path "$typed")
            printf '%s%s\n' "$prefix" "$path"
        end
        return
    end
    test (count $reply) -gt 1; and printf '%s\n' $reply[2..-1]
end

for program in backplane-system-x86_64 backplane-system-i386
    complete -c $program -f -a '(__backplane_complete)'
end
