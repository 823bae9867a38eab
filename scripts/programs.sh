# Sourced by what runs tests: programs that they need beside Rust, a C compiler and git.

# install_programs PROGRAM=PACKAGE,PACKAGE..: installs the Debian packages of the programs that are
# missing, where this user may. What is missing then is in the arrays `missing`, by programs, and
# `packages`; whoever called says what becomes of it.
install_programs() {
    look_for_programs "$@"
    ((${#missing[@]})) && command -v apt-get >/dev/null || return 0
    local as_root=()
    if ((EUID != 0)); then
        sudo -n true 2>/dev/null || return 0
        as_root=(sudo -n)
    fi
    as_root+=(env DEBIAN_FRONTEND=noninteractive apt-get -qq)
    echo "installing ${packages[*]}" >&2
    # A machine without a network may lack them as well.
    "${as_root[@]}" update && "${as_root[@]}" install -y --no-install-recommends "${packages[@]}" || true
    hash -r
    look_for_programs "$@"
}

look_for_programs() {
    local pair of_program
    missing=() packages=()
    for pair in "$@"; do
        command -v "${pair%%=*}" >/dev/null && continue
        missing+=("${pair%%=*}")
        IFS=, read -ra of_program <<<"${pair#*=}"
        packages+=("${of_program[@]}")
    done
}
