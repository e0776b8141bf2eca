# fish completion for callgate. Verbs and options are read from --help, so they are always those of
# the program that is installed.

function __callgate_verbs
    callgate --help 2>/dev/null | string replace -rf '^  ([a-z]+)  +(.*)$' '$1\t$2'
end

function __callgate_options
    set -l words (commandline -opc)
    for line in (callgate $words[2] --help 2>/dev/null)
        set -l parts (string match -r '^ +(?:(-[a-z]), )?(--[a-z0-9-]+)(?: [A-Z]+)? +(.*)$' -- $line)
        or continue
        printf '%s\t%s\n' $parts[-2] $parts[-1]
        test -n "$parts[2]"; and printf '%s\t%s\n' $parts[2] $parts[-1]
    end
end

function __callgate_previous_is
    contains -- (commandline -opc)[-1] $argv
end

set -l at_verb 'test (count (commandline -opc)) -eq 1'
set -l after_separator '__fish_seen_subcommand_from run; and contains -- -- (commandline -opc)'
set -l before_separator "not begin; $at_verb; or begin; $after_separator; end; end"

complete -c callgate -f
complete -c callgate -n $at_verb -a '(__callgate_verbs)'
complete -c callgate -n $at_verb -a help -d 'tell about a verb'
complete -c callgate -n $at_verb -a version -d 'print the version'
complete -c callgate -n '__fish_seen_subcommand_from help' -a '(__callgate_verbs)'
complete -c callgate -n '__callgate_previous_is -f --format; and not __fish_seen_subcommand_from import export' \
    -a 'listing raw hex c json'
complete -c callgate -n '__callgate_previous_is -f --format; and __fish_seen_subcommand_from compile' -a 'dot svg'
complete -c callgate -n '__callgate_previous_is -f --format; and __fish_seen_subcommand_from import export' \
    -a 'oci docker spo firecracker minijail kafel systemd'
complete -c callgate -n '__callgate_previous_is --approximate' -a 'tighter looser'
complete -c callgate -n '__callgate_previous_is --include' -a '(__fish_complete_directories)'
complete -c callgate -n "$before_separator; and string match -q -- '-*' (commandline -ct)" \
    -a '(__callgate_options)'
complete -c callgate -n '__callgate_previous_is -s --severity' -a 'info warning error'
complete -c callgate -n '__callgate_previous_is -o --output --depfile -p --policy --subset-of --equal --listener' -F
complete -c callgate -n '__fish_seen_subcommand_from agent asm disasm decompile diff eval explain import lint prove report; \
    and not __callgate_previous_is -f --format -a --arch --name --z3 --cap --kernel -s --severity' -F
complete -c callgate -n "$before_separator; and not __fish_seen_subcommand_from help agent asm disasm \
    decompile diff eval explain import lint prove report; \
    and not __callgate_previous_is -f --format -o --output --depfile -p --policy --subset-of --equal --listener -a --arch --name \
        --z3 --status-fd --audit-fd --notify-fd --never --always --approximate --include --cap --kernel" \
    -a '(__fish_complete_suffix .cg)'
complete -c callgate -n $after_separator -a '(__fish_complete_subcommand --fcs-skip=2)'
