# bash completion for callgate. Verbs and options are read from --help, so they are always those of
# the program that is installed.

_callgate() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
  local program=${COMP_WORDS[0]} verb=${COMP_WORDS[1]}
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    mapfile -t COMPREPLY < <(compgen -W \
      "$("$program" --help 2>/dev/null | sed -nE 's/^  ([a-z]+)  +.*/\1/p') help version" -- "$current")
    return
  fi
  local i
  for ((i = 2; i < COMP_CWORD; i++)); do
    if [[ $verb == run && ${COMP_WORDS[i]} == -- ]]; then
      # What follows is a command of its own.
      if declare -F _command_offset >/dev/null; then
        _command_offset $((i + 1))
      else
        mapfile -t COMPREPLY < <(compgen -c -- "$current")
      fi
      return
    fi
  done
  case $previous in
    -f | --format)
      local formats="listing raw hex c json"
      [[ $verb == compile ]] && formats+=" dot svg"
      [[ $verb == import || $verb == export ]] &&
        formats="oci docker spo firecracker minijail kafel systemd"
      mapfile -t COMPREPLY < <(compgen -W "$formats" -- "$current")
      ;;
    --approximate) mapfile -t COMPREPLY < <(compgen -W "tighter looser" -- "$current") ;;
    --include) mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
    -o | --output | --depfile | -p | --policy | --subset-of | --equal | --listener)
      mapfile -t COMPREPLY < <(compgen -f -- "$current")
      ;;
    --name | --z3 | --status-fd | --audit-fd | --notify-fd | -a | --arch | --never | --always | --cap | --kernel) ;;
    -s | --severity) mapfile -t COMPREPLY < <(compgen -W "info warning error" -- "$current") ;;
    *)
      if [[ $verb == help ]]; then
        mapfile -t COMPREPLY < <(compgen -W \
          "$("$program" --help 2>/dev/null | sed -nE 's/^  ([a-z]+)  +.*/\1/p')" -- "$current")
      elif [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W \
          "$("$program" "$verb" --help 2>/dev/null | sed -n '/^options:/,$p' |
            grep -oE '^ +(-[a-z], )?--[a-z0-9-]+' | tr -d ,)" -- "$current")
      elif [[ $verb == @(agent|asm|disasm|decompile|diff|eval|explain|import|lint|prove|report) ]]; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
      else
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -X '!*.cg' -- "$current"; compgen -d -- "$current")
      fi
      ;;
  esac
}

complete -F _callgate callgate
