/*
 * A script of our own: that of @bomb.sh/tab evaluates the line before Enter is pressed, expands the
 * words it is given, and needs functions of another package. This one runs nothing but `coffer
 * complete`, and works in bash 4 and later.
 */

/** The output of `coffer completion bash`. */
export const bashScript: string = `# bash completion for coffer: source <(coffer completion bash)

_coffer() {
    local at word joined='' glued='' line value lead directive=4
    local current=\${COMP_WORDS[COMP_CWORD]}
    local -a words
    words=()
    COMPREPLY=()

    # bash cuts words at = and :, which here are parts of them.
    for ((at = 1; at <= COMP_CWORD; at++)); do
        word=\${COMP_WORDS[at]}
        word=\${word//[\\"\\'\\\\]/}
        if [[ \${#words[@]} -gt 0 && ( -n $glued || $word == [=:]* ) ]]; then
            words[\${#words[@]}-1]+=$word
        else
            words+=("$word")
        fi
        glued=''
        [[ $word == *[=:] ]] && glued=yes
    done
    joined=\${words[\${#words[@]}-1]}
    [[ $joined == -*=* ]] && joined=\${joined#*=}
    current=\${current//[\\"\\'\\\\]/}
    [[ $current == [=:] ]] && current=''
    lead=\${joined%"$current"}

    while IFS= read -r line; do
        if [[ $line == :* ]]; then
            directive=\${line#:}
            continue
        fi
        value=\${line%%$'\\t'*}
        [[ $value == "$joined"* ]] && COMPREPLY+=("\${value#"$lead"}")
    done < <(command coffer complete -- "\${words[@]}" 2>/dev/null)

    if [[ $directive == 0 && \${#COMPREPLY[@]} -eq 0 ]]; then
        compopt -o default 2>/dev/null
    fi
    if [[ \${#COMPREPLY[@]} -eq 1 && \${COMPREPLY[0]} == */ ]]; then
        compopt -o nospace 2>/dev/null
    fi
}

complete -F _coffer coffer
`;
