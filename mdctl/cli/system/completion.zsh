_mdctl() {
    local line value about code
    local -a found whole open
    found=("${(@f)$(command mdctl __complete zsh "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    code=$?
    for line in $found; do
        value=${line%%$'\t'*}
        about=${line#$value}
        value=${value//:/\\:}${about:+:${about#$'\t'}}
        if [[ $line == *= ]]; then
            open+=("$value")
        else
            whole+=("$value")
        fi
    done
    (( $#whole )) && _describe 'mdctl' whole
    (( $#open )) && _describe 'mdctl' open -S ''
    (( code == 10 )) && _files
    return 0
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
compdef _mdctl mdctl
