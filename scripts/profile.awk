# Reads profiles of callgrind (written with --compress-strings=no --compress-pos=no) and prints
# what each unit of work cost: `requests` says how many units there were.
#
#   awk -v requests=N -v what=totals    -f scripts/profile.awk PROFILE
#   awk -v requests=N -v what=functions -f scripts/profile.awk PROFILE | sort -rn | head
#   awk -v requests=N -v what=files     -f scripts/profile.awk PROFILE | sort -rn | head
#
# `totals` is one line: instructions, and calls of the allocator, per request. The others are a
# line each: instructions per request, and whose they are, without what is called from there.
# `files` sees through inlining, where `functions` cannot.

function spend(instructions) {
    total += instructions
    by_function[name] += instructions
    by_file[file] += instructions
}

# A source file in as few words as tell it from others.
function shortened(path) {
    if (match(path, /\/registry\/src\/[^\/]*\//)) return substr(path, RSTART + RLENGTH)
    if (match(path, /\/library\/(core|alloc|std)\//)) return substr(path, RSTART + 9)
    if (root != "" && index(path, root "/") == 1) return substr(path, length(root) + 2)
    gsub(/\.\/[^\/]*\/\.\.\//, "", path)
    return path
}

# What a program asks for memory with. A block that is given back was asked for before.
BEGIN {
    split("malloc calloc realloc memalign aligned_alloc posix_memalign", names, " ")
    for (place in names) is_allocator[names[place]] = 1
    # valgrind names no file where the object has no line numbers.
    file = "(no source)"
}

/^fn=/ { name = substr($0, 4); next }
/^f[lie]=/ {
    path = substr($0, 4)
    file = path == "???" ? "(no source)" : shortened(path)
    next
}
/^cfn=/ { callee = substr($0, 5); next }
/^calls=/ {
    if (is_allocator[callee] && !is_allocator[name]) allocations += substr($1, 7)
    # The next line is what the calls cost, which stands with the callee, too.
    getline
    next
}
/^[0-9]+ [0-9]+$/ { spend($2) }

END {
    if (total == 0 || requests <= 0) {
        print "the profile is empty" > "/dev/stderr"
        exit 1
    }
    if (what == "functions") for (name in by_function) printf "%9.1f  %s\n", by_function[name] / requests, name
    else if (what == "files") for (file in by_file) printf "%9.1f  %s\n", by_file[file] / requests, file
    else printf "%.1f %.4f\n", total / requests, allocations / requests
}
