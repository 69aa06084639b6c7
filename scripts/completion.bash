# Commands with completion for bash: `source scripts/completion.bash`, then capstone-train, -predict, -jobs and -scale.
#
# Each runs `python -m …` in the environment that make has set up for it, wherever you are. click completes the names
# of commands and options, bash those of files.
_capstone_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

_capstone_python() {  # train, predict, jobs or scale -> the Python that has what it needs
    case $1 in jobs) set -- train ;; esac
    echo "${CAPSTONE_PYTHON:-$_capstone_root/.env/$1/bin/python}"
}

_capstone() {
    PYTHONPATH=$_capstone_root "$(_capstone_python "$1")" -m "$@"
}

_capstone_complete() {
    local program=${1#capstone-} type value
    local variable
    variable="_PYTHON _M $(tr '[:lower:]' '[:upper:]' <<<"$program")_COMPLETE"  # what click reads for `python -m …`
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
            dir) compopt -o dirnames 2>/dev/null ;;
            file) compopt -o default 2>/dev/null ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done < <(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD="$COMP_CWORD" PYTHONPATH="$_capstone_root" \
        "$variable=bash_complete" "$(_capstone_python "$program")" -m "$program" 2>/dev/null)
}

capstone-train() { _capstone train "$@"; }
capstone-predict() { _capstone predict "$@"; }
capstone-jobs() { _capstone jobs "$@"; }
capstone-scale() { _capstone scale "$@"; }
complete -F _capstone_complete capstone-train capstone-predict capstone-jobs capstone-scale
