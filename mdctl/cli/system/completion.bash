_mdctl() {
    local word found code
    found="$(command mdctl __complete bash "${COMP_LINE:0:COMP_POINT}" "$2" 2>/dev/null)"
    code=$?
    COMPREPLY=()
    while IFS= read -r word; do
        [[ -n $word ]] && COMPREPLY+=("$word")
        [[ $word == *= ]] && compopt -o nospace 2>/dev/null
    done <<< "$found"
    if [[ $code -ne 10 ]]; then
        compopt +o default 2>/dev/null
    elif [[ ${#COMPREPLY[@]} -gt 0 ]]; then
        compopt -o filenames 2>/dev/null
        while IFS= read -r word; do
            COMPREPLY+=("$word")
        done < <(compgen -f -- "$2")
    fi
}
complete -o default -F _mdctl mdctl
