# Shared by the tools: system packages and the virtual environment.
# Source it; it defines functions and runs nothing.

# say WHAT: a line of progress with the seconds since the tool started
say() {
    printf '[%4ds] %s\n' "$SECONDS" "$*"
}

# die WHAT: end with a message
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# need_debian_root: refuse where the tools cannot work
need_debian_root() {
    [ "$(uname -s)" = Linux ] || die "this runs on Linux only, not on $(uname -s)"
    [ "$(id -u)" -eq 0 ] || die "run this as root (sudo $0)"
    command -v apt-get >/dev/null || die "apt-get is missing: Debian or Ubuntu is needed"
}

# bindep_packages PROFILE: names in bindep.txt of a profile and of all profiles
bindep_packages() {
    sed -e 's/#.*//' -e '/^[[:space:]]*$/d' bindep.txt | awk -v want="$1" '
        { name = $1; tags = $0; sub(/^[^[]*\[/, "", tags); sub(/\].*/, "", tags)
          n = split(tags, parts, " "); general = 1; hit = 0
          for (i = 1; i <= n; i++) {
              if (parts[i] ~ /^platform:/) continue
              general = 0
              if (parts[i] == want) hit = 1
          }
          if (general || hit) print name }'
}

# install_packages PROFILE: install what is missing, without starting services
install_packages() {
    local missing=() package policy=/usr/sbin/policy-rc.d made=no
    for package in $(bindep_packages "$1"); do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
            missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    say "installing ${missing[*]}"
    if [ ! -e "$policy" ]; then
        # the all-in-one runs private servers; the packages' own must not start
        printf '#!/bin/sh\nexit 101\n' > "$policy"
        chmod 755 "$policy"
        made=yes
    fi
    local status=0
    { apt-get update -q &&
        DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
            "${missing[@]}"; } >"${TMPDIR:-/tmp}/trove-apt.log" 2>&1 || status=$?
    [ "$made" = no ] || rm -f "$policy"
    if [ "$status" -ne 0 ]; then
        tail -n 20 "${TMPDIR:-/tmp}/trove-apt.log" >&2
        die "apt-get failed"
    fi
}

# make_venv DIR EXTRAS [editable]: a virtual environment with this tree in it
make_venv() {
    local dir=$1 extras=$2 editable=${3:-} stamp want
    if [ ! -x "$dir/bin/python" ]; then
        say "making the virtual environment $dir"
        /usr/bin/python3 -m venv "$dir"
    fi
    want="$extras $editable $(pwd) $(cat setup.cfg pyproject.toml | sha256sum)"
    [ -n "$editable" ] || want="$want $(find trove_ng -type f ! -name '*.pyc' -print0 |
        sort -z | xargs -0 sha256sum | sha256sum)"
    stamp="$dir/.trove-installed"
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ] && return 0
    say "installing Python packages"
    "$dir/bin/pip" install -q --disable-pip-version-check ${editable:+-e} ".[$extras]" ||
        die "pip failed"
    printf '%s\n' "$want" > "$stamp"
}
