function __mdctl_complete
    set -l current (commandline -ct)
    set -l found (command mdctl __complete fish (commandline -opc)[2..] "$current" 2>/dev/null)
    set -l code $status
    printf '%s\n' $found
    test $code -eq 10; and __fish_complete_path "$current"
end
complete -c mdctl -e
complete -c mdctl -f -a '(__mdctl_complete)'
