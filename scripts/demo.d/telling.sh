# How a demonstration is told, and the Trellis it is told with. To be sourced, by bash with `set -euo pipefail`; needs `trellis`
# and `aws` on PATH. Everything it makes is gone when the script ends.

data=$(mktemp -d)
server=

step() { printf '\n\033[1m%s\033[0m\n' "$*"; }
why() { printf '\033[2m%s\033[0m\n' "$*" | fold -s -w 96; }
show() { printf '\033[36m$ %s\033[0m\n' "$*"; "$@"; }
quiet() { printf '\033[36m$ %s\033[0m\n' "$*" >&2; "$@"; }
lattice() { quiet aws vpc-lattice "$@" --output text; }
fail() { echo "$*" >&2; exit 1; }

# Calls the rest until it answers with the first, a hundred times at most.
until_it_is() { # wanted command...
    local wanted=$1 seen=
    shift
    for _ in $(seq 100); do
        seen=$("$@" 2>/dev/null) || true
        [ "$seen" = "$wanted" ] && return
        sleep 0.2
    done
    fail "$*: $seen, not $wanted"
}

clean_up() {
    status=$?
    if [ -n "$server" ]; then
        kill -TERM "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    [ "$status" = 0 ] || { echo "the demo failed; the log of trellis:" >&2; tail -30 "$data/log" >&2 || true; }
    rm -rf "$data"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# Control plane, data plane and DNS in one process, on free ports; `aws` and `trellis` find it.
start_trellis() { # flags...
    export TRELLIS_DATA_DIR=$data/state
    mkfifo "$data/ready"
    trellis up --listen 127.0.0.1:0 --metrics-listen 127.0.0.1:0 "$@" >"$data/ready" 2>"$data/log" &
    server=$!
    read -r -t 30 line <"$data/ready" || fail "trellis did not get ready"
    echo "$line"
    eval "$(trellis env)"
    export AWS_PAGER=
}

# Its id, on stdout.
vpc() { quiet aws ec2 create-vpc --cidr-block "$1" --query Vpc.VpcId --output text; }
subnet() { # vpc block further-flags...
    quiet aws ec2 create-subnet --vpc-id "$1" --cidr-block "$2" "${@:3}" --query Subnet.SubnetId --output text
}

# Brings a VPC into a service network, and waits until traffic flows.
associate_vpc() { # network vpc
    local association
    association=$(lattice create-service-network-vpc-association --service-network-identifier "$1" --vpc-identifier "$2" --query id)
    until_it_is ACTIVE aws vpc-lattice get-service-network-vpc-association \
        --service-network-vpc-association-identifier "$association" --query status --output text
}
