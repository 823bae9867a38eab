# Reads the summaries of strace -c of a short and of a long run, and prints a line with what each of
# the `requests` between them cost, beside the `instructions` and `allocations` that it is given.
# Fails when a bound of the server `name` is broken, and says which.
#
#   awk -v name=NAME [-v instructions=N -v allocations=N] -v requests=N \
#       [-v instructions_max=N -v allocations_max=N] -f scripts/calls.awk SHORT LONG
#
# The maxima are what hyper needs on tokio: hyper on corering may not need more, on a ring a tenth more
# instructions. Its bookkeeping for each send and receive costs those, and saves the calls, which cost more.

# The class of a call: a column of the table.
function class(call) {
    if (call == "io_uring_enter") return "enter"
    if (call ~ /^epoll_p?wait2?$/) return "wait"
    if (call == "epoll_ctl") return "control"
    if (call ~ /^(recvfrom|recvmsg|recvmmsg|read|readv)$/) return "receive"
    if (call ~ /^(sendto|sendmsg|sendmmsg|write|writev)$/) return "send"
    return "others"
}

# How many of it a request may cost.
function bound(call) {
    if (call == "io_uring_enter" && name ~ /^uring/) return 0.1
    # What waits by notification receives and sends by a call of its own.
    if (name ~ /^uring-(notification|owned)$/ && class(call) ~ /^(receive|send)$/) return 1.1
    if (name ~ /^uring/) return 0.01
    if (name !~ /^epoll/) return 1e9
    if (call == "epoll_ctl") return 0.01
    return class(call) == "receive" ? 1.1 : 1e9
}

function check(what, count, most) {
    if (count <= most) return
    printf "%s: %.4f %s per request, above the bound of %s\n", name, count, what, most > "/dev/stderr"
    broken = 1
}

# What static_server may cost for a file that is open already. Whether the page cache has it is asked
# once a second, which is less than the difference of two runs shows.
function check_static(beside, waits) {
    if (name == "static-uring-1k") check("calls beside io_uring_enter", beside, 0.1)
    if (name == "static-epoll-1k") check("calls", beside + waits, 2.1)
    if (name ~ /^static-(uring|epoll)-64k$/) check("calls beside those that wait", beside, 3.1)
}

# A figure, or a dash where it was not taken.
function figure(format, value) {
    return value == "" ? "-" : sprintf(format, value)
}

FNR == 1 { run++ }
$4 ~ /^[0-9]+$/ && $NF != "total" {
    calls[$NF] += run == 1 ? -$4 : $4
    rows[run]++
}

END {
    if (!rows[1] || !rows[2] || requests <= 0) {
        print name ": strace counted nothing" > "/dev/stderr"
        exit 1
    }
    for (call in calls) {
        each = calls[call] / requests
        # Starting up takes a call more or less by chance.
        if (each < 0 && each > -0.001) each = 0
        by_class[class(call)] += each
        sum += each
        check(call, each, bound(call))
    }
    waits = by_class["enter"] + by_class["wait"]
    check_static(sum - waits, waits)
    # No heap allocation per receive or send in steady state.
    if (name ~ /^(uring|epoll)/) check("allocations", allocations, 0.01)
    if (name ~ /^hyper-/ && instructions_max != "") {
        check("instructions", instructions, instructions_max * (name == "hyper-uring" ? 1.1 : 1))
        check("allocations", allocations, allocations_max + 0.01)
    }
    printf "%-18s %12s %11s ", name, figure("%.1f", instructions), figure("%.4f", allocations)
    count = split("enter wait control receive send others", classes, " ")
    for (place = 1; place <= count; place++) printf " %8.4f", by_class[classes[place]]
    printf "\n"
    exit broken
}
